"""Load the Lua scripts: one file, one atomic move, with includes and a header that says what goes in and out."""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1

from waitroom.kernel.assets import folder

_INCLUDE = re.compile(r"^-- @include (?P<name>[a-z_]+/[a-z_]+)$", re.MULTILINE)
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

    Raises:
        FileNotFoundError: there is no such script, or an include of it is missing.
    """
    own = _read(name)
    source = _INCLUDE.sub(lambda found: _read(found["name"]), own)
    named = {"KEYS": [], "ARGV": []}  # type: dict[str, list[str]]
    for found in _HEADER.finditer(own):
        named[found["list"]].append(found["name"])
    digest = sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, digest, tuple(named["KEYS"]), tuple(named["ARGV"]))


def _read(name: str) -> str:
    place = folder("lua")
    for part in f"{name}.lua".split("/"):
        place = place / part
    return place.read_text("utf-8")
