"""Draws made by hand, for the tests of whoever shows or checks one."""

from random import Random

from waitroom.rules.beacons import SpinSource, manual
from waitroom.rules.proofs import Admission, Draw, Wheel
from waitroom.rules.scores import commitment, draw_score, turn

SEED = bytes(range(32))
STARTS_MS = 1_700_000_000_000


def tickets(count: int, chance: Random | None = None) -> list[str]:
    chance = chance or Random(count)
    return [f"t{chance.getrandbits(100):025x}" for _ in range(count)]


def wheel_of(ids: list[str]) -> Wheel:
    return Wheel({ticket: draw_score(SEED, ticket) for ticket in ids})


def draw_of(wheel: Wheel, source: SpinSource | None = None) -> Draw:
    source = source or manual("3 17 28")
    return Draw("drop", "opening", STARTS_MS, commitment(SEED), SEED, source.spin, source, wheel.roster)


def service_of(ids: list[str], spin: float) -> list[str]:
    """Return the tickets in the order of service."""
    return sorted(ids, key=lambda ticket: turn(draw_score(SEED, ticket), spin))


def called_one_by_one(ids: list[str], spin: float) -> list[Admission]:
    """Return the log of a room that called everybody, one a second."""
    return [
        Admission(STARTS_MS + 1000 * place, "main", turn(draw_score(SEED, ticket), spin), 1)
        for place, ticket in enumerate(service_of(ids, spin), 1)
    ]
