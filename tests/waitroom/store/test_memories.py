"""What may be given back to Redis after a restart."""

import json

import pytest

from tests.edges import Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.store.memories import as_text, is_memory, memories_of

GOOD = {
    "event": "opening",
    "generation": "9f",
    "beats": 12,
    "revision": 1,
    "waiting": 5,
    "sessions": 2,
    "sessions_until_ms": "1700000000000",
    "room": {"message": "Hello."},
    "draw": {"spin": "0"},
    "lanes": {"main": {"serving": "-inf", "called": "3", "lapsed_upto": "0.125"}, "slow": {"serving": "2"}},
}


async def test_what_a_tick_tells_is_a_memory(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=-1) as shop:
        await shop.join()
        await shop.tick()

        assert is_memory(shop.edge.rooms.memory("drop"))


@pytest.mark.parametrize(
    "change",
    [
        {"beats": -1},
        {"beats": "12"},
        {"generation": ""},
        {"generation": "a b"},
        {"sessions_until_ms": "soon"},
        {"room": None},
        {"lanes": {"main": {"serving": "first"}}},
        {"lanes": {"fast": {"serving": "1"}}},
        {"lanes": {}},
        {"lanes": {"slow": {"serving": "2"}}},
        {"more": 1},
        {"stock": "many"},
        {"stock": "1:2:3"},
        {"stock": None},
    ],
)
def test_what_no_tick_would_tell_is_none(change: dict[str, object]) -> None:
    assert is_memory(json.dumps(GOOD))
    assert not is_memory(json.dumps(GOOD | change))


@pytest.mark.parametrize("stock", ["", "40:3:1700000000000:1700000000001"])
def test_a_memory_may_have_a_stock(stock: str) -> None:
    assert is_memory(json.dumps(GOOD | {"stock": stock}))


def test_a_file_keeps_what_is_good_and_drops_the_rest() -> None:
    good = json.dumps(GOOD)

    assert memories_of(as_text({"drop": good, "other": "{}"})) == {"drop": good}
    assert memories_of(as_text({})) == {}


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"drop": 1}', "\x00"])
def test_no_such_file_holds_nothing(text: str) -> None:
    assert memories_of(text) == {}
