"""A draw from the first ticket to the last call: two workers, a public beacon, and Redis lost in the middle."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.drand import Drand, drand_running
from tests.edges import Front, Store, front, opening_in
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tasks import Loop, running
from waitroom.kernel.tokens import Keys
from waitroom.rules.scores import draw_score, turn
from waitroom.rules.verification import Outcome, Proof, verify

PROOF = "/.waitroom/drop/proof"


@asynccontextmanager
async def workers(
    redis: ScriptRunner, keys: Keys, store: Store, drand: Drand, **room: Any
) -> AsyncIterator[list[Front]]:
    """Give two workers of one event that tick, ask the beacon and freeze the roster by themselves."""
    room["events"] = [opening_in(room.pop("opens_in_s"))]
    beacon = {"kind": "drand", "urls": [drand.url], "chain_hash": drand.chain_hash, "genesis": "2020-09-13T12:26:40Z"}
    told: dict[str, Any] = {
        "beacon": beacon | {"period": "1s", "delay": "1s", "beacon_timeout": room.pop("beacon_timeout", "20s")}
    }
    async with AsyncExitStack() as stack:
        edges = []
        for _ in range(2):
            shop = await stack.enter_async_context(front(redis, keys, store, **told, **room))
            loops = [
                Loop("tick", shop.edge.ticker.step, 0.1, 5),
                Loop("beacon", shop.edge.beacon.step, 0.2, 5),
                Loop("roster", shop.edge.roster.step, 0.2, 5),
            ]
            await stack.enter_async_context(running(*loops, clock=SystemClock()))
            edges.append(shop)
        yield edges


async def pulse(shop: Front) -> dict[str, Any]:
    return dict(await (await shop.get("/.waitroom/drop/pulse")).json())


async def proof(shop: Front, ticket_id: str = "") -> dict[str, Any]:
    answer = await shop.get(PROOF, params={"ticket_id": ticket_id} if ticket_id else {})
    return dict(await answer.json()) | {"status": answer.status}


async def until(shop: Front, is_so: Callable[[dict[str, Any]], object], *, within_s: float = 60) -> dict[str, Any]:
    async with asyncio.timeout(within_s):
        while not is_so(told := await pulse(shop)):
            await asyncio.sleep(0.05)
    return told


async def test_a_draw_that_redis_lost_goes_on_as_it_was_promised(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with drand_running(period_s=1) as drand, workers(redis, keys, store, drand, opens_in_s=3) as (one, two):
        for shop in (one, two):
            for _ in range(6):
                await shop.join()
        promised = await proof(two)
        turned = await until(two, lambda told: told["spin"] is not None)
        async with asyncio.timeout(60):
            while (before := await proof(one))["roster"]["count"] is None:
                await asyncio.sleep(0.1)

        await redis.client.flushdb()
        await until(one, lambda told: told["generation"] != turned["generation"])
        healed = await until(one, lambda told: told["spin"] is not None)
        assert healed["spin"] == turned["spin"] > 0
        async with asyncio.timeout(60):
            while (after := await proof(one))["roster"]["count"] is None:
                await asyncio.sleep(0.1)
        assert before["roster"]["count"] == 12
        for name in ("commitment", "seed", "spin", "spin_source", "roster"):
            assert after[name] == before[name], name
        assert promised["commitment"] == after["commitment"]
        assert promised["spin_source"]["round"] == after["spin_source"]["round"], "it was fixed in advance"


async def test_every_ticket_is_proven_and_called_in_turn(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with drand_running(period_s=1) as drand, workers(redis, keys, store, drand, opens_in_s=3) as (one, two):
        ids = [str((await shop.join())["ticket_id"]) for shop in (one, two) for _ in range(6)]
        told = await until(one, lambda told: told["lanes"]["main"]["called"] == 12)
        seed = bytes.fromhex(told["seed"])
        order = sorted(ids, key=lambda ticket_id: turn(draw_score(seed, ticket_id), told["spin"]))
        called_at: list[int] = []
        for place, ticket_id in enumerate(order, 1):
            own = await proof(two, ticket_id)
            assert own["status"] == 200, own
            checks = verify(Proof.model_validate(own), ticket_id)
            assert {check.outcome for check in checks} == {Outcome.FITS}, checks
            assert own["ticket"]["place"] == place
            called_at.append(own["ticket"]["called_at_ms"])
        assert called_at == sorted(called_at)
        round_ = (await proof(one))["spin_source"]["round"]
        assert called_at[0] >= (drand.genesis_s + round_ - 1) * 1000, "not before the round"


async def test_a_beacon_that_stays_away_holds_the_line_exactly_as_long_as_was_said(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    room = {"opens_in_s": 2, "beacon_timeout": "2s"}
    async with (
        drand_running(period_s=1, now_round=0) as drand,
        workers(redis, keys, store, drand, **room) as (one, two),
    ):
        joined = [str((await shop.join())["ticket_id"]) for shop in (one, two)]
        told = await until(one, lambda told: told["lanes"]["main"]["called"] > 0)
        found = await proof(two, joined[0])
        source = found["spin_source"]

        assert (told["spin"], source["kind"], source["missed"]) == (0.0, "none", "drand")
        due_ms = drand.genesis_s * 1000 + (source["round"] - 1) * 1000
        first_call_ms = min(move["at_ms"] for move in (await proof(one))["admissions"])
        assert 0 <= first_call_ms - due_ms - 2_000 < 1_000
        assert {check.outcome for check in verify(Proof.model_validate(found), joined[0])} <= {
            Outcome.FITS,
            Outcome.OPEN,
        }
