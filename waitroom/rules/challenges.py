"""Pose, solve and verify the proof of work that stands before a place in line.

A challenge is stateless: 44 signed bytes and a 16-byte MAC, base64url, 80 characters with one spelling only.

    body       ver=1 | kid u8 | issued_ms u48 | ttl_s u16 | k u8 | d u8 | event[8] | client[8] | id[16]
    mac        HMAC-SHA256(challenge key of kid, "wr1-challenge\\0" + body)[:16]
    s_0        SHA-256("wr1-seed\\0" + body + mac)
    s_(i+1)    SHA-256(s_i + u32 n_i) with at least d leading zero bits, for i in 0 .. k-1
    solution   base64url(n_0 + ... + n_(k-1))
    ticket id  base64url(HMAC-SHA256(ticket key of kid, "wr1-ticket\\0" + event + id)[:15])

The ticket id never depends on the solution: a solution sent twice, or another solution of the same challenge, is the
same ticket, so joining needs no store of what was seen. The steps are chained: no nonce can be used twice, and nothing
but one step after the other can be computed.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from struct import Struct

from waitroom.rules.spelling import bytes_of, text_of

VERSION = 1
CHALLENGE_CHARS = 80
MIN_STEPS, MAX_STEPS = 1, 64
MIN_DIFFICULTY, MAX_DIFFICULTY = 8, 24
MAX_SOLUTION_CHARS = 342  # 4 bytes a step, MAX_STEPS steps
CLOCK_LEEWAY_MS = 5_000

_BODY = Struct(">BB6sHBB8s8s16s")
_MAC_BYTES = 16
_NONCES = 1 << 32


class ChallengeFault(StrEnum):
    """Why a challenge or its solution was refused, in the order in which they are looked for."""

    FORMAT = "format"  # not the text we make: length, alphabet, version
    MAC = "mac"  # not signed by a key that is alive, or altered
    EVENT = "event"  # posed for another event
    BOUNDS = "bounds"  # signed, but with work outside of what we ever ask for
    EXPIRED = "expired"  # sent before it was issued, or too late
    LENGTH = "length"  # the solution has not one nonce a step
    WORK = "work"  # a nonce does not reach the difficulty


class RefusedChallenge(ValueError):
    """A challenge or a solution that buys no place; `fault` says why."""

    def __init__(self, fault: ChallengeFault) -> None:
        """Keep the fault as a word."""
        super().__init__(f"challenge refused: {fault}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class ChallengeKeys:
    """The live keys by their id: (challenge key, ticket key). The last one given poses, all of them verify."""

    by_kid: Mapping[int, tuple[bytes, bytes]]

    @classmethod
    def from_secrets(cls, challenge_keys: Sequence[bytes], ticket_keys: Sequence[bytes]) -> "ChallengeKeys":
        """Name each pair of keys, newest last, by a byte of its hash, so that a key keeps its id when others rotate.

        Where two keys fall on the same id (1 in 256) the newer stays: what the older one posed is refused, and posed
        again by the page.
        """
        pairs = zip(challenge_keys, ticket_keys, strict=True)
        named: dict[int, tuple[bytes, bytes]] = {}
        for pair in pairs:
            kid = hashlib.sha256(b"wr1-kid\0" + pair[0]).digest()[0]
            named.pop(kid, None)
            named[kid] = pair
        return cls(named)


@dataclass(frozen=True, slots=True)
class Terms:
    """How much work a challenge asks for: `steps` puzzles of 2^`difficulty` hashes each, within `ttl_s` seconds."""

    steps: int = 16
    difficulty: int = 17
    ttl_s: int = 180

    def __post_init__(self) -> None:
        """Refuse what `verify` would refuse."""
        if not _within_bounds(self.steps, self.difficulty):
            raise ValueError(f"no challenge has {self.steps} steps of {self.difficulty} bits")
        if not 0 < self.ttl_s < 1 << 16:
            raise ValueError(f"no challenge lives {self.ttl_s} seconds")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a challenge says about itself. Believe it only when it comes from `authentic`."""

    kid: int
    issued_ms: int
    ttl_s: int
    steps: int
    difficulty: int
    event_tag: bytes
    client_tag: bytes
    challenge_id: bytes

    @property
    def expires_ms(self) -> int:
        """The last moment at which a solution is taken, in ms since 1970."""
        return self.issued_ms + 1000 * self.ttl_s


