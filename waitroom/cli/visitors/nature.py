"""How a synthetic visitor is: where it comes from, when, what for, how fast, and how it pays."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

_NETWORK_4 = int(IPv4Address("198.18.0.0"))  # for benchmarks, RFC 2544: nobody's
_NETWORK_6 = int(IPv6Address("2001:db8::"))  # for documentation, RFC 3849

Choice = TypeVar("Choice")


class Intent(StrEnum):
    """What a member comes for."""

    BUY = "buy"
    LOOK = "look"
    ABANDON = "abandon"
    NO_SHOW = "no-show"


@dataclass(frozen=True, slots=True)
class Nature:
    """How one member is; drawn once, so that a crowd can be drawn again."""

    address: str
    arrives: float  # 0 the first, 1 the last
    intent: Intent
    card: str
    pace_s: float  # between two clicks
    says_goodbye: bool  # else the session lapses by itself


def nature(seed: bytes, number: int) -> Nature:
    """Return how member `number` of the crowd `seed` is; most of them come to buy, and most cards are good."""
    drawn = sha256(seed + number.to_bytes(4, "big")).digest()
    share = [int.from_bytes(drawn[at : at + 4], "big") / 2**32 for at in range(0, 24, 4)]
    intents = ((0.80, Intent.BUY), (0.88, Intent.LOOK), (0.95, Intent.ABANDON), (1.0, Intent.NO_SHOW))
    cards = (
        (0.80, "card_ok"),
        (0.88, "card_declined"),
        (0.94, "card_3ds"),
        (0.98, "card_slow"),
        (1.0, "card_error"),
    )
    return Nature(
        address=_address(number),
        arrives=share[0],
        intent=_pick(intents, share[1]),
        card=_pick(cards, share[2]),
        pace_s=1.0 + 5.0 * share[3],
        says_goodbye=share[4] < 0.7,
    )


def _pick(choices: tuple[tuple[float, Choice], ...], share: float) -> Choice:
    return next(choice for below, choice in choices if share < below)


def _address(number: int) -> str:
    """Return an address in a network of the member's own (/24, or /48), so that no limit per network is met."""
    if number % 2:
        return str(IPv6Address(_NETWORK_6 + ((number & 0xFFFF) << 80) + 1))
    return str(IPv4Address(_NETWORK_4 + ((number // 2 * 256 + 7) & 0x1FFFF)))
