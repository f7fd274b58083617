"""Decide which room a request belongs to; where that is in doubt, it belongs to one.

The upstream gets the target byte for byte as the visitor wrote it, and every framework reads odd targets in its own
way. So a target is either clean, and then there is only one way to read it, or odd, and then it is protected.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from waitroom.kernel.errors import Refused

_ODD = re.compile(
    r"""
      %(?![0-9a-f]{2})                    # a broken escape, and IIS's %u002f
    | %(?:2[ef53]|5c|3[bf]|[01].|7f)      # . / % # \ ; ? and controls, hidden
    | // | [\\;\#]
    | [^\x21-\x7e]                        # controls, blanks, anything that is not ASCII
    | (?:\.|%20)(?:/|$)                   # dot segments, and what Windows cuts off the end of a name
    | /\.\.                               # and what looks like one to a sloppy reader
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_LONGEST_ODD_PATH = 1024
_MOST_READINGS = 128
_REMEMBERED, _LONGEST_REMEMBERED = 4096, 512
"""How many addresses are known again, and how long they may be: a crowd asks for few, and none may fill our memory."""


@dataclass(frozen=True, slots=True)
class Route:
    """What one room guards: paths, on hosts (none named = any), before one upstream."""

    room: str
    hosts: tuple[str, ...]
    paths: tuple[str, ...]
    exempt_paths: tuple[str, ...]
    upstream: str


class Routes:
    """All rooms of this edge, asked once for every request."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Keep the rooms in the order of the file, which settles ties."""
        self._guards = tuple(_Guard.of(route) for route in routes)
        self._named = frozenset(host for guard in self._guards for host in guard.hosts)
        self._remembered = lru_cache(_REMEMBERED)(self._find)

    def match(self, host: str, raw_path: str) -> Route | None:
        """Return the room that guards `raw_path` (as it was sent, with or without its query) on `host`; else None.

        The longest path wins, then a room that names the host, then the order of the file. A host that no room names
        might be any of them, so it counts as all of them: a made-up Host header leads round no gate.

        Raises:
            Refused: 400, the path can be read as belonging to two rooms, so that no single pass is right for it.
        """
        host, path = split_target(host, raw_path)
        is_short = len(host) + len(path) <= _LONGEST_REMEMBERED
        return self._remembered(host, path) if is_short else self._find(host, path)

    def upstream(self, host: str, raw_path: str) -> str | None:
        """Return the name of the upstream behind `raw_path`, whether exempt or not; None outside every room."""
        host, path = split_target(host, raw_path)
        guards = self._of_host(host)
        route = next(_around(guards, _folded(path)), None) if _is_clean(path) else _odd(guards, path)
        return route.upstream if route else None

    def _find(self, host: str, path: str) -> Route | None:
        guards = self._of_host(host)
        if not _is_clean(path):
            return _odd(guards, path)
        return next((route for route in _around(guards, _folded(path)) if not _is_exempt(route, path)), None)

    def _of_host(self, host: str) -> "list[_Guard]":
        if host not in self._named:
            return list(self._guards)
        naming = [guard for guard in self._guards if host in guard.hosts]
        return naming + [guard for guard in self._guards if not guard.hosts]


@dataclass(frozen=True, slots=True)
class _Guard:
    """A route made ready to compare with: hosts in their one spelling, paths folded and without the last slash."""

    route: Route
    hosts: frozenset[str]
    stems: tuple[str, ...]

    @classmethod
    def of(cls, route: Route) -> "_Guard":
        return cls(route, frozenset(map(_host, route.hosts)), tuple(_folded(path).rstrip("/") for path in route.paths))

    def reach(self, folded: str) -> int:
        """Return how much of `folded` is under one of the paths, -1 for nothing.

        `/drop` is in `/drop/`, and so is `/drop.json`, which many frameworks take for the same page.
        """
        return max((len(stem) for stem in self.stems if _is_under(folded, stem)), default=-1)


def split_target(host: str, raw: str) -> tuple[str, str]:
    """Return host and path, without port and query; an absolute target (RFC 9112 §3.2.2) brings its own host."""
    absolute = None if raw.startswith("/") else _ABSOLUTE.match(raw)
    if absolute:
        host, raw = absolute[1].rpartition("@")[2], absolute[2]
    path = raw.partition("?")[0]
    return _host(host), path or "/"


