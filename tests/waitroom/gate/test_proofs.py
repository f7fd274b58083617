"""The proof of a draw over HTTP, from before the opening to a ticket's own place."""

from dataclasses import replace
from typing import Any

import pytest

from tests.drand import drand_running
from tests.edges import Front, Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.scores import commitment
from waitroom.rules.verification import Outcome, Proof, verify
from waitroom.store.keys import RoomKeys

PROOF = "/.waitroom/drop/proof"
LINE = RoomKeys("drop", "opening").line


async def opened_for_all(redis: ScriptRunner) -> None:
    """Let the line have been born before the opening, which the next front says is past."""
    await redis.client.hset(LINE, "born_ms", "1")


async def proof_of(shop: Front, ticket_id: str = "") -> dict[str, Any]:
    answer = await shop.get(PROOF, params={"ticket_id": ticket_id} if ticket_id else {})
    assert answer.status == 200, await answer.text()
    return dict(await answer.json())


async def kind_of(shop: Front, ticket_id: str) -> tuple[int, str]:
    answer = await shop.get(PROOF, params={"ticket_id": ticket_id})
    return answer.status, str((await answer.json())["type"]).rpartition(":")[2]


async def test_before_the_opening_there_is_the_promise_and_what_will_turn_it(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with drand_running() as drand, front(redis, keys, store, opens_in_s=600, beacon=drand_told(drand)) as shop:
        joined = await shop.join()
        told = await proof_of(shop)

        assert (told["room"], told["event"], told["seed"], told["spin"]) == ("drop", "opening", None, None)
        assert (told["spin_source"]["kind"], told["spin_source"]["chain_hash"]) == ("drand", drand.chain_hash)
        assert told["spin_source"]["round"] > 1
        assert told["roster"] == {"count": None, "merkle_root": None}
        assert told["admissions"] == []
        assert len(told["commitment"]) == 64
        answer = await shop.get(PROOF, params={"ticket_id": joined["ticket_id"]})
        assert answer.status == 425, "not even its own score is told"
        assert 590 < int(answer.headers["Retry-After"]) <= 600


def drand_told(drand: Any) -> dict[str, Any]:
    """Return `[rooms.beacon]` as a file has it."""
    return {
        "kind": "drand",
        "urls": [drand.url],
        "chain_hash": drand.chain_hash,
        "genesis": "2020-09-13T12:26:40Z",
        "period": "3s",
        "delay": "0s",
    }


async def test_after_the_opening_every_ticket_is_proven_and_accepted(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with drand_running() as drand:
        beacon = drand_told(drand)
        async with front(redis, keys, store, opens_in_s=600, beacon=beacon) as shop:
            ids = [str((await shop.join())["ticket_id"]) for _ in range(5)]
            promised = (await proof_of(shop))["commitment"]
        await opened_for_all(redis)
        async with front(redis, keys, store, opens_in_s=-10, beacon=beacon) as shop:
            assert await kind_of(shop, ids[0]) == (503, "no-roster")
            await shop.edge.roster.step()
            await shop.edge.beacon.step()
            await shop.tick()

            told = await proof_of(shop)
            assert told["commitment"] == promised == commitment(bytes.fromhex(told["seed"]))
            assert told["roster"]["count"] == 5
            assert told["spin_source"]["randomness"] == drand.round(told["spin_source"]["round"])["randomness"]
            places = set()
            for ticket_id in ids:
                own = await proof_of(shop, ticket_id)
                checks = verify(Proof.model_validate(own), ticket_id)
                assert {check.outcome for check in checks} <= {Outcome.FITS, Outcome.OPEN}, checks
                assert own["roster"] == told["roster"]
                places.add(own["ticket"]["place"])
            assert places == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("method", ["random", "hybrid"])
async def test_who_was_not_in_the_draw_is_told_so(redis: ScriptRunner, keys: Keys, store: Store, method: str) -> None:
    room: dict[str, Any] = {"queueing_method": method} | ({"fifo_head": 1} if method == "hybrid" else {})
    async with front(redis, keys, store, opens_in_s=600, **room) as shop:
        first = str((await shop.join())["ticket_id"])
        second = str((await shop.join())["ticket_id"])
    await opened_for_all(redis)
    async with front(redis, keys, store, opens_in_s=-10, **room) as shop:
        await shop.edge.roster.step()
        await shop.tick()
        late = str((await shop.join())["ticket_id"])

        assert (await proof_of(shop, second))["ticket"]["ticket_id"] == second
        assert await kind_of(shop, late) == (404, "not-in-draw")
        answer = await shop.get(PROOF, params={"ticket_id": first})
        assert answer.status == (404 if method == "hybrid" else 200), "the head stands before the draw, not in it"


async def test_a_room_without_a_draw_says_so(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=-10, queueing_method="fifo") as shop:
        assert await kind_of(shop, "abc") == (404, "no-draw")
        assert (await proof_of(shop))["roster"]["count"] is None
    async with front(redis, keys, store) as shop:
        assert (await proof_of(shop))["starts_ms"] is None


@pytest.mark.parametrize("ticket_id", ["", "x" * 65, "a b", "<script>", "ä", "a\0b"])
async def test_what_is_no_ticket_id_is_refused(redis: ScriptRunner, keys: Keys, store: Store, ticket_id: str) -> None:
    async with front(redis, keys, store, opens_in_s=-10) as shop:
        assert await kind_of(shop, ticket_id) == (422, "bad-ticket-id")


async def test_a_crowd_gets_the_same_bytes_and_asks_redis_once(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=600) as shop:
        first = await shop.get(PROOF)
        before = (await redis.client.info("stats"))["total_commands_processed"]
        for _ in range(20):
            assert (await shop.get(PROOF)).headers["ETag"] == first.headers["ETag"]
        after = (await redis.client.info("stats"))["total_commands_processed"]

        assert first.headers["Cache-Control"] == "public, max-age=2"
        assert after - before <= 2, "our own two questions to Redis"
        again = await shop.get(PROOF, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status == 304


async def test_an_unknown_room_has_no_proof(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        assert (await shop.get("/.waitroom/nothing/proof")).status == 404


async def test_while_redis_is_gone_the_last_proof_is_shown(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=-10) as shop:
        first = await proof_of(shop)
        await redis.close()
        last = shop.edge.board.get("drop")
        assert last is not None
        shop.edge.board.put(replace(last, message="news"))

        assert await proof_of(shop) == first
