"""Whoever asks, as far as their headers tell: a whole request, or the head of a plain one."""

from typing import Protocol


class Headers(Protocol):
    """Headers by name, as both a plain head and a whole request have them."""

    def get(self, name: str, default: str, /) -> str:
        """Return the first value of `name`."""
        ...

    def getall(self, name: str, default: list[str], /) -> list[str]:
        """Return every value of `name`."""
        ...

    def __contains__(self, name: object, /) -> bool:
        """Whether `name` stands at all."""
        ...


class Asking(Protocol):
    """Whoever asks, as far as their headers tell."""

    @property
    def headers(self) -> Headers:
        """The headers of the request."""
        ...
