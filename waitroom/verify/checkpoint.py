"""Decide on one request to the store: which paths need a pass of which room, and what the refused are answered.

Paths are read by the rules of the edge itself: what two servers could read differently needs a pass.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from urllib.parse import quote

from waitroom.kernel.errors import BadToken, ConfigFault, WaitroomError
from waitroom.kernel.tokens import Pass
from waitroom.rules.routes import Route, Routes
from waitroom.verify.passes import Verifier

log = logging.getLogger(__name__)

_TOLD = "This opens only through the waiting room of this shop. Please go to the shop's own address and come in there."
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<h1>{title}</h1>
<p>{told}</p>
</html>
"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What somebody without a pass is answered, whatever the framework."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Checkpoint:
    """The rooms of a store: under which paths a request must carry a pass, and of which room."""

    def __init__(
        self, rooms: Mapping[str, Sequence[str]], *, exempt: Iterable[str] = (), verifier: Verifier | None = None
    ) -> None:
        """Guard the paths of each of `rooms`, named as in `waitroom.toml`, but for the `exempt` ones below them.

        Raises:
            ConfigFault: no room or no path is named, a path does not begin with `/`, or there is no usable secret.
        """
        free = _paths("exempt", exempt)
        routes = [Route(room, (), _paths(f"rooms: {room}", paths), free, "") for room, paths in rooms.items()]
        if not routes or not all(route.paths for route in routes):
            raise ConfigFault(['rooms: name each room with its paths, as in {"drop": ["/drop/", "/checkout/"]}'])
        self._routes = Routes(routes)
        self._verifier = verifier or Verifier.of()

    def check(self, raw_path: str, values: Sequence[str]) -> Pass | None:
        """Return the pass of a request that says `values` under the name of the header; None where none is needed.

        `raw_path` is the path as sent; who has it decoded only gives `as_sent(path)`.

        Raises:
            WaitroomError: the request must be refused, with the answer of `refusal`.
        """
        route = self._routes.match("", raw_path)
        return None if route is None else self._verifier.verify(values, (route.room,))


def as_sent(path: str | bytes) -> str:
    """Return a decoded path as it must have been sent; what was hidden in it stays hidden, and so needs a pass."""
    return quote(path, safe="/", errors="surrogatepass") if isinstance(path, str) else quote(path, safe="/")


def refusal(fault: WaitroomError, *, method: str, accept: str, fetch_mode: str | None) -> Refusal:
    """Return the answer to who must not pass: a page for people, else a problem document (RFC 9457).

    Which check failed stands in the log, not in the answer.
    """
    log.info("request refused", extra={"kind": fault.kind, "reason": str(fault)})
    kind, told = ("no-pass", _TOLD) if isinstance(fault, BadToken) else (fault.kind, fault.public)
    title = HTTPStatus(fault.status).phrase
    is_person = fetch_mode == "navigate" if fetch_mode else "text/html" in accept
    if is_person:
        text, media = _PAGE.format(title=escape(title), told=escape(told)), "text/html; charset=utf-8"
    else:
        facts = {"type": f"urn:waitroom:problem:{kind}", "title": title, "status": fault.status, "detail": told}
        text, media = json.dumps(facts), "application/problem+json"
    body = text.encode()
    headers = {
        "Content-Type": media,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept, Sec-Fetch-Mode",
    }
    return Refusal(fault.status, tuple(headers.items()), b"" if method == "HEAD" else body)


def _paths(what: str, paths: Iterable[str]) -> tuple[str, ...]:
    found = () if isinstance(paths, str) else tuple(paths)
    if isinstance(paths, str) or not all(path.startswith("/") for path in found):
        raise ConfigFault([f"{what}: must be a list of paths, each beginning with /"])
    return found
