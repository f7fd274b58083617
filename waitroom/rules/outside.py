"""Choose the upstream for what no room guards: paths compared as written, for nothing hangs on it but where it goes."""

from collections.abc import Sequence
from dataclasses import dataclass

from waitroom.rules.routes import split_target


@dataclass(frozen=True, slots=True)
class Way:
    """Some paths, on some hosts (none named = any), to one upstream."""

    hosts: tuple[str, ...]
    paths: tuple[str, ...]
    upstream: str


class Ways:
    """All ways of this edge, and where everything else goes."""

    def __init__(self, ways: Sequence[Way], otherwise: str) -> None:
        """Keep them in the order of the file, which settles ties."""
        self._ways = tuple(ways)
        self._otherwise = otherwise

    def upstream(self, host: str, raw_path: str) -> str:
        """Return the name of the upstream for `raw_path` on `host`; the longest path wins, then a way that names it."""
        if not self._ways:
            return self._otherwise
        host, path = split_target(host, raw_path)
        fitting = [
            (len(prefix), host in way.hosts, -place, way.upstream)
            for place, way in enumerate(self._ways)
            if not way.hosts or host in way.hosts
            for prefix in way.paths
            if _is_under(path, prefix)
        ]
        return max(fitting)[-1] if fitting else self._otherwise


def _is_under(path: str, prefix: str) -> bool:
    stem = prefix.rstrip("/")
    return path == stem or path.startswith(f"{stem}/")
