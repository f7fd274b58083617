"""What to do with one visit to a guarded path."""

from dataclasses import dataclass

from waitroom.kernel.tokens import Pass
from waitroom.rules.rooms import Phase, Queueing, Snapshot


@dataclass(frozen=True, slots=True)
class Forward:
    """Carry it to the upstream; `pass_` is None where nobody has to be admitted."""

    pass_: Pass | None


@dataclass(frozen=True, slots=True)
class Enter:
    """Nobody seems to wait: ask Redis for a session, and let the visitor wait if it has none."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """Ops let everybody through: give a pass that lasts until `until_ms`, whatever the limits say."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Show the waiting page, or say in JSON that there is a line."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The room is closed to everybody."""


Verdict = Forward | Enter | Welcome | Wait | Refuse


def verdict(
    queueing: Queueing, snapshot: Snapshot | None, pass_: Pass | None, *, is_fresh: bool, now_ms: int = 0
) -> Verdict:
    """Return what to do with a visit.

    There are five cases:
    1. the room lets everybody or nobody in, whoever they are, or ops closed it;
    2. the visitor has a valid pass: it counts even when Redis is gone;
    3. ops let everybody through for a while;
    4. nobody seems to wait, and what we know of the room is fresh: they may go straight in;
    5. they wait.
    """
    if queueing is Queueing.PASSTHROUGH:
        return Forward(None)
    if queueing is Queueing.REJECT or (snapshot is not None and snapshot.is_closed):
        return Refuse()
    if pass_ is not None:
        return Forward(pass_)
    if snapshot is not None and snapshot.is_open_to_all(now_ms):
        return Welcome(snapshot.open_until_ms)
    if snapshot is not None and is_fresh and snapshot.phase in {Phase.IDLE, Phase.OPEN} and not snapshot.main.waiting:
        return Enter()
    return Wait()
