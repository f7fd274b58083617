"""Reach receivers on the open network only: a name that leads inside is refused where it is looked up.

What was looked up is what is connected to, so that a name cannot lead elsewhere the second time.
"""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from inventory_backend.receivers import is_public


class GuardedResolver(AbstractResolver):
    """Looks names up, and keeps back addresses of this machine and of private networks."""

    def __init__(self, *, is_private_allowed: bool) -> None:
        """Let private addresses through only where the operator said so."""
        self._resolver = ThreadedResolver()
        self._is_private_allowed = is_private_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host` that may be called.

        Raises:
            OSError: there is none.
        """
        found = await self._resolver.resolve(host, port, family)
        allowed = [one for one in found if self._is_private_allowed or is_public(one["host"])]
        if not allowed:
            raise OSError(f"{host} leads into a private network")
        return allowed

    async def close(self) -> None:
        """Nothing is kept open."""
        await self._resolver.close()
