"""A test of the tests: each seeded fault in a script is caught by the walk that compares scripts and model."""

from collections.abc import Callable, Iterator
from random import Random

import pytest
from redis import Redis

from tests.lua.model import Times
from tests.lua.twin import Patch, Twin

START = 1_700_000_000_000
STARTS = START + 5000

MUTANTS: dict[str, Patch] = {
    "a second join moves the ticket": {
        "rooms/join": (
            "redis.call('ZADD', queue, 'NX', score, ticket) == 0",
            "redis.call('ZADD', queue, score, ticket) == 2",
        ),
    },
    "a newcomer may land before the threshold": {
        "rooms/join": ("elseif turn_of(tonumber(tail), spin) > serving then", "elseif true then")
    },
    "all who are late share a place": {
        "rooms/join": ("redis.call('HSET', line, 'late_upto', score)", "tostring(score)")
    },
    "too many keep their order before the draw": {
        "rooms/join": ("heads_taken(line, queue) < heads and", "heads_taken(line, queue) <= heads and")
    },
    "a loss makes places among the first": {
        "rooms/join": ("math.max(tonumber(redis.call('HGET', line, 'heads') or 0), heads_in(queue))", "heads_in(queue)")
    },
    "who was admitted before a loss is told to wait": {
        "rooms/join": ("is_inside = has_history and", "is_inside = false and")
    },
    "an order is told that is still to be drawn": {"rooms/join": ("if is_early and number >= 0", "if false")},
    "whoever is back is not counted on": {"rooms/join": ("    one_more(room, lane, turn, now)\n", "\n")},
    "the threshold itself is not called": {"sessions/claim": ("if turn > serving then", "if turn >= serving then")},
    "anybody may claim": {"sessions/claim": ("if turn > serving then", "if false then")},
    "a claim takes no token": {
        "sessions/claim": ("keep_tokens(room, tokens - 1, now)", "keep_tokens(room, tokens, now)")
    },
    "a claim looks at no token": {"sessions/claim": ("tokens < WHOLE and", "false and")},
    "a claim looks at no cap": {"sessions/claim": ("inside(room, sessions, now) >= tonumber(r[4])", "false")},
    "the cap is one too large": {
        "sessions/claim": (
            "inside(room, sessions, now) >= tonumber(r[4])",
            "inside(room, sessions, now) > tonumber(r[4])",
        ),
    },
    "a ticket claims twice": {
        "sessions/claim": (" or redis.call('ZSCORE', claimed, ticket) and not again then", " then")
    },
    "a revoked ticket claims again": {"sessions/claim": ("if redis.call('ZSCORE', revoked, ticket) or", "if")},
    "a lapsed ticket claims": {"sessions/claim": ("turn > tonumber(l[3] or '-inf') and turn or again", "turn")},
    "who lapsed returns twice": {"rooms/join": ("if redis.call('ZSCORE', lane.claimed, ticket) or turn", "if turn")},
    "who lapsed before a loss returns": {"rooms/tick": ("'no_return_upto', l[1])", "'no_return_upto', '-inf')")},
    "who returns is not counted on": {"rooms/join": ("{ left = 1, due = 1, deadline_ms", "{ left = 1, deadline_ms")},
    "who came in on a second call has it still": {
        "sessions/claim": ("called_at, now)\nend_second_call(lane, ticket)", "called_at, now)")
    },
    "who returns brings tokens along": {
        "rooms/join": ("  if by > 0 then\n    keep_tokens(room, refilled(room, now), now)\n  end\n", "")
    },
    "a second call has no window": {"rooms/join": ("due = 1, deadline_ms = more_ms", "due = 1")},
    "a second call never ends": {"rooms/join": ("'ZADD', lane.knocks, l[1],", "'ZADD', lane.knocks, '+inf',")},
    "a second call ends that of another": {
        "sessions/claim": ("one_less(room, lane, ticket, called_at, now)", "one_less(room, lane, ticket, turn, now)")
    },
    "who returned and leaves is waited for": {
        "rooms/leave": ("turn > tonumber(l[3] or '-inf') and turn or again", "turn > tonumber(l[3] or '-inf') and turn")
    },
    "a forgotten ticket returns": {
        "rooms/tick": ("redis.call('HSET', lane.line, 'no_return_upto', l[2])", "tostring(l[2])")
    },
    "those who wait are forgotten": {"rooms/tick": ("'mark_upto', l[1],", "'mark_upto', '9e9',")},
    "those in the draw are forgotten": {
        "rooms/tick": (
            "'-inf', '(1'), redis.call('ZCOUNT', key, '1', upto)",
            "'-inf', '(0'), redis.call('ZCOUNT', key, '0', upto)",
        )
    },
    "nobody is ever forgotten": {
        "rooms/tick": (
            "if count > 0 then\n    redis.call('ZREMRANGEBYRANK', key, before",
            "if false then\n    redis.call('ZREMRANGEBYRANK', key, before",
        )
    },
    "a claim does not end its call": {
        "sessions/claim": ("1, now)\none_less(room, lane, ticket, called_at, now)", "1, now)")
    },
    "whoever is told to come back is not counted on": {
        "sessions/claim": ("knock(room, lane, ticket, called_at, now + wait + PATIENCE_MS, now)", ""),
    },
    "a claim gets past a pause": {
        "sessions/claim": ("if held_as(room, event) then\n  return", "if false then\n  return")
    },
    "a claim gets past the end": {
        "sessions/claim": ("if r[2] == event or (ends and now >= ends) then", "if false then")
    },
    "straight in past those who wait": {"rooms/enter": ("if ready > 0 then\n  return", "if false then\n  return")},
    "straight in on a token of the called": {"rooms/enter": ("tokens - expected < WHOLE", "tokens < WHOLE")},
    "straight in on a seat of the called": {
        "rooms/enter": ("inside(room, sessions, now) + expected >=", "inside(room, sessions, now) >=")
    },
    "straight in takes no token": {
        "rooms/enter": ("keep_tokens(room, tokens - 1, now)", "keep_tokens(room, tokens, now)")
    },
    "straight in twice": {"rooms/enter": ("if held and held > now then", "if false then")},
    "straight in past a pause": {
        "rooms/enter": ("if phase ~= 'idle' and phase ~= 'open' then", "if phase == 'ended' then")
    },
    "time is paid twice": {
        "rooms/tick": (
            "keep_tokens(room, tokens, now)\n  redis.call('HINCRBY', room, 'beats'",
            "redis.call('HSET', room, 'tokens', tokens)\n  redis.call('HINCRBY', room, 'beats'",
        )
    },
    "the called are counted on for ever": {"rooms/tick": ("settled_upto = is_settled and", "settled_upto = false and")},
    "the called are not counted on": {"rooms/tick": ("settled_upto = is_settled and", "settled_upto = true and")},
    "who stays away is not made up for": {
        "rooms/tick": ("math.floor(count / show_up_ratio(lane) + 1e-9)", "count"),
    },
    "who stays away is counted on": {
        "rooms/tick": ("math.ceil(called * show_up_ratio(lane) - 1e-9)", "called"),
    },
    "who is told to come back stayed away": {"rooms/tick": ("math.max(batch.left - batch.knocked, 0)", "batch.left")},
    "who cannot come in a pause stays away": {"rooms/tick": ("is_settled and could_come and", "is_settled and")},
    "one batch is learnt from for ever": {"rooms/tick": ("  batch.size = 0\n", "\n")},
    "one batch is all there is to learn": {"rooms/tick": ("local WEIGHT = 50", "local WEIGHT = 0")},
    "what was learnt is lost": {"rooms/tick": ("'heads', 'show_up_ratio' }", "'heads' }")},
    "a pause saves up a burst": {
        "rooms/tick": ("tokens = math.min(tokens, 1) --", "--"),
        "rooms/control": (
            "math.min(1, tonumber(redis.call('HGET', room, 'tokens')))",
            "tonumber(redis.call('HGET', room, 'tokens'))",
        ),
    },
    "calls run out in a pause": {
        "rooms/tick": (
            "if is_admitting and batch.deadline_ms <= terms.now then",
            "if batch.deadline_ms <= terms.now then",
        )
    },
    "calls run out of turn": {"rooms/tick": ("      is_admitting = false\n", "\n")},
    "calls run out a moment late": {
        "rooms/tick": ("batch.deadline_ms <= terms.now then", "batch.deadline_ms < terms.now then")
    },
    "one too many is called": {
        "rooms/tick": ("math.min(calls_for(lane, count),", "math.min(calls_for(lane, count) + 1,")
    },
    "calls look at no cap": {"rooms/tick": ("math.min(tokens + 1 - WHOLE, free)", "(tokens + 1 - WHOLE)")},
    "calls forget who was called before": {"rooms/tick": ("free) - expected)", "free))")},
    "nine decimals of a token": {
        "rooms/tick": ("'tokens', string.format('%.17g', tokens)", "'tokens', string.format('%.9f', tokens)")
    },
    "the bucket holds no fraction": {
        "rooms/tick": ("return 1 + rate_per_minute / 60", "return math.max(1, rate_per_minute / 60)")
    },
    "the spin is forgotten": {"rooms/tick": ("return (score - spin) % 1", "return score")},
    "the draw is counted from its start": {"rooms/tick": ("local last = spin + turn\n", "local last = turn\n")},
    "a seat is given away too early": {"rooms/tick": ("LINGER_MS = 2000", "LINGER_MS = 0")},
    "a silence gives seats away": {"rooms/tick": ("HOLD_MS = 10000", "HOLD_MS = 0")},
    "a silence never ends": {"rooms/tick": ("if held[3] and now < tonumber(held[3]) then", "if held[3] then")},
    "a lapsed ticket frees the call of another": {
        "rooms/leave": ("turn > tonumber(l[3] or '-inf') and turn or again", "turn")
    },
    "a full bucket is never written down": {"rooms/tick": ("is_full(room, tokens) and", "")},
    "the threshold is lost": {
        "rooms/tick": (
            "then\n      redis.call('HSET', lane.line, name, value)",
            "then\n      redis.call('HSET', lane.line, name, name == 'serving' and '-inf' or value)",
        )
    },
    "the lapsed are called again": {"rooms/tick": ("'serving', 'lapsed_upto', 'called'", "'serving', 'called'")},
    "the threshold falls back": {
        "rooms/tick": (
            "if not held or name == 'show_up_ratio' or tonumber(value) > tonumber(held) then",
            "if true then",
        ),
    },
    "what ops said is lost": {"rooms/tick": ("if is_overruled then", "if false then")},
    "ops are overruled by an elder memory": {"rooms/tick": ("if is_overruled then", "if true then")},
    "the pages hear of no loss": {"rooms/tick": ("redis.call('HSET', room, 'generation', newborn)", "")},
    "every worker begins another life": {"rooms/tick": ("if not is_followed then", "if true then")},
    "nobody waits for those who waited": {"rooms/tick": ("and missing == 0 then", "then")},
    "straight in past those who are not back yet": {
        "rooms/enter": ("\nready = ready + missing_from(room, now, waiting)", "\n")
    },
    "who was called before a loss has no new window": {
        "rooms/tick": ("end\n      call_again(room, lanes, now, window)\n", "end\n")
    },
    "seats are given away before their passes are shown": {
        "rooms/tick": ("+ unseen(room, now)\nend", "\nend"),
    },
    "a pass that is shown again takes a second seat": {
        "sessions/touch": ("seen_again(room, now)\n    end", "\n    end")
    },
    "old tokens are spent twice": {
        "rooms/tick": (", 0)\n    keep_tokens(room, math.min(1, tonumber(", ", 0)\n    tostring(math.min(1, tonumber(")
    },
    "guests have no weight": {
        "rooms/tick": ("and weights.priority or lane.ready / crowd", "and 1 or lane.ready / crowd")
    },
    "slow counts as another main": {"rooms/tick": ("or lane.ready / crowd", "or 1")},
    "slow has no cap": {"rooms/tick": ("rest > 0 and 1 - rest > weights.slow_share", "false")},
    "fractions of a call are forgotten": {"rooms/tick": ("lane.credit = lane.credit - lane.due", "lane.credit = 0")},
    "fractions of a call are not kept": {"rooms/tick": ("redis.call('HSET', lane.line, 'credit'", "tostring('credit'")},
    "what a lane leaves over is lost": {"rooms/tick": ("lane.credit = lane.credit + owed * lane.share", "")},
    "an empty lane keeps what it is owed": {
        "rooms/tick": ("owed, lane.credit = owed + lane.credit, 0\n    end", "end")
    },
    "rounding favours the first lane": {
        "rooms/tick": ("sign * (lane.credit - lane.due) > sign * (found.credit - found.due)", "false")
    },
    "who is slow pays no time": {"rooms/tick": ("if lane.name == 'slow' and lane.waiting > 0 then", "if false then")},
    "who pays time is in the way of others": {"rooms/enter": ("ready + lane.ready", "ready + lane.waiting")},
    "straight in past the guests": {
        "rooms/enter": ("if redis.call('EXISTS', lane.queue) == 1 then", "if lane.name ~= 'priority' then")
    },
    "the calls of other lanes are not settled": {
        "rooms/tick": (
            "  if lane.is_used then\n    local left",
            "  lane.settled_upto = -math.huge\n  if lane == main then\n    local left",
        )
    },
    "a resume forgets the other lanes": {
        "rooms/control": ("    call_again(room, lanes, now, window)", "    call_again(room, { lanes[1] }, now, window)")
    },
    "a loss brings back main alone": {
        "rooms/tick": ("grown[lane.name] = lane.is_used and", "grown[lane.name] = lane.name == 'main' and")
    },
    "a report counts twice": {"rooms/stock": ("said <= last.said_ms", "said < last.said_ms")},
    "a late report counts": {
        "rooms/stock": ("if last and said <= last.said_ms then", "if last and said == last.said_ms then")
    },
    "a report counts for ever": {"rooms/tick": ("now - supply.heard_ms >= lasts", "false")},
    "nothing to come back is no reason to wait": {"rooms/tick": ("supply.left + supply.held == 0", "false")},
    "what is held is gone": {
        "rooms/tick": ("supply and supply.left + supply.held == 0", "supply and supply.left == 0")
    },
    "units that return open nothing": {"rooms/tick": ("redis.call('HDEL', room, 'gone')", "")},
    "units that return give no new window": {
        "rooms/tick": (
            "now)\n    call_again(room, lanes, now, window)\n  end\n  if said.may_buy",
            "now)\n  end\n  if said.may_buy",
        )
    },
    "units that return let a burst in": {
        "rooms/tick": (
            "'gone')\n    keep_tokens(room, math.min(1, tonumber(redis.call('HGET', room, 'tokens'))), now)",
            "'gone')\n    keep_tokens(room, 9, now)",
        )
    },
    "people are called for whom there is nothing": {"rooms/tick": ("- expected), may_buy)", "- expected), math.huge)")},
    "people are called for what is held": {
        "rooms/tick": ("supply.left - expected -", "supply.left + supply.held - expected -")
    },
    "who is on the way buys nothing": {"rooms/tick": ("supply.left - expected -", "supply.left -")},
    "who came in has bought at once": {
        "rooms/tick": ("all, kept[#kept + 1] = all + group.people,", "kept[#kept + 1] =")
    },
    "who has bought may still buy": {
        "rooms/tick": ("group.people - bought, taken - bought", "group.people, taken - bought")
    },
    "a unit is taken twice": {"rooms/tick": ("group.people - bought, taken - bought", "group.people - bought, taken")},
    "units that return make people buy": {
        "rooms/tick": ("math.max(0, (had or left) - left)", "math.abs((had or left) - left)")
    },
    "who came in buys for ever": {
        "rooms/tick": ("if group.people > 0 and now - group.ms < deciding then", "if group.people > 0 then")
    },
    "nobody new comes in": {"rooms/tick": ("newest.people = newest.people + arrived", "newest.people = newest.people")},
    "who comes in makes all others wait": {"rooms/tick": ("now - newest.ms < deciding / STEPS", "true")},
    "straight in where there is nothing": {"rooms/enter": ("if may_buy and may_buy < 1 then", "if false then")},
    "who comes straight in takes nothing": {
        "rooms/enter": ("redis.call('HINCRBY', room, 'may_buy', -1)", "redis.call('HINCRBY', room, 'may_buy', 0)")
    },
    "a claim gets past sold out": {"sessions/claim": ("held[4] == '1' and 'sold_out' or nil", "nil")},
    "a loss forgets the stock": {"rooms/tick": ("    recall_supply(room, memory.stock)\n", "\n")},
    "a loss brings an old report back": {"rooms/tick": ("not held or seen.said_ms > held.said_ms", "true")},
    "leaving frees no call": {
        "rooms/leave": (
            "  one_less(room, lane, ticket, called_at, now)\n",
            "\n",
        )
    },
    "somebody inside leaves the line": {
        "rooms/leave": ("if not score or redis.call('ZSCORE', claimed, ticket) and not again then", "if not score then")
    },
    "a resume gives no new window": {
        "rooms/control": ("math.max(batch.deadline_ms, now + window)", "batch.deadline_ms")
    },
    "a resume does not count on the called": {
        "rooms/control": ("batch.called_ms, batch.deadline_ms = now,", "batch.deadline_ms =")
    },
    "a new rate is paid backwards": {"rooms/control": ("  keep_tokens(room, refilled(room, now), now) --", "  --")},
    "a touch brings back the revoked": {
        "sessions/touch": ("if redis.call('ZSCORE', revoked, id) then", "if false then")
    },
    "a touch brings back what is over": {"sessions/touch": ("elseif ends > now then", "else")},
    "a release keeps the seat": {
        "sessions/release": ("redis.call('ZREM', sessions, session) == 1", "redis.call('ZSCORE', sessions, session)")
    },
}

