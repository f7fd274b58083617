"""What is counted in plain numbers arrives in the metrics, once."""

from prometheus_client import CollectorRegistry, Counter

from waitroom.gate.tally import Tally


def test_what_was_counted_is_poured_once() -> None:
    registry = CollectorRegistry()
    joins = Counter("joins", "-", ["room", "outcome"], registry=registry)
    tally = Tally()
    for outcome in ("new", "new", "known"):
        tally.count(joins, "drop", outcome)

    before = registry.get_sample_value("joins_total", {"room": "drop", "outcome": "new"})
    for _ in range(2):
        tally.pour()

    assert before is None
    assert registry.get_sample_value("joins_total", {"room": "drop", "outcome": "new"}) == 2
    assert registry.get_sample_value("joins_total", {"room": "drop", "outcome": "known"}) == 1
