"""One room, two events on a schedule: a place in the first is none in the second, and each has a draw of its own."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.edges import Front, Store, as_app, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.challenges import solve
from waitroom.rules.scores import commitment

ROOM: dict[str, Any] = {"new_users_per_minute": 60_000.0, "total_active_users": 1_000}
WAVES_START_MIN = {"morning": 0, "evening": 240}


def at(redis: ScriptRunner, keys: Keys, store: Store, minute: int) -> AbstractAsyncContextManager[Front]:
    """Give a worker of the same room in the same Redis, at a minute after the morning's opening."""
    now = datetime.now(UTC)
    events = [
        {
            "name": name,
            "prequeue_start_time": now + timedelta(minutes=start - minute - 60),
            "event_start_time": now + timedelta(minutes=start - minute),
            "event_end_time": now + timedelta(minutes=start - minute + 120),
        }
        for name, start in WAVES_START_MIN.items()
    ]
    return front(redis, keys, store, events=events, **ROOM)


async def pulse(shop: Front) -> dict[str, Any]:
    await shop.tick()
    return dict(await (await shop.get("/.waitroom/drop/pulse")).json())


async def state(shop: Front, ticket: str) -> str:
    answer = await shop.get("/.waitroom/drop/queue/status", headers=as_app(ticket))
    return str((await answer.json()).get("state", answer.status))


async def test_a_wave_has_its_own_places_its_own_challenges_and_its_own_draw(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with at(redis, keys, store, -30) as shop:
        gathering = await pulse(shop)
        early = await shop.join()
        unsent = await shop.challenge()
    async with at(redis, keys, store, 1) as shop:
        morning = await pulse(shop)
        await shop.tick()
        admitted = await shop.post("/.waitroom/drop/queue/claim", headers=as_app(early["ticket"]))
        late = await shop.join()
    async with at(redis, keys, store, 150) as shop:  # over, and the next has not begun to gather
        between = await pulse(shop)
    async with at(redis, keys, store, 200) as shop:
        regathering = await pulse(shop)
        stale = {await state(shop, joined["ticket"]) for joined in (early, late)}
        cookie = {"Cookie": f"wr_drop_ticket={late['ticket']}"}
        asks_again = await shop.get("/.waitroom/drop/queue/status", headers=cookie)
        foreign = await shop.post(
            "/.waitroom/drop/queue/register", json={"challenge": unsent, "solution": solve(unsent)}
        )
        anew = await shop.join()
        waits = await state(shop, anew["ticket"])
    async with at(redis, keys, store, 241) as shop:
        evening = await pulse(shop)
        called = await state(shop, anew["ticket"])

    assert (admitted.status, gathering["phase"], morning["phase"]) == (200, "prequeue", "open")
    assert [told["event"] for told in (gathering, morning, between)] == ["morning"] * 3
    assert between["phase"] == "ended"
    assert [told["event"] for told in (regathering, evening)] == ["evening"] * 2
    assert (regathering["phase"], regathering["seed"], regathering["lanes"]["main"]["waiting"]) == ("prequeue", None, 0)
    assert stale == {"403"}, "a ticket of the morning is none in the evening"
    assert asks_again.status == 404, "which is how a page knows that it has to join again"
    assert foreign.status == 403, "neither is work that was done for the morning"
    assert (waits, called) == ("waiting", "called")
    assert len({early["ticket_id"], late["ticket_id"], anew["ticket_id"]}) == 3
    assert gathering["commitment"] == morning["commitment"] != evening["commitment"] == regathering["commitment"]
    for told in (morning, evening):
        assert commitment(bytes.fromhex(told["seed"])) == told["commitment"], "each opening reveals its own seed"
