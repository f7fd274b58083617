"""The verdict on one visit: every case of the four."""

import pytest

from tests.snapshots import snapshot
from waitroom.kernel.tokens import Pass
from waitroom.rules.rooms import Phase, Queueing
from waitroom.rules.verdicts import Enter, Forward, Refuse, Wait, verdict

PASS = Pass("drop", "s", 0, 1)


def test_a_pass_counts_even_when_nothing_is_known_of_the_room() -> None:
    assert verdict(Queueing.FIFO, None, PASS, is_fresh=False) == Forward(PASS)


@pytest.mark.parametrize("queueing", [Queueing.FIFO, Queueing.RANDOM, Queueing.HYBRID])
def test_where_nothing_is_known_people_wait(queueing: Queueing) -> None:
    assert verdict(queueing, None, None, is_fresh=True) == Wait()
    assert verdict(queueing, snapshot(phase=Phase.IDLE), None, is_fresh=False) == Wait()


@pytest.mark.parametrize("phase", list(Phase))
def test_only_where_nobody_waits_somebody_goes_straight_in(phase: Phase) -> None:
    admits = phase in {Phase.IDLE, Phase.OPEN}

    assert verdict(Queueing.FIFO, snapshot(phase=phase), None, is_fresh=True) == (Enter() if admits else Wait())
    assert verdict(Queueing.FIFO, snapshot(phase=phase, waiting=1), None, is_fresh=True) == Wait()


def test_a_room_may_let_everybody_or_nobody_in() -> None:
    assert verdict(Queueing.PASSTHROUGH, None, None, is_fresh=False) == Forward(None)
    assert verdict(Queueing.REJECT, snapshot(), PASS, is_fresh=True) == Refuse()