def _host(text: str) -> str:
    """Return a host in its one spelling: lower case, no port, no final dot."""
    bare = text.strip().lower()
    bare = bare.partition("]")[0] + "]" if bare.startswith("[") else bare.partition(":")[0]
    return bare.removesuffix(".")


def _is_clean(path: str) -> bool:
    """Tell whether every server reads `path` alike."""
    if not path.startswith("/") or _ODD.search(path):
        return False
    if "%" not in path:
        return True
    try:
        plain = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    alike = unicodedata.normalize("NFKC", plain)  # a full-width slash is a slash to some
    return not _ODD.search("".join(c if " " < c < "\x7f" else "x" for c in alike))


def _folded(path: str) -> str:
    """Return a clean path as the most forgiving upstream would compare it."""
    plain = unquote_to_bytes(path).decode("utf-8", "replace") if "%" in path else path
    return unicodedata.normalize("NFKC", plain).casefold()


def _is_under(folded: str, stem: str) -> bool:
    return folded.startswith(stem) and folded[len(stem) : len(stem) + 1] in {"", "/", "."}


def _around(guards: "Sequence[_Guard]", folded: str) -> Iterator[Route]:
    """Yield the rooms around `folded`, the closest first."""
    reached = [(guard.reach(folded), guard.route) for guard in guards]
    reached.sort(key=lambda pair: -pair[0])  # stable: ties stay in the order of `guards`
    return (route for reach, route in reached if reach >= 0)


def _is_exempt(route: Route, path: str) -> bool:
    """Compare as written, case and all: what may come in unasked must be spelt exactly."""
    return any(path == free or (free.endswith("/") and path.startswith(free)) for free in route.exempt_paths)


def _odd(guards: "Sequence[_Guard]", path: str) -> Route | None:
    """Return the one room that a reading of `path` leads into; if none does, the first: never outside."""
    if len(guards) < 2:
        return guards[0].route if guards else None
    readings = {unicodedata.normalize("NFKC", reading).casefold() for reading in _readings(path)}
    closest = [route for reading in readings if (route := next(_around(guards, reading), None))]
    if len({route.room for route in closest}) > 1:
        raise _ambiguous()
    return next(iter(closest), guards[0].route)


def _readings(path: str) -> set[str]:
    """Return what servers in a row, each with some of the known habits, in any order, could make of `path`.

    Raises:
        Refused: 400, there is no end to it.
    """
    if len(path) > _LONGEST_ODD_PATH:
        raise _ambiguous()
    found, unread = {path}, [path]
    while unread:
        reading = unread.pop()
        made = {habit(reading) for habit in _HABITS} - found
        if len(found) + len(made) > _MOST_READINGS:
            raise _ambiguous()
        found |= made
        unread += made
    return found


def _ambiguous() -> Refused:
    return Refused(400, "ambiguous-path", "This address can be read in more than one way. Please use a plain link.")


def _decoded(path: str) -> str:
    return unquote_to_bytes(path).decode("utf-8", "replace")


def _slashed(path: str) -> str:
    return path.replace("\\", "/")


def _rooted(path: str) -> str:
    return "/" + path.lstrip("/")


def _merged(path: str) -> str:
    return re.sub(r"/+", "/", path)


def _without_parameters(path: str) -> str:
    return re.sub(r";[^/]*", "", path)


def _cut(path: str) -> str:
    return re.split(r"[?#\x00]", path, maxsplit=1)[0]


def _without_controls(path: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "", path)


def _trimmed(path: str) -> str:
    """Cut off what Windows cuts off the end of a name."""
    return re.sub(r"([^/. ])[. ]+(?=/|$)", r"\1", path)


def _composed(path: str) -> str:
    return unicodedata.normalize("NFKC", path)


def _walked(path: str) -> str:
    """Walk the dot segments (RFC 3986 §5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


_HABITS = (
    _decoded,
    _slashed,
    _rooted,
    _merged,
    _without_parameters,
    _cut,
    _without_controls,
    _trimmed,
    _composed,
    _walked,
)
