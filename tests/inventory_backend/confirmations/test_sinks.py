"""What a sink answers."""

from inventory_backend.confirmations.sinks import SENT, Fate, Outcome


def test_what_was_sent_has_no_fault_and_waits_for_nothing() -> None:
    assert Outcome(Fate.SENT, "", 0) == SENT
