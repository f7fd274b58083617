"""Which hosts this edge answers for."""

from collections.abc import Sequence

from waitroom.rules.routes import split_target


class AllowedHosts:
    """Exact names, and "*.shop.example" for every name below that one; none at all is any."""

    def __init__(self, hosts: Sequence[str]) -> None:
        """Keep `hosts`, in small letters and without ports."""
        self._is_any = not hosts
        self._names = frozenset(host for host in hosts if not host.startswith("*"))
        self._endings = tuple(host.removeprefix("*") for host in hosts if host.startswith("*"))

    def has(self, host: str) -> bool:
        """Tell whether `host`, as a Host header has it, is one of them."""
        if self._is_any:
            return True
        name, _ = split_target(host, "/")
        return name in self._names or name.endswith(self._endings)
