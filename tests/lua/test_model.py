"""The scripts beside the model: thousands of random moves, the same answers, every promise kept."""

from string import ascii_lowercase
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis import Redis

from tests.lua.model import Times
from tests.lua.twin import Twin

START = 1_700_000_000_000
TICKETS = st.integers(0, 24).map(lambda number: f"{('t', 't', 't', 'priority', 'slow')[number % 5]}{number}")
STEPS_MS = st.sampled_from([1, 3, 50, 250, 999, 1000, 1001, 6_000, 24_999, 25_000, 31_000, 120_000, 301_000, 3_600_000])
RATES = st.sampled_from([1 / 7, 0.001, 1.0, 59.9, 60.0, 90.0, 600.0, 1234.5, 60_000.0])
FRACTIONS = st.integers(0, 2**52 - 1).map(lambda number: number / 2**52)
SPINS = st.one_of(st.just(0.0), FRACTIONS, st.sampled_from([0.25, 0.5]))
SCORES = st.tuples(st.integers(-9, -1), st.one_of(FRACTIONS, st.just(0.0)), st.integers(1, 64))
UNITS = st.sampled_from([0, 0, 1, 3, 50])
PICKS = st.lists(st.integers(0, 24), max_size=12)
CHANGES = st.one_of(
    st.sampled_from([("pause", ""), ("resume", ""), ("message", "Hello, you there."), ("end", ""), ("resume", "")]),
    RATES.map(lambda rate: ("rate", repr(rate))),
    st.integers(0, 12).map(lambda cap: ("cap", str(cap))),
)


def picked(names: list[str], pick: list[int]) -> list[str]:
    """Return those of `names` that `pick` points at, in its order."""
    return [names[index % len(names)] for index in pick] if names else []


