"""A till that dies after any of its calls to the outside, once each: every story ends as it would have without that.

This is the write order of the till (W1-W10) seen from outside: what it tells the ledger, Redis and the gateway, in
which order, and that whoever starts next goes on from there.
"""

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from inventory_backend.payments.simulated_cards import Card
from inventory_backend.sales import HoldState
from tests.bookkeeping import books
from tests.faulty_sale import AT_ONCE, World, open_world
from tests.mortal import Cut

Step = Callable[[World], Coroutine[Any, Any, object]]
BUNDLE = [("laces", 1), ("sneaker", 1)]
SNEAKER = [("sneaker", 1)]
EVERY_CALL = "FAULTY_SALES" in os.environ
NEVER_MS = 10**9
"""A shopper who never comes back from the page of the bank."""


def reserve(name: str = "alice", lines: list[tuple[str, int]] = BUNDLE) -> Step:
    return lambda world: world.reserve(0, name, lines, f"{name} reserves")


def pay(card: Card) -> Step:
    return lambda world: world.commit(0, promise(world), card, f"alice pays with {card}")


def cancel() -> Step:
    return lambda world: world.cancel(0, promise(world))


def promise(world: World) -> str:
    """Return the first hold that alice was promised."""
    assert "alice" in world.promised.values(), "whoever asks again under their key gets what was promised"
    return next(rid for rid, name in world.promised.items() if name == "alice")


def passes(seconds: float) -> Step:
    return lambda world: world.passes(seconds)


def work() -> Step:
    return lambda world: world.work(0)


def lose() -> Step:
    return lambda world: world.lose("*")


def corrupt() -> Step:
    return lambda world: world.corrupt("sneaker", 5)


def lapse() -> Step:
    """What was set aside for a till that died comes free."""
    return lambda world: world.soft_holds_lapse()


def greed(name: str, qty: int) -> Step:
    return lambda world: world.reserve(0, name, [("sneaker", qty)])


def seize() -> Step:
    async def take(world: World) -> None:
        world.seize(0)

    return take


def refund(times: int) -> Step:
    """Ops ask for the money of the first order, each time under a key of its own."""
    return lambda world: world.refund(0, promise(world), [f"refund {n}" for n in range(times)])


def tell(times: int) -> Step:
    """The gateway tells all that it ever had to say, in the wrong order."""

    async def told_backwards(world: World) -> None:
        for event in reversed(world.news()):
            await world.hear(0, event, times)

    return told_backwards


def strangers() -> Step:
    async def speak(world: World) -> None:
        for event in world.news():
            await world.strangers(0, event, promise(world))

    return speak


OTHERS = [reserve("carol", [("sneaker", 2)]), reserve("dave", [("sneaker", 1)])]
LATE = [reserve(), pay(Card.LATE), passes(66), work()]
"""The hold is over, the units went back, and the bank says yes a second later."""

STORIES: dict[str, tuple[list[Step], dict[HoldState, int]]] = {
    "a purchase": ([reserve(), pay(Card.OK), work()], {HoldState.PAID: 1}),
    "a card declined, another taken": (
        [reserve(), pay(Card.DECLINED), work(), pay(Card.OK), work()],
        {HoldState.PAID: 1},
    ),
    "a payment begun at the last moment": (
        [reserve(), passes(59), pay(Card.THREE_DS), passes(4), work()],
        {HoldState.PAID: 1},
    ),
    "a cancel": ([reserve(), cancel(), work()], {HoldState.CANCELLED: 1}),
    "nobody pays": ([reserve(), passes(61), work()], {HoldState.EXPIRED: 1}),
    "the bank's page is left": ([reserve(), pay(Card.THREE_DS), passes(61), work()], {HoldState.EXPIRED: 1}),
    "late money, units left": ([*LATE, passes(2), work()], {HoldState.PAID: 1}),
    "late money, others have them": (
        [*LATE, *OTHERS, passes(2), work()],
        {HoldState.REFUNDED: 1, HoldState.EXPIRED: 2},
    ),
    "late money, taken already": (
        [*LATE, *OTHERS, passes(2), seize(), work()],
        {HoldState.REFUNDED: 1, HoldState.EXPIRED: 2},
    ),
    "redis counts too many, and shoppers take what they can": (
        [corrupt(), greed("alice", 2), corrupt(), greed("alice", 1), greed("bob", 2), lapse(), greed("bob", 1), work()],
        {HoldState.EXPIRED: 2},
    ),
    "a refund that everybody asks for": ([reserve(), pay(Card.OK), work(), refund(5), work()], {HoldState.REFUNDED: 1}),
    "the gateway tells it before anybody asks": (
        [reserve(), pay(Card.THREE_DS), passes(4), tell(3), work()],
        {HoldState.PAID: 1},
    ),
    "the bank's page is left, and strangers say that it is paid": (
        [reserve(), pay(Card.THREE_DS), strangers(), passes(61), work()],
        {HoldState.EXPIRED: 1},
    ),
    "units lie scattered": (
        [reserve("bob", SNEAKER), reserve("alice", [("sneaker", 2)]), pay(Card.OK), work()],
        {HoldState.PAID: 1, HoldState.EXPIRED: 1},
    ),
    "late money, units lie on another shard": (
        [*LATE, reserve("carol", [("sneaker", 2)]), passes(2), work()],
        {HoldState.PAID: 1, HoldState.EXPIRED: 1},
    ),
    "redis thinks units here that lie there": (
        [reserve("bob", [("sneaker", 2)]), corrupt(), reserve(lines=SNEAKER), pay(Card.OK), work()],
        {HoldState.PAID: 1, HoldState.EXPIRED: 1},
    ),
    "redis loses all": ([reserve(), lose(), work(), work(), pay(Card.OK), work()], {HoldState.PAID: 1}),
}