def pose(keys: ChallengeKeys, *, event: str, client_tag: bytes, terms: Terms, now_ms: int, challenge_id: bytes) -> str:
    """Return a new signed challenge of `event`.

    `challenge_id` is 16 bytes nobody can guess (`secrets.token_bytes(16)`): the place in line hangs on it.
    `client_tag` is `client_tag(…)` of who asked.
    """
    if len(challenge_id) != 16 or len(client_tag) != 8:
        raise ValueError("a challenge id has 16 bytes, a client tag 8")
    kid = next(reversed(list(keys.by_kid)))
    body = _BODY.pack(
        VERSION,
        kid,
        now_ms.to_bytes(6, "big"),
        terms.ttl_s,
        terms.steps,
        terms.difficulty,
        event_tag(event),
        client_tag,
        challenge_id,
    )
    return text_of(body + _mac(keys.by_kid[kid][0], body))


def read(challenge: str) -> Challenge:
    """Return what `challenge` says, without asking whether it is true.

    Raises:
        RefusedChallenge: FORMAT.
    """
    return _fields(_challenge_bytes(challenge))


def authentic(keys: ChallengeKeys, *, event: str, challenge: str, now_ms: int) -> Challenge:
    """Return what `challenge` says, once it is known to be ours, of this event, and alive; its work is not looked at.

    Raises:
        RefusedChallenge: FORMAT, MAC, EVENT, BOUNDS or EXPIRED.
    """
    raw = _challenge_bytes(challenge)
    _check_mac(keys, raw)
    return _check_terms(_fields(raw), event, now_ms)


def verify(keys: ChallengeKeys, *, event: str, challenge: str, solution: str, now_ms: int) -> str:
    """Return the ticket id that `solution` has earned, as `solved`; the same for every solution of one challenge."""
    return ticket_id(keys, solved(keys, event=event, challenge=challenge, solution=solution, now_ms=now_ms))


def solved(keys: ChallengeKeys, *, event: str, challenge: str, solution: str, now_ms: int) -> Challenge:
    """Return what `challenge` says, once `solution` is known to solve it.

    The MAC is checked first, then one puzzle after the other: 14 µs for 16 steps, 7 µs for none, 4 µs for a forgery.

    Raises:
        RefusedChallenge: any fault.
    """
    raw = _challenge_bytes(challenge)
    if len(solution) > MAX_SOLUTION_CHARS:
        raise RefusedChallenge(ChallengeFault.FORMAT)
    nonces = _bytes(solution)
    _check_mac(keys, raw)
    posed = _check_terms(_fields(raw), event, now_ms)
    if len(nonces) != 4 * posed.steps:
        raise RefusedChallenge(ChallengeFault.LENGTH)
    _check_work(raw, nonces, posed.difficulty)
    return posed


def solve(challenge: str, *, first_nonce: int = 0) -> str:
    """Return a solution of `challenge`, found by trying nonces upward from `first_nonce`: the reference for the page.

    Takes 2^difficulty hashes a step on average: a second or two for the usual 16 steps of 17 bits.

    Raises:
        RefusedChallenge: FORMAT, BOUNDS.
    """
    raw = _challenge_bytes(challenge)
    posed = _fields(raw)
    if not _within_bounds(posed.steps, posed.difficulty):
        raise RefusedChallenge(ChallengeFault.BOUNDS)
    limit = _limit(posed.difficulty)
    state, nonces = _seed(raw), b""
    for _ in range(posed.steps):
        state, nonce = _solve_step(state, limit, first_nonce)
        nonces += nonce
    return text_of(nonces)


