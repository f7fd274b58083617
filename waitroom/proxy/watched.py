"""An upstream whose health is watched: each request is counted, and none goes there while it is down."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused, UpstreamUnavailable
from waitroom.proxy.exchange import Answer, Ask
from waitroom.proxy.uploads import Upload
from waitroom.proxy.upstream import Upstream, UpstreamLimits
from waitroom.rules.watch import Watch

RETRY_S = 5
_PLAIN_METHODS = frozenset({"GET", "HEAD"})


class WatchedUpstream:
    """One site behind us, as one room sees it; the connections are shared with whoever else asks that site."""

    def __init__(self, upstream: Upstream, watch: Watch, *, clock: Clock) -> None:
        """Ask `upstream`, and let `watch` see how that goes and say when it may not be asked."""
        self._upstream = upstream
        self._watch = watch
        self._clock = clock

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self._upstream.name

    @property
    def limits(self) -> UpstreamLimits:
        """What it may take."""
        return self._upstream.limits

    async def probe(self, path: str, host: str | None) -> None:
        """Ask for `path` as nobody in particular: the watch sees what comes of it.

        Raises:
            Refused, UpstreamUnavailable: as `exchange`.
        """
        headers = [(b"Host", (host or self._upstream.authority).encode()), (b"User-Agent", b"waitroom")]
        async with self.exchange(Ask("GET", path, [*headers, (b"Accept", b"*/*")])):
            pass

    @asynccontextmanager
    async def exchange(self, ask: Ask) -> AsyncIterator[Answer]:
        """Send `ask` and give its answer, as an `Upstream` does.

        Raises:
            Refused: 503, it is down, and this request was not sent; or what an `Upstream` refuses.
            UpstreamUnavailable: 502 or 504.
        """
        is_plain = ask.method in _PLAIN_METHODS and ask.body is None and not ask.is_upgrade
        is_timed = not isinstance(ask.body, Upload)
        number = self._watch.begin(self._clock.tick_s(), is_plain=is_plain, is_timed=is_timed)
        if number is None:
            public = "The shop is not answering right now. Your place inside is kept: please try again in a moment."
            raise Refused(503, "upstream-down", public, retry_after_s=RETRY_S)
        try:
            async with self._upstream.exchange(ask) as answer:
                self._watch.end(number, answer.status, self._clock.tick_s())
                yield answer
        except UpstreamUnavailable as fault:
            self._watch.end(number, fault.status, self._clock.tick_s())
            raise
        finally:
            self._watch.end(number, None, self._clock.tick_s())
