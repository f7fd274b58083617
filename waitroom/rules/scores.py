"""The fixed position of a ticket in its lane, and the draw that nobody can rig.

The order of service in a lane is four segments of its sorted set: `(-inf,0)` the FIFO head, `[spin,1)` and `[0,spin)`
the draw, `[1,+inf)` the FIFO tail. A *turn* is a score moved into that order: turns only grow as the line moves on.
"""

import hmac
from hashlib import sha256

_DRAW_BITS = 52
"""As many bits as a float keeps exactly below 1."""


def derive_seed(key: bytes, room: str, event: str) -> bytes:
    """Return the 32-byte seed of the draw: from the secret, so that it survives the loss of Redis."""
    return hmac.digest(key, f"wr-seed\0{room}\0{event}".encode(), "sha256")


def commitment(seed: bytes) -> str:
    """Return what is published before the draw: the hex SHA-256 of `seed`."""
    return sha256(seed).hexdigest()


def draw_score(seed: bytes, ticket_id: str) -> float:
    """Return the place of a ticket in the draw, in [0,1)."""
    return fraction(hmac.digest(seed, ticket_id.encode("ascii"), "sha256"))


def head_score(issued_ms: int, starts_ms: int, ticket_id: str) -> float:
    """Return the score, below 0, of somebody who came before the opening and keeps the order of coming."""
    return min(issued_ms - starts_ms, -1) + tie_break(ticket_id)


def tail_score(issued_ms: int, starts_ms: int, ticket_id: str) -> float:
    """Return the score of somebody who asked after the opening, or stands behind the draw: from 1 up."""
    return 1 + max(issued_ms - starts_ms, 0) + tie_break(ticket_id)


def tie_break(ticket_id: str) -> float:
    """Return a fraction of a millisecond, in [0,1), in steps that a float keeps beside today's time in ms."""
    return sha256(b"wr-tie\0" + ticket_id.encode()).digest()[0] / 256


def turn(score: float, spin: float) -> float:
    """Return `score` in the order of service, which only grows: the draw is turned by `spin`."""
    return (score - spin) % 1 if 0 <= score < 1 else score


def fraction(digest: bytes) -> float:
    """Return the first 52 bits of `digest` as a fraction of 1: exactly what a float holds, and JavaScript too."""
    return (int.from_bytes(digest[:8], "big") >> (64 - _DRAW_BITS)) / float(1 << _DRAW_BITS)
