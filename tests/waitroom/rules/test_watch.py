"""One worker's view of an upstream: slow from the moment it is over the target, one probe in an outage."""

import pytest

from waitroom.rules.health import Circuit, HealthRules, Probe, Sample
from waitroom.rules.watch import Watch

RULES = HealthRules(target_ttfb_ms=500, probe_interval_ms=5000)


@pytest.fixture
def watch() -> Watch:
    return Watch(RULES)


def begun(watch: Watch, at_s: float, *, is_timed: bool = True) -> int:
    number = watch.begin(at_s, is_plain=True, is_timed=is_timed)
    assert number is not None
    return number


@pytest.mark.parametrize(
    ("status", "took_s", "sample"),
    [
        (200, 0.1, Sample(1, 0, 0)),
        (200, 0.5, Sample(1, 0, 0)),
        (200, 0.6, Sample(1, 1, 0)),
        (404, 0.1, Sample(1, 0, 0)),
        (500, 0.1, Sample(1, 0, 1)),
        (502, 9.0, Sample(1, 0, 1)),
        (501, 0.1, Sample(1, 0, 0)),
        (None, 0.1, Sample(0, 0, 0)),
        (None, 0.6, Sample(1, 1, 0)),
    ],
)
def test_an_answer_is_well_slow_or_failed(watch: Watch, status: int | None, took_s: float, sample: Sample) -> None:
    watch.end(begun(watch, 10), status, 10 + took_s)

    assert watch.sample(11) == sample
    assert watch.sample(12) == Sample(), "it is told once"


def test_what_hangs_is_slow_while_it_hangs_and_failed_when_it_fails(watch: Watch) -> None:
    number = begun(watch, 10)

    assert watch.sample(10.4) == Sample()
    assert watch.sample(10.6) == Sample(1, 1, 0)
    assert watch.sample(20) == Sample()
    watch.end(number, 504, 40)
    assert watch.sample(40) == Sample(1, 0, 1)


def test_what_was_slow_while_it_hung_and_came_is_not_slow_twice(watch: Watch) -> None:
    number = begun(watch, 10)
    assert watch.sample(11) == Sample(1, 1, 0)

    watch.end(number, 200, 12)
    assert watch.sample(12) == Sample()


def test_the_pace_of_an_upload_is_the_visitors(watch: Watch) -> None:
    watch.end(begun(watch, 10, is_timed=False), 200, 60)
    watch.end(begun(watch, 10, is_timed=False), 503, 60)

    assert watch.sample(60) == Sample(2, 0, 1)


def test_a_request_ends_once(watch: Watch) -> None:
    number = begun(watch, 10)
    watch.end(number, 200, 10)
    watch.end(number, None, 99)

    assert watch.sample(99) == Sample(1, 0, 0)


def test_an_open_circuit_lets_nobody_through(watch: Watch) -> None:
    number = begun(watch, 10)
    watch.heed(Circuit.OPEN)

    assert watch.begin(11, is_plain=True) is None
    watch.end(number, 502, 11)
    assert watch.sample(11) == Sample(), "what was asked before says nothing now"


def test_whoever_was_granted_a_probe_sends_one_plain_request(watch: Watch) -> None:
    watch.heed(Circuit.OPEN)
    assert watch.grant(10)
    assert not watch.grant(10)
    assert watch.begin(10, is_plain=False) is None

    number = begun(watch, 10)
    assert watch.begin(10, is_plain=True) is None
    assert watch.outcome(11) is None
    watch.end(number, 200, 12)
    assert watch.outcome(12) is Probe.PASSED
    assert watch.begin(12, is_plain=True) is None
    watch.settle()
    assert watch.outcome(13) is None
    assert watch.sample(13) == Sample(), "a probe is no sample"


def test_a_probe_that_fails_says_so(watch: Watch) -> None:
    watch.heed(Circuit.OPEN)
    watch.grant(10)
    watch.end(begun(watch, 10), 503, 10)

    assert watch.outcome(10) is Probe.FAILED


def test_a_probe_that_hangs_has_failed_and_one_that_nobody_used_is_unused(watch: Watch) -> None:
    watch.heed(Circuit.OPEN)
    watch.grant(10)
    number = begun(watch, 10)
    assert watch.outcome(15) is Probe.FAILED
    watch.settle()
    watch.end(number, 200, 16)
    assert watch.outcome(16) is None, "its answer comes too late"

    watch.grant(20)
    assert watch.outcome(24.9) is None
    assert watch.outcome(25) is Probe.UNUSED


def test_a_visitor_who_leaves_makes_room_for_the_next_to_try(watch: Watch) -> None:
    watch.heed(Circuit.OPEN)
    watch.grant(10)
    watch.end(begun(watch, 10), None, 11)

    assert watch.outcome(11) is None
    watch.end(begun(watch, 12), 200, 12)
    assert watch.outcome(12) is Probe.PASSED


def test_half_open_lets_through_one_more_with_each_success(watch: Watch) -> None:
    watch.heed(Circuit.OPEN)
    watch.heed(Circuit.HALF_OPEN)
    first = begun(watch, 10)
    assert watch.begin(10, is_plain=True) is None
    watch.end(first, 200, 10)
    both = [begun(watch, 10), begun(watch, 10)]
    assert watch.begin(10, is_plain=True) is None

    for number in both:
        watch.end(number, 503, 10)
    assert watch.sample(10) == Sample(3, 0, 2)
    assert [watch.begin(11, is_plain=False) is None for _ in range(3)] == [False, False, True]


def test_a_closed_circuit_lets_everybody_through_again(watch: Watch) -> None:
    for circuit in (Circuit.OPEN, Circuit.HALF_OPEN, Circuit.CLOSED):
        watch.heed(circuit)

    assert all(watch.begin(10, is_plain=False) for _ in range(100))
