"""Load the Lua scripts: one file, one atomic move, with includes and a header that says what goes in and out."""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1

from waitroom.kernel.assets import folder

_INCLUDE = re.compile(r"^ *-- @include (?P<name>[a-z_]+/[a-z_]+)$", re.MULTILINE)
_HEADER = re.compile(r"^-- (?P<list>KEYS|ARGV)\[(?P<place>\d+)\]\s+(?P<name>[a-z_]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script, ready to send: `sha` is what EVALSHA calls it."""

    name: str
    source: str
    sha: str
    keys: tuple[str, ...]
    args: tuple[str, ...]


@lru_cache(maxsize=64)
def load_script(name: str) -> Script:
    """Return the script `name`, as in "rooms/join", its includes put in place.

    An include within a block is made only when the block is reached: Redis runs the whole script at each call.

    Raises:
        FileNotFoundError: there is no such script, or an include of it is missing.
        ValueError: its header does not count 1, 2, 3.
    """
    own = _read(name)
    source = _with_includes(own, set())
    digest = sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, digest, _named(name, own, "KEYS"), _named(name, own, "ARGV"))


def _with_includes(source: str, placed: set[str]) -> str:
    """Return `source` with each include in place, once: a second one would define its locals again."""

    def place(found: re.Match[str]) -> str:
        name = found["name"]
        if name in placed:
            return ""
        placed.add(name)
        return _with_includes(_read(name), placed).removesuffix("\n")

    return _INCLUDE.sub(place, source)


def _named(name: str, source: str, kind: str) -> tuple[str, ...]:
    lines = [found for found in _HEADER.finditer(source) if found["list"] == kind]
    if [int(line["place"]) for line in lines] != list(range(1, len(lines) + 1)):
        raise ValueError(f"{name}: the header numbers its {kind} {[line['place'] for line in lines]}")
    return tuple(line["name"] for line in lines)


def _read(name: str) -> str:
    place = folder("lua")
    for part in f"{name}.lua".split("/"):
        place = place / part
    return place.read_text("utf-8")
