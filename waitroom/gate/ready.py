"""Answers that are bytes, kept for a moment under the bytes that asked for them.

A crowd asks in very few ways: the same page, by the same browser. Whoever asks byte for byte what somebody else asked a
moment ago gets what they got, without a look at what was asked. What is about one visitor is about their cookies, and
these are among the bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from waitroom.gate.judge import Judge
from waitroom.rules.verdicts import Verdict

_MOST, _LONGEST = 2048, 2048
"""How many are kept, and how long the bytes may be that ask for one."""


@dataclass(slots=True)
class Ready:
    """One answer, and the kind of verdict that is counted each time it is given; None for what is no verdict."""

    answer: bytes
    room: str = ""
    kind: type[Verdict] | None = None
    times: int = 1


Memo = dict[bytes, Ready]
"""What is ready to be given out, by the whole request."""


def remember(memo: Memo, asked: bytes, ready: Ready) -> bool:
    """Keep `ready` for who asks the same; False where it cannot be kept."""
    if len(asked) > _LONGEST or len(memo) >= _MOST:
        return False
    memo[asked] = ready
    return True


def count(judge: Judge, given: Iterable[Ready]) -> None:
    """Count what was given out."""
    for ready in given:
        if ready.kind is not None:
            judge.count(ready.room, ready.kind, ready.times)
