"""Meter who comes straight in while nobody waits: over it nobody is refused, they join the line and do the work."""

from collections.abc import Mapping, Sequence

from aiohttp import web

from waitroom.rules.visitors import Network, address_prefix, client_address, wide_prefix
from waitroom.store.limits import Limits, Taken

_WIDE = 8
"""How many times as much the network may take out of which one visitor may command many (/24, /48)."""


class Entries:
    """How many came straight in from one address, in the last minute."""

    def __init__(self, limits: Limits, per_minute: Mapping[str, int], trusted: Sequence[Network]) -> None:
        """Allow so many a minute in each room, 0 for any number; `trusted` proxies are believed about addresses."""
        self._limits = limits
        self._per_minute = per_minute
        self._trusted = trusted

    async def may_enter(self, request: web.BaseRequest, room: str) -> bool:
        """Count the visitor behind `request`; False where their network has had its share.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        most = self._per_minute[room]
        if not most:
            return True
        forwarded_for = request.headers.getall("X-Forwarded-For", [])
        address = client_address(request.remote or "", forwarded_for, self._trusted)
        for prefix, burst in ((address_prefix(address), most), (wide_prefix(address), most * _WIDE)):
            if not isinstance(await self._limits.take(f"enter:{room}:{prefix}", float(burst), burst), Taken):
                return False
        return True