RARELY_CAUGHT = {
    "too many keep their order before the draw": 11,
    "a loss makes places among the first": 240,
    "who came in on a second call has it still": 19,
    "who returns brings tokens along": 328,
    "a second call has no window": 10,
    "a second call never ends": 10,
    "a second call ends that of another": 19,
    "who returned and leaves is waited for": 39,
    "a forgotten ticket returns": 19,
    "who stays away is not made up for": 24,
    "who stays away is counted on": 24,
    "calls run out a moment late": 190,
    "the spin is forgotten": 8,
    "the draw is counted from its start": 8,
    "a silence never ends": 33,
    "a lapsed ticket frees the call of another": 10,
    "a full bucket is never written down": 23,
    "who pays time is in the way of others": 5,
    "what is held is gone": 5,
    "units that return give no new window": 13,
    "units that return let a burst in": 13,
    "a unit is taken twice": 41,
    "units that return make people buy": 13,
    "who came in buys for ever": 97,
    "who comes in makes all others wait": 97,
    "straight in where there is nothing": 5,
    "who comes straight in takes nothing": 41,
    "a claim gets past sold out": 5,
    "a loss forgets the stock": 9,
    "a loss brings an old report back": 5,
    "a new rate is paid backwards": 34,
}
"""A walk that catches what few others do: it goes first, so that nobody waits for those that find nothing."""


