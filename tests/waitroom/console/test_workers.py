"""What the workers counted, as figures."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tests.fakes import FakeClock
from waitroom.console.workers import Workers, read


class Worker:
    """The counts of one worker, by the names that gate and proxy give them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.started = Gauge("waitroom_worker_started_timestamp_seconds", "-", ["pid"], registry=self.registry)
        self.joins = Counter("waitroom_joins", "-", ["room", "outcome"], registry=self.registry)
        self.answers = Counter("waitroom_upstream_answers", "-", ["upstream", "status_class"], registry=self.registry)
        self.seconds = Histogram(
            "waitroom_upstream_seconds", "-", ["upstream"], buckets=(0.1, 1.0), registry=self.registry
        )


def test_no_look_no_figures_and_one_look_no_rates(clock: FakeClock) -> None:
    workers = Workers(lambda: Worker().registry, clock)
    assert workers.figures() == {"workers": None}

    workers.look()

    assert workers.figures() == {"workers": None}


async def test_rates_are_means_over_the_last_seconds(clock: FakeClock) -> None:
    worker = Worker()
    worker.started.labels("1").set(1)
    worker.started.labels("2").set(1)
    workers = Workers(lambda: worker.registry, clock)
    workers.look()
    for _ in range(30):
        await clock.advance(1)
        worker.joins.labels("drop", "new").inc(3)
        worker.joins.labels("drop", "known").inc(1)
        worker.answers.labels("store", "2xx").inc(4)
        worker.answers.labels("store", "5xx").inc(1)
        worker.seconds.labels("store").observe(0.05)
        workers.look()

    figures = workers.figures()

    assert figures["workers"] == 2
    assert figures["joins_per_s"] == 4.0
    assert figures["upstream_answers_per_s"] == 5.0
    assert figures["upstream_failures_per_s"] == 1.0
    assert figures["upstream_p95_ms"] == 95.0


async def test_confirmations_that_the_till_gave_up_are_told_while_there_are_any(clock: FakeClock) -> None:
    worker = Worker()
    worker.started.labels("1").set(1)
    dead = Gauge("waitroom_till_dead_letters", "-", ["sink"], registry=worker.registry)
    workers, told = Workers(lambda: worker.registry, clock), []
    for mail, erp in ((0, 0), (2, 1), (0, 0)):
        dead.labels("mail").set(mail)
        dead.labels("webhook:erp").set(erp)
        workers.look()
        await clock.advance(1)
        told.append(workers.figures().get("dead_letters"))

    assert told == [None, 3, None]


def test_workers_that_all_died_are_told_as_none_left(clock: FakeClock) -> None:
    worker = Worker()
    worker.started.labels("1").set(1)
    registries = [worker.registry, CollectorRegistry()]
    workers = Workers(lambda: registries.pop(0), clock)
    workers.look()
    assert workers.figures() == {"workers": 1}

    workers.look()

    assert workers.figures() == {"workers": 0}


async def test_workers_that_began_anew_count_as_nothing_and_never_backwards(clock: FakeClock) -> None:
    before = Worker()
    before.joins.labels("drop", "new").inc(100)
    registries = [before.registry, Worker().registry]
    workers = Workers(lambda: registries.pop(0), clock)
    workers.look()
    await clock.advance(1)
    workers.look()

    figures = workers.figures()

    assert (figures["joins_per_s"], figures["upstream_p95_ms"]) == (0.0, None)


def test_answers_slower_than_every_bucket_are_told_as_the_last_bound(clock: FakeClock) -> None:
    worker, registries = Worker(), [CollectorRegistry()]
    workers = Workers(lambda: registries.pop(0), clock)
    workers.look()
    worker.seconds.labels("store").observe(30)
    registries.append(worker.registry)
    clock._now_ms += 1000
    workers.look()

    assert workers.figures()["upstream_p95_ms"] == 1000.0


def test_sums_are_over_workers_and_labels() -> None:
    worker = Worker()
    worker.answers.labels("store", "error").inc(2)
    worker.answers.labels("other", "2xx").inc(5)

    counts = read(worker.registry, 0.0)

    assert counts.totals["waitroom_upstream_answers_total"] == 7
    assert counts.upstream_failures == pytest.approx(2)
