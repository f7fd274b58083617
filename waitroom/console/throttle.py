"""Slow down who guesses: so many wrong tries per network of one visitor, then a pause."""

from collections import deque

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused
from waitroom.rules.visitors import address_prefix

_MANY = 10_000
"""How many networks are remembered; past that the one that was quiet for longest is forgotten."""


class Throttle:
    """Wrong tries by network, in the memory of this process: who has one IPv6 address has 2^64 of them."""

    def __init__(self, clock: Clock, *, limit: int, window_s: float) -> None:
        """Allow `limit` wrong tries within `window_s` seconds."""
        self._clock = clock
        self._limit = limit
        self._window_s = window_s
        self._wrong: dict[str, deque[float]] = {}

    def check(self, address: str) -> None:
        """Let `address` try.

        Raises:
            Refused: 429, with the time after which the next try is heard.
        """
        now_s = self._clock.tick_s()
        tries = self._recent(address, now_s)
        if len(tries) >= self._limit:
            wait_s = max(1, round(tries[0] + self._window_s - now_s))
            told = f"Too many wrong tries. Try again in {wait_s} seconds."
            raise Refused(429, "too-many-tries", told, retry_after_s=wait_s)

    def note(self, address: str) -> None:
        """Remember one wrong try of `address`."""
        network = address_prefix(address)
        tries = self._wrong.pop(network, None) or deque(maxlen=self._limit)
        tries.append(self._clock.tick_s())
        self._wrong[network] = tries  # last, as the one heard of last
        if len(self._wrong) > _MANY:
            del self._wrong[next(iter(self._wrong))]

    def _recent(self, address: str, now_s: float) -> deque[float]:
        tries = self._wrong.get(address_prefix(address), deque())
        while tries and tries[0] <= now_s - self._window_s:
            tries.popleft()
        return tries