class RoomMachine(RuleBasedStateMachine):
    """Visitors, workers and ops, each doing whatever comes to mind."""

    client: ClassVar["Redis"]

    def __init__(self) -> None:
        super().__init__()
        self.draws: dict[str, tuple[float, float, float]] = {}
        self.sessions = 0

    @initialize(
        rate=RATES,
        cap=st.integers(0, 12),
        spin=SPINS,
        heads=st.sampled_from([0, 3, 2**53]),
        opens_in=st.sampled_from([None, 0, 5_000]),
        ends_in=st.sampled_from([None, None, 600_000]),
        duration=st.sampled_from([20_000, 300_000]),
        weights=st.sampled_from([(3.0, 0.1), (1.0, 1.0), (0.7, 0.5), (99.0, 0.01)]),
    )
    def begin(
        self,
        rate: float,
        cap: int,
        spin: float,
        heads: int,
        opens_in: int | None,
        ends_in: int | None,
        duration: int,
        weights: tuple[float, float],
    ) -> None:
        starts = None if opens_in is None else START + opens_in
        times = Times(
            prequeue=None if starts is None else START - 60_000,
            starts=starts,
            ends=None if ends_in is None else START + ends_in,
            rate=rate,
            cap=cap,
            duration_ms=duration,
            heads=heads,
            spin=spin,
            priority_weight=weights[0],
            slow_share=weights[1],
        )
        self.twin = Twin(self.client, times, now=START)
        self.twin.tick()

    @rule(newcomers=st.lists(TICKETS, min_size=1, max_size=8), score=SCORES)
    def join(self, newcomers: list[str], score: tuple[int, float, int]) -> None:
        for ticket in newcomers:
            head, draw, tail = score
            draw = (draw + int(ticket.lstrip(ascii_lowercase)) / 16) % 1  # some are equal, all keep 52 bits
            scores = self.draws.setdefault(ticket, (head + draw, draw, tail / 4 + 0.75))
            first = self.twin.join(ticket, scores)
            again = self.twin.join(ticket, scores)
            resent = self.twin.join(ticket, (-1.0, 0.5, 1.0), is_resent=True)

            assert again[:3] == resent[:3] == first[:3], "the same place when presented again"

    @rule(ms=STEPS_MS)
    def tick_later(self, ms: int) -> None:
        self.twin.advance(ms)
        self.twin.tick()

    @rule()
    def tick_by_several_workers(self) -> None:
        first = self.twin.tick()
        again = self.twin.tick()

        assert again == first, "what is due depends on the time, not on how many ask"

    @rule(count=st.integers(1, 30), step=st.sampled_from([100, 250, 1000]))
    def tick_in_time(self, count: int, step: int) -> None:
        for _ in range(count):
            self.twin.advance(step)
            self.twin.tick()

    @rule(ms=st.one_of(st.just(0), STEPS_MS), pick=PICKS)
    def claim(self, ms: int, pick: list[int]) -> None:
        self.twin.advance(ms)
        for ticket in picked(self.twin.model.awaited(), pick):
            reply = self.twin.claim(ticket)
            if reply[0] == "admitted":
                assert self.twin.claim(ticket) == reply, "the same answer when asked again"

    @rule(tickets=st.lists(TICKETS, max_size=6))
    def claim_at_any_time(self, tickets: list[str]) -> None:
        for ticket in tickets:
            self.twin.claim(ticket)

    @rule(count=st.integers(1, 15))
    def enter(self, count: int) -> None:
        for _ in range(count):
            self.sessions += 1
            first = self.twin.enter(f"s{self.sessions}")
            if first[0] == "admitted":
                assert self.twin.enter(f"s{self.sessions}") == first, "the same answer when sent again"

    @rule(pick=PICKS, some=TICKETS)
    def leave(self, pick: list[int], some: str) -> None:
        for ticket in [some, *picked(self.twin.model.line(), pick)]:
            self.twin.leave(ticket)

    @rule(pick=PICKS)
    def touch(self, pick: list[int]) -> None:
        inside = [name for name, end in self.twin.model.sessions.items() if end > self.twin.now]
        end = self.twin.now + self.twin.times.duration_ms
        self.twin.touch([(name, end) for name in picked(inside, pick)])

    @rule(pick=PICKS, some=TICKETS)
    def release(self, pick: list[int], some: str) -> None:
        for session in [some, *picked(list(self.twin.model.sessions), pick)]:
            self.twin.release(session)

    @rule(change=CHANGES)
    def control(self, change: tuple[str, str]) -> None:
        self.twin.control(*change)

    @rule(ms=STEPS_MS)
    def pause_a_while(self, ms: int) -> None:
        self.twin.tick()  # after a loss: what ops said before it goes before what they say now
        self.twin.control("pause")
        self.twin.tick()
        self.twin.advance(ms)
        for ticket in set(self.twin.model.awaited()) - set(self.twin.model.sessions):
            assert self.twin.claim(ticket)[0] in {"later", "ended", "lapsed", "unknown"}
        self.twin.tick()
        self.twin.control("resume")

    @rule(left=UNITS, held=UNITS, late=st.sampled_from([0, 0, 0, 1, 5_000]))
    def stock(self, left: int, held: int, late: int) -> None:
        said = self.twin.now - late
        self.twin.stock(left, held, said)
        assert self.twin.stock(left + 1, held, said) == ["known"], "a report counts once"

    @rule(how=st.integers(0, 9))
    def seldom(self, how: int) -> None:
        if how == 0:
            self.twin.control("end")
        elif how == 1:
            self.twin.restart_workers()

    @rule(worker=st.integers(0, 2))
    def tick_by_another(self, worker: int) -> None:
        self.twin.tick(worker)

    @rule()
    def flush(self) -> None:
        self.twin.lose()
        self.twin.tick()

    @rule()
    def keep_copy(self) -> None:
        self.twin.keep_copy()

    @rule(worker=st.integers(0, 2))
    def fail_over(self, worker: int) -> None:
        self.twin.fail_over()
        self.twin.tick(worker)

    @rule()
    def passes_are_shown(self) -> None:
        self.twin.touch([(name, end) for name, (end, _) in self.twin.passes.items() if end > self.twin.now])

    @rule()
    def everybody_is_back(self) -> None:
        for ticket in self.twin.scores:
            self.twin.join(ticket, (-1.0, 0.5, 1.0))

    @invariant()
    def every_promise_holds(self) -> None:
        if hasattr(self, "twin"):
            self.twin.look()


def run_machine(url: str, *, examples: int, steps: int, **more: Any) -> None:
    """Drive the machine on the server at `url`."""
    client = Redis.from_url(f"{url}?db=2", decode_responses=True)
    machine = type("Bound", (RoomMachine,), {"client": client})
    # every example talks to Redis thousands of times: the health checks measure that, not us
    quiet = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
    try:
        run_state_machine_as_test(machine, settings=quiet)
    finally:
        client.close()


def test_scripts_and_model_agree_and_keep_every_promise(valkey_url: str) -> None:
    run_machine(valkey_url, examples=200, steps=50)