class Walk:
    """One long random walk through a room; the same for the same seed."""

    def __init__(self, client: "Redis", seed: int, patch: Patch) -> None:
        self.chance = Random(seed)
        spin = self.chance.choice([0.0, self.chance.getrandbits(52) / 2**52])
        times = Times(
            prequeue=self.chance.choice([None, START - 1000]),
            starts=STARTS,
            ends=self.chance.choice([None, START + 3_000_000]),
            rate=self.chance.choice([0.7, 20.0, 90.0, 600.0]),
            cap=self.chance.randint(2, 8),
            window_ms=40_000,
            settle_ms=8_000,
            trim_ms=60_000,
            duration_ms=30_000,
            heads=self.chance.choice([0, 2]),
            spin=spin,
        )
        self.twin = Twin(client, times, now=START, patch=patch)
        self.count = 0
        self.reports = seed % 4 == 1  # a store that reports holds much else back: most walks are without one

    def steps(self, count: int) -> Iterator[None]:
        """Make `count` moves, and look at every promise after each."""
        self.twin.tick()
        moves: list[Callable[[], object]] = [
            self.join, self.join, self.tick, self.tick, self.tick, self.come, self.come, self.ask, self.enter,
            self.leave, self.touch, self.release, self.change, self.pause, self.again, self.fail,
        ]  # fmt: skip
        if self.reports:
            moves += [self.report] * 3
        for _ in range(count):
            self.chance.choice(moves)()
            self.twin.look()
            yield

    def some(self, names: list[str]) -> list[str]:
        return self.chance.sample(names, min(len(names), self.chance.randint(1, 3)))

    def join(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            self.count += 1
            draw = self.chance.getrandbits(52) / 2**52
            lane = self.chance.choice(["t", "t", "priority", "slow"])
            tail = self.chance.randint(4, 40) / 4
            if lane == "slow" and self.chance.random() < 0.5:  # it pays in waiting time
                tail += max(0, self.twin.now - STARTS) + self.chance.randint(0, 10_000)
            self.twin.join(f"{lane}{self.count}", (draw - 5, draw, tail))

    def again(self) -> None:
        for ticket in self.some(list(self.twin.scores)):
            self.twin.join(ticket, (-1.0, 0.5, 1.0), is_resent=self.chance.random() < 0.5)

    def tick(self) -> None:
        for _ in range(self.chance.choice([1, 1, 12])):
            self.twin.advance(self.chance.choice([1, 250, 250, 950, 950, 1000, 3000, 8000]))
            self.twin.tick()

    def come(self) -> None:
        for ticket in self.some(self.twin.model.awaited()):
            self.twin.claim(ticket)

    def ask(self) -> None:
        for ticket in self.some(list(self.twin.scores)) + self.some(list(self.twin.admitted)):
            self.twin.claim(ticket)

    def enter(self) -> None:
        for _ in range(self.chance.choice([1, 9])):
            self.count += 1
            self.twin.enter(f"s{self.count}")
        self.twin.enter(f"s{self.count}")

    def leave(self) -> None:
        for ticket in self.some(list(self.twin.scores)):
            self.twin.leave(ticket)

    def touch(self) -> None:
        sessions = self.twin.model.sessions
        self.twin.touch(
            [(name, self.chance.choice([sessions[name], self.twin.now + 30_000])) for name in self.some(list(sessions))]
        )
        self.twin.touch([(name, self.twin.now + 1000) for name in self.some(list(self.twin.model.revoked))])
        self.twin.touch([(name, self.twin.now - 1) for name in self.some(list(self.twin.scores))])

    def release(self) -> None:
        for name in self.some(list(self.twin.model.sessions)):
            self.twin.release(name)

    def change(self) -> None:
        if self.chance.random() < 0.5:
            self.twin.control("rate", repr(self.chance.choice([0.7, 20.0, 90.0, 600.0])))
        else:
            self.twin.control("cap", str(self.chance.randint(1, 8)))

    def report(self) -> None:
        """Say as the store behind what there is, now and then late; or that all is gone, until something returns."""
        left, held = self.chance.choice([(0, 0), (0, 2), (1, 0), (2, 3), (40, 0)])
        self.twin.stock(left, held, self.twin.now - self.chance.choice([0, 0, 2000]))
        self.twin.tick()
        self.enter()
        self.come()

    def fail(self) -> None:
        """Lose all, or go back to a copy, or restart the workers. Then some show what they hold."""
        self.twin.keep_copy()
        for _ in range(self.chance.choice([0, 3])):
            self.chance.choice([self.join, self.come, self.tick, self.change, self.leave])()
        self.twin.tick(1)
        self.chance.choice([self.twin.lose, self.twin.fail_over, self.twin.fail_over, self.twin.restart_workers])()
        for worker in self.chance.sample([0, 1, 2], 2):
            self.twin.tick(worker)
        self.enter()
        self.twin.touch([(name, end) for name, (end, _) in self.twin.passes.items() if end > self.twin.now])
        for ticket in self.some(list(self.twin.scores)):
            self.twin.join(ticket, (-1.0, 0.5, 1.0))
        self.come()
        self.tick()

    def pause(self) -> None:
        self.twin.control(self.chance.choice(["pause", "pause", "end"]))
        self.twin.tick()
        self.twin.advance(self.chance.choice([1000, 20_000, 60_000]))
        self.come()
        self.enter()
        self.tick()
        self.twin.control("resume")


@pytest.fixture
def client(valkey_url: str) -> Iterator["Redis"]:
    client = Redis.from_url(f"{valkey_url}?db=3", decode_responses=True)
    yield client
    client.close()


def test_without_a_fault_the_walk_goes_through(client: "Redis") -> None:
    for seed in {*range(6), *RARELY_CAUGHT.values()}:
        assert sum(1 for _ in Walk(client, seed, {}).steps(150)) == 150


@pytest.mark.parametrize("fault", MUTANTS)
def test_a_seeded_fault_is_caught(client: "Redis", fault: str) -> None:
    def walk() -> None:
        for seed in (RARELY_CAUGHT.get(fault, 0), *range(400)):
            for _ in Walk(client, seed, MUTANTS[fault]).steps(150):
                pass

    with pytest.raises(AssertionError):
        walk()