SPLIT = {"units lie scattered", "late money, units lie on another shard", "redis thinks units here that lie there"}
"""Where two of three units lie on the first shard, and one on the second."""

SINCE = {
    "a payment begun at the last moment": "postpone",
    "a card declined, another taken": "gateway authorise",
    "the bank's page is left": "gateway cancel",
    "a refund that everybody asks for": "_begun",
    "the gateway tells it before anybody asks": "hear",
    "the bank's page is left, and strangers say that it is paid": "gateway cancel",
    "late money, units left": "gateway cancel",
    "late money, others have them": "authorised",
    "late money, taken already": "authorised",
}
"""From where on a death is another than in a story before."""

ORDER = {
    "W1: first Redis, then the ledger": ("a purchase", "stock/hold", "take"),
    "W2: a hold is committed before Redis counts on it": ("a purchase", "take", "stock/confirm"),
    "W3: a payment is on record before the gateway hears of it": ("a purchase", "commit", "gateway authorise"),
    "W5: news are in the ledger before anything is done": (
        "the gateway tells it before anybody asks",
        "hear",
        "gateway capture",
    ),
    "W6: a cancel is committed before Redis gives out the units": ("a cancel", "cancel", "stock/release"),
    "W6: an expiry too": ("nobody pays", "expire", "stock/release"),
    "W7: the gateway lets go before the units go back": ("the bank's page is left", "gateway cancel", "cancelled"),
    "W8: money is taken for counted units only": ("a purchase", "authorised", "gateway capture"),
    "W8: it is an order once the gateway says so": ("a purchase", "gateway capture", "captured"),
    "W9: a void is on record before it is asked for": ("late money, others have them", "authorised", "gateway cancel"),
    "W9: a refund is on record before it is asked for": ("late money, taken already", "authorised", "gateway refund"),
    "W9: what ops send back too": ("a refund that everybody asks for", "_begun", "gateway refund"),
    "W10: a life of the stock is on record before it is loaded": ("redis loses all", "load", "stock/load begin"),
    "W10: it opens when all is loaded": ("redis loses all", "stock/load add", "stock/load open"),
}


async def told(
    story: str, ledger_url: str, redis_url: str, dies_at: int | str | None = None, when: str = "after"
) -> list[str]:
    """Play `story`, let everything settle, and return what the tills asked of the outside.

    The till dies at its call number `dies_at`, or at the first of that name; whoever waited for it tries again.
    """
    steps, ends = STORIES[story]
    pause_ms = NEVER_MS if "page is left" in story else 3000
    shards = 2 if story in SPLIT else 1
    async with open_world(ledger_url, redis_url, shards=shards, pause_ms=pause_ms, saga=AT_ONCE) as world:
        first = world.tills[0].life
        opening = len(first.calls)
        for step in steps:
            if dies_at is not None and len(world.lives) == 1:
                if isinstance(dies_at, str):
                    cut = Cut(0, when, named=dies_at)
                else:
                    cut = Cut(dies_at + opening - len(first.calls), when)
                first.will_be(cut)
            lives = len(world.lives)
            await world.happens(step(world))
            await world.look()
            if len(world.lives) > lives:
                await world.happens(step(world))
        calls = first.calls[opening:]
        await world.settle(rounds=2)
        found = await books(world.tills[0].real_ledger)
        assert found.holds == Counter(ends), story
        return calls


_UNDISTURBED: dict[str, list[str]] = {}


async def undisturbed(story: str, ledger_url: str, redis_url: str) -> list[str]:
    """Return what is asked when nobody dies; each story is played once for all who want to know."""
    if story not in _UNDISTURBED:
        _UNDISTURBED[story] = await told(story, ledger_url, redis_url)
    return _UNDISTURBED[story]


def is_new(call: str, before: list[str]) -> bool:
    """Tell whether a death here differs from one before: whoever only looks, or looks again, changes nothing."""
    return call not in before and not call.startswith(("read ", "stock/sweep", "stock/reconcile"))


def empty_file(folder: Path) -> Callable[[], Awaitable[str]]:
    serial = iter(range(10**6))

    async def make() -> str:
        return f"sqlite:///{folder}/ledger{next(serial)}.db"

    return make


@pytest.mark.parametrize("rule", ORDER)
async def test_the_outside_is_told_in_order(rule: str, tmp_path: Path, valkey_url: str) -> None:
    story, first, second = ORDER[rule]

    calls = await undisturbed(story, f"sqlite:///{tmp_path}/ledger.db", f"{valkey_url}?db=2")

    assert calls.index(first) < len(calls) - calls[::-1].index(second)


@pytest.mark.parametrize("story", STORIES)
async def test_a_till_may_die_after_any_call(story: str, tmp_path: Path, valkey_url: str) -> None:
    fresh = empty_file(tmp_path)
    calls = await undisturbed(story, await fresh(), f"{valkey_url}?db=2")

    since = calls.index(SINCE.get(story, calls[0]))
    for place, call in enumerate(calls):
        if EVERY_CALL or (place >= since and is_new(call, calls[:place])):
            await told(story, await fresh(), f"{valkey_url}?db=2", dies_at=place)