def ticket_id(keys: ChallengeKeys, challenge: Challenge) -> str:
    """Return the id of the ticket that `challenge` stands for: 20 characters, a function of its id and its event alone.

    The key is the one the challenge was posed with, so the id stays the same while keys rotate.
    """
    ticket_key = keys.by_kid[challenge.kid][1]
    message = b"wr1-ticket\0" + challenge.event_tag + challenge.challenge_id
    return text_of(hmac.digest(ticket_key, message, "sha256")[:15])


@lru_cache
def event_tag(event: str) -> bytes:
    """Return the 8 bytes that stand for an event in a challenge."""
    return hashlib.sha256(b"wr1-event\0" + event.encode()).digest()[:8]


def client_tag(key: bytes, client_prefix: str) -> bytes:
    """Return the 8 bytes that stand for a client's network in a challenge.

    A tag that differs at the return is a sign of risk and never a refusal: phones change from Wi-Fi to the cell.
    """
    return hmac.digest(key, client_prefix.encode(), "sha256")[:8]


def _check_mac(keys: ChallengeKeys, raw: bytes) -> None:
    body, mac = raw[: _BODY.size], raw[_BODY.size :]
    pair = keys.by_kid.get(raw[1])
    if pair is None or not hmac.compare_digest(mac, _mac(pair[0], body)):
        raise RefusedChallenge(ChallengeFault.MAC)


def _check_terms(posed: Challenge, event: str, now_ms: int) -> Challenge:
    if posed.event_tag != event_tag(event):
        raise RefusedChallenge(ChallengeFault.EVENT)
    if not _within_bounds(posed.steps, posed.difficulty):
        raise RefusedChallenge(ChallengeFault.BOUNDS)
    if not posed.issued_ms - CLOCK_LEEWAY_MS <= now_ms <= posed.expires_ms:
        raise RefusedChallenge(ChallengeFault.EXPIRED)
    return posed


def _check_work(raw: bytes, nonces: bytes, difficulty: int) -> None:
    sha256, limit = hashlib.sha256, _limit(difficulty)
    state = _seed(raw)
    for at in range(0, len(nonces), 4):
        state = sha256(state + nonces[at : at + 4]).digest()
        if state >= limit:
            raise RefusedChallenge(ChallengeFault.WORK)


def _solve_step(state: bytes, limit: bytes, first_nonce: int) -> tuple[bytes, bytes]:
    sha256 = hashlib.sha256
    for nonce in range(first_nonce, _NONCES):
        tried = nonce.to_bytes(4, "big")
        digest = sha256(state + tried).digest()
        if digest < limit:
            return digest, tried
    raise RefusedChallenge(ChallengeFault.WORK)


def _within_bounds(steps: int, difficulty: int) -> bool:
    return MIN_STEPS <= steps <= MAX_STEPS and MIN_DIFFICULTY <= difficulty <= MAX_DIFFICULTY


@lru_cache
def _limit(difficulty: int) -> bytes:
    """Return the smallest digest that has too few leading zero bits; bytes compare as big-endian numbers do."""
    return (1 << (256 - difficulty)).to_bytes(32, "big")


def _seed(raw: bytes) -> bytes:
    return hashlib.sha256(b"wr1-seed\0" + raw).digest()


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, b"wr1-challenge\0" + body, "sha256")[:_MAC_BYTES]


def _fields(raw: bytes) -> Challenge:
    version, kid, issued, ttl_s, steps, difficulty, event, client, challenge_id = _BODY.unpack_from(raw)
    if version != VERSION:
        raise RefusedChallenge(ChallengeFault.FORMAT)
    return Challenge(kid, int.from_bytes(issued, "big"), ttl_s, steps, difficulty, event, client, challenge_id)


def _challenge_bytes(challenge: str) -> bytes:
    if len(challenge) != CHALLENGE_CHARS:
        raise RefusedChallenge(ChallengeFault.FORMAT)
    return _bytes(challenge)


def _bytes(text: str) -> bytes:
    try:
        return bytes_of(text)
    except ValueError:
        raise RefusedChallenge(ChallengeFault.FORMAT) from None
