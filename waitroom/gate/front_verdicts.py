"""Turn the verdict on a visit into what somebody else's proxy can act on: let it pass, or send the visitor to us."""

from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from aiohttp import web

from waitroom.gate.cookies import TOKEN_HEADER, is_app, others
from waitroom.gate.judge import Judge, is_navigation, must_wait
from waitroom.gate.line import Issued
from waitroom.kernel.answers import NO_STORE
from waitroom.kernel.asking import Asking
from waitroom.kernel.errors import Refused
from waitroom.kernel.tokens import Pass
from waitroom.rules.fronts import Asked
from waitroom.rules.health import Circuit
from waitroom.rules.return_paths import return_path
from waitroom.rules.verdicts import Forward, Refuse, Verdict, Wait

PASS = "Waitroom-Pass"  # noqa: S105  # the name of a header
_OLD_RATIO = 0.5
"""A pass that got so old without being renewed: the front drops our cookies, so the visitor comes to us for one."""
_DOWN_S = 5


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may pass: with what the store shall be shown, and what the browser or app shall keep.

    `others` are the visitor's cookies without ours: what opens the gate is nothing for the store to see, log or leak.
    """

    waitroom_pass: str | None = None
    issued: Issued | None = None
    is_app: bool = False
    others: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Return these as headers, for the front to take from the answer."""
        kept = () if self.issued is None else (("Set-Cookie", self.issued.cookie),)
        told = () if self.issued is None or not self.is_app else ((TOKEN_HEADER, self.issued.text),)
        named = ((PASS, self.waitroom_pass), ("Cookie", self.others), *kept, *told)
        return {**NO_STORE, **{name: value for name, value in named if value}}


@dataclass(frozen=True, slots=True)
class Sent:
    """Whoever asks shall go to an address of ours first, and comes back from there."""

    location: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a front is told, and the kind of verdict behind it, to be counted; None outside every room."""

    told: Allowed | Sent
    room: str = ""
    kind: type[Verdict] | None = None


class FrontVerdicts:
    """The verdicts, for fronts."""

    def __init__(self, judge: Judge, public_origin: str) -> None:
        """Ask `judge`; shoppers come by `public_origin`, if that is known."""
        self._judge = judge
        self._public_origin = public_origin

    async def answer(self, request: web.Request, asked: Asked) -> Allowed | Sent:
        """Return what to do with `asked`, by what the `request` of the front carries of it.

        Raises:
            Refused: who looks at no page has to wait, or nobody is let in.
        """
        judged = self._judge.judge(request, asked.host, asked.target)
        if judged is None:
            return _whole(request, Allowed())
        room, found = judged[0].room, judged[1]
        acted = self._known(request, room, found, asked)
        if acted is None:
            issued = await self._judge.let_in(request, room, found)
            if issued is None:
                raise must_wait(room)
            acted = Allowed(self._judge.upstream_pass(issued.pass_), issued)
        return _whole(request, acted)

    def at_once(self, request: Asking, asked: Asked) -> "Known | None":
        """Return the same where Redis has not to be asked, not counted yet; None where it has.

        Raises:
            Refused: as `answer`.
        """
        route = self._judge.routes.match(asked.host, asked.target)
        if route is None:
            return Known(_whole(request, Allowed()))
        found = self._judge.found(request, route.room)
        acted = self._known(request, route.room, found, asked)
        return None if acted is None else Known(_whole(request, acted), route.room, type(found))

    def origin(self, asked: Asked) -> str:
        """Return where the visitor is: as configured, where that is the host they named."""
        known = self._public_origin
        return known if known and urlsplit(known).netloc == asked.host else asked.origin

    def _known(self, request: Asking, room: str, found: Verdict, asked: Asked) -> Allowed | Sent | None:
        """Act on a verdict; None where somebody may come in whom Redis has to be asked about."""
        is_seen = is_navigation(asked.method, request.headers) and not is_app(request)
        if isinstance(found, Refuse):
            raise self._judge.refused(room)
        if isinstance(found, Forward):
            return Allowed() if found.pass_ is None else self._inside(room, found.pass_, asked, is_seen=is_seen)
        if is_seen:
            return self._to(room, "wait" if isinstance(found, Wait) else "enter", asked)
        return None

    def _inside(self, room: str, pass_: Pass, asked: Asked, *, is_seen: bool) -> Allowed | Sent:
        snapshot = self._judge.line.board.get(room)
        if snapshot is not None and snapshot.health.circuit is Circuit.OPEN:
            public = "The shop is not answering right now. Your place inside is kept: please try again in a moment."
            raise Refused(503, "upstream-down", public, retry_after_s=_DOWN_S)
        is_old = self._judge.used_ratio(room, pass_) > _OLD_RATIO
        renewed = self._judge.visited(room, pass_)
        if renewed and is_old and is_seen and asked.method == "GET" and back(asked) == asked.target:
            return self._to(room, "enter", asked)
        return Allowed(self._judge.upstream_pass(pass_), renewed)

    def _to(self, room: str, page: str, asked: Asked) -> Sent:
        return Sent(self.origin(asked) + own_page(room, page, back(asked)))


def _whole(request: Asking, acted: Allowed | Sent) -> Allowed | Sent:
    """Return a yes with what of the request's own the front shall hand on."""
    if isinstance(acted, Sent):
        return acted
    return replace(acted, is_app=is_app(request), others=others(request))


def own_page(room: str, page: str, back: str) -> str:
    """Return the address of a page of ours that leads on to `back`."""
    return f"/.waitroom/{room}/{page}?return_to={quote(back, safe='/')}"


def back(asked: Asked) -> str:
    """Return where to come back to: what was asked for, without its query where that is too long to carry."""
    path = asked.target.partition("?")[0]
    return return_path(asked.target, return_path(path))
