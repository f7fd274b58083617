"""Counting in plain numbers comes to the same as counting in metrics."""

from prometheus_client import REGISTRY

from waitroom.proxy.counters import UPSTREAM_SECONDS
from waitroom.proxy.slots import Slots
from waitroom.proxy.tally import Tally

TIMES_S = (0.0, 0.004, 0.005, 0.0051, 0.7, 1.0, 29.9, 30.0, 31.0, 400.0)


def figure(name: str, upstream: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"upstream": upstream, **labels}) or 0.0


def seconds(upstream: str) -> list[tuple[str, float]]:
    """Return every series of the histogram, but for when it was made."""
    return [
        (sample.name + sample.labels.get("le", ""), sample.value)
        for metric in UPSTREAM_SECONDS.collect()
        for sample in metric.samples
        if sample.labels["upstream"] == upstream and not sample.name.endswith("_created")
    ]


def test_times_fall_where_the_histogram_itself_would_put_them() -> None:
    tally = Tally("poured", Slots(1, patience_s=1))
    for taken_s in TIMES_S:
        tally.answered(200, taken_s)
        UPSTREAM_SECONDS.labels("observed").observe(taken_s)
    tally.pour()

    assert [value for _, value in seconds("poured")] == [value for _, value in seconds("observed")]


def test_answers_are_counted_by_class_and_none_at_all_has_no_time() -> None:
    tally = Tally("classes", Slots(1, patience_s=1))
    for status in (200, 204, 304, 404, 503, 0, 0):
        tally.answered(status, 0.1)
    assert figure("waitroom_upstream_answers_total", "classes", status_class="2xx") == 0
    tally.pour()
    tally.pour()  # what was poured out is not poured again

    found = {
        one: figure("waitroom_upstream_answers_total", "classes", status_class=one)
        for one in ("2xx", "3xx", "4xx", "5xx", "error")
    }
    assert found == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1, "error": 2}
    assert figure("waitroom_upstream_seconds_count", "classes") == 5


def test_what_is_in_flight_takes_a_slot_of_either_kind() -> None:
    plain, long = Slots(3, patience_s=1), Slots(3, patience_s=1)
    tally = Tally("flying", plain, long)
    first = plain.take_now()
    long.take_now()
    tally.pour()
    assert figure("waitroom_upstream_in_flight", "flying") == 2
    assert first is not None
    first.release()
    tally.pour()

    assert figure("waitroom_upstream_in_flight", "flying") == 1
