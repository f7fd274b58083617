"""Public randomness that nobody had when people joined, and the spin that it gives to the draw.

A beacon publishes one number at a time, on a schedule fixed for years. Which round turns the draw follows from the
opening alone, so everybody knows it in advance and nobody can pick. We check that an answer is of that round, of that
chain, and that its randomness is the hash of its signature; the BLS signature itself we do not verify.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from struct import pack

from waitroom.rules.scores import fraction

_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_DEFAULT_CHAIN = "default"


class BeaconKind(StrEnum):
    """Where the spin of a draw comes from."""

    NONE = "none"
    DRAND = "drand"
    MANUAL = "manual"


class BeaconFault(ValueError):
    """What a beacon said cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Beacon:
    """What the configuration of a room says of its spin; without a kind the other fields mean nothing."""

    kind: BeaconKind = BeaconKind.NONE
    chain_hash: str = ""
    genesis_ms: int = 0
    period_ms: int = 1
    delay_ms: int = 0
    timeout_ms: int = 0

    def round_after(self, starts_ms: int) -> int:
        """Return the round that turns the draw: the first one due `delay_ms` after the opening, or later."""
        since_ms = max(0, starts_ms + self.delay_ms - self.genesis_ms)
        return -(-since_ms // self.period_ms) + 1

    def due_ms(self, starts_ms: int) -> int:
        """Return when the spin can be known at the earliest."""
        match self.kind:
            case BeaconKind.DRAND:
                return self.genesis_ms + (self.round_after(starts_ms) - 1) * self.period_ms
            case _:
                return starts_ms

    def awaited_until_ms(self, starts_ms: int) -> int:
        """Return until when nobody is called for want of a spin; from then on the draw goes on without one."""
        return starts_ms if self.kind is BeaconKind.NONE else self.due_ms(starts_ms) + self.timeout_ms


NO_BEACON = Beacon()
"""The draw rests on the seed alone."""


@dataclass(frozen=True, slots=True)
class SpinSource:
    """Where a spin came from; the randomness is hex, and None while it is awaited.

    Of a draw that went on without its beacon the kind is "none", and `missed` tells what was awaited.
    """

    kind: BeaconKind
    round: int | None = None
    randomness: str | None = None
    chain_hash: str | None = None
    signature: str | None = None
    value: str | None = None
    missed: BeaconKind | None = None

    @property
    def spin(self) -> float:
        """The spin that this source gives, in [0,1); 0 without one."""
        return spin_of(bytes.fromhex(self.randomness)) if self.randomness else 0.0

    def document(self) -> dict[str, object]:
        """Return the source as the proof shows it: the three fields that always stand there, then what is known."""
        shown: dict[str, object] = {"kind": self.kind.value, "round": self.round, "randomness": self.randomness}
        more = {"chain_hash": self.chain_hash, "signature": self.signature, "value": self.value, "missed": self.missed}
        return shown | {name: value for name, value in more.items() if value is not None}


def spin_of(randomness: bytes) -> float:
    """Return the spin that `randomness` gives, in [0,1): the first 52 bits of SHA-256("wr-spin\\0" + randomness)."""
    return fraction(sha256(b"wr-spin\0" + randomness).digest())


def planned(beacon: Beacon, starts_ms: int) -> SpinSource:
    """Return what everybody may know in advance: the kind and, of drand, the chain and the round."""
    if beacon.kind is not BeaconKind.DRAND:
        return SpinSource(beacon.kind)
    return SpinSource(BeaconKind.DRAND, round=beacon.round_after(starts_ms), chain_hash=beacon.chain_hash)


def unspun(beacon: Beacon, starts_ms: int) -> SpinSource:
    """Return the source of a draw that goes on without a spin."""
    if beacon.kind is BeaconKind.NONE:
        return SpinSource(BeaconKind.NONE)
    plan = planned(beacon, starts_ms)
    return SpinSource(BeaconKind.NONE, round=plan.round, chain_hash=plan.chain_hash, missed=beacon.kind)


def manual(value: str) -> SpinSource:
    """Return the source that ops typed before a witness: its randomness is the text itself, in UTF-8."""
    return SpinSource(BeaconKind.MANUAL, randomness=value.encode().hex(), value=value)


def answered(beacon: Beacon, starts_ms: int, answer: object) -> SpinSource:
    """Return the source that drand's `answer` gives.

    Raises:
        BeaconFault: it is of another round, damaged, or no answer of drand at all.

    Source: https://docs.drand.love/dev-guide/API%20Documentation%20v2/public-randomness (the document), and
    `randomness = SHA-256(signature)` in every scheme of drand.
    """
    fields = _fields(answer)
    wanted = beacon.round_after(starts_ms)
    given = fields.get("round")
    if isinstance(given, bool) or given != wanted:
        raise BeaconFault(f"round {given!r} instead of {wanted}")
    signature, randomness = _hex(fields, "signature"), _hex(fields, "randomness")
    if sha256(bytes.fromhex(signature)).hexdigest() != randomness:
        raise BeaconFault("the randomness is not the hash of the signature")
    return SpinSource(BeaconKind.DRAND, wanted, randomness, beacon.chain_hash, signature)


def check_chain(beacon: Beacon, told: object) -> None:
    """Compare what a server tells of its chain with what the room is configured for.

    Raises:
        BeaconFault: it serves another chain, or the configured genesis or period is wrong.

    Source: the hash of a chain is that of its period, genesis, public key, group hash and id (drand, `Info.Hash`).
    """
    fields = _fields(told)
    genesis_s, period_s = fields.get("genesis_time"), fields.get("period")
    if not isinstance(genesis_s, int) or not isinstance(period_s, int):
        raise BeaconFault("the chain has no genesis_time and period")
    if not (0 <= genesis_s < 1 << 40 and 0 < period_s < 1 << 32):
        raise BeaconFault("the chain has no sensible genesis_time and period")
    metadata = fields.get("metadata")
    name = metadata.get("beaconID", _DEFAULT_CHAIN) if isinstance(metadata, Mapping) else _DEFAULT_CHAIN
    parts = bytes.fromhex(_hex(fields, "public_key") + _hex(fields, "groupHash"))
    named = b"" if name == _DEFAULT_CHAIN else str(name).encode()
    if sha256(pack(">Iq", period_s, genesis_s) + parts + named).hexdigest() != beacon.chain_hash:
        raise BeaconFault("the chain does not have the hash that is configured")
    if (genesis_s * 1000, period_s * 1000) != (beacon.genesis_ms, beacon.period_ms):
        raise BeaconFault(f"the chain began at {genesis_s} with a period of {period_s} s; genesis or period is wrong")


def source_text(source: SpinSource) -> str:
    """Return the source as it is kept in Redis."""
    return json.dumps({name: value for name, value in source.document().items() if value is not None})


def source_from(text: str) -> SpinSource | None:
    """Return the source that `source_text` wrote; None of the empty text."""
    if not text:
        return None
    fields = json.loads(text)
    missed = fields.pop("missed", None)
    kind = BeaconKind(fields.pop("kind"))
    return SpinSource(kind, **fields, missed=BeaconKind(missed) if missed else None)


def _fields(answer: object) -> Mapping[str, object]:
    if not isinstance(answer, Mapping):
        raise BeaconFault("the answer is no JSON object")
    return answer


def _hex(fields: Mapping[str, object], name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or len(text) > 1024 or not _HEX.fullmatch(text.lower()):
        raise BeaconFault(f"{name} is not hex")
    return text.lower()
