"""Who was invited stands in lane priority; who was not, in main."""

import pytest

from tests.edges import EVENT, Front, Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Invite, Keys
from waitroom.rules.challenges import solve


def codes(
    shop: Front, count: int = 1, *, room: str = "drop", event: str = EVENT, uses: int = 1, for_ms: int = 60_000
) -> list[str]:
    expires_ms = shop.edge.rooms.now_ms() + for_ms
    return shop.edge.rooms.invites.made(Invite(room, event, "priority", "", 1, expires_ms), 1)


async def register(shop: Front, invite: str | None, challenge: str | None = None) -> tuple[int, dict[str, object]]:
    challenge = challenge or await shop.challenge()
    body = {"challenge": challenge, "solution": solve(challenge)} | ({} if invite is None else {"invite": invite})
    async with await shop.post("/.waitroom/drop/queue/register", json=body) as answer:
        return answer.status, await answer.json()


async def test_a_guest_stands_in_the_lane_of_the_code(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        (code,) = codes(shop)
        challenge = await shop.challenge()
        first, again = [await register(shop, code, challenge) for _ in range(2)]
        snapshot = await shop.edge.rooms.tick("drop")

    assert (first[0], again[0], first[1]["lane"]) == (201, 200, "priority")
    assert again[1]["ticket_id"] == first[1]["ticket_id"]
    assert (snapshot.lanes["priority"].waiting, snapshot.main.waiting) == (1, 0)


@pytest.mark.parametrize("slow", [False, True])
async def test_a_browser_keeps_the_code_of_its_link(redis: ScriptRunner, keys: Keys, store: Store, slow: bool) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        (code,) = codes(shop)
        page = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
        async with await shop.get(f"/drop/shoe?a=1&invite={code}", headers=page) as answer:
            way = answer.status, answer.headers["Location"]
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        challenge = await shop.challenge()
        body = {"challenge": challenge, "solution": solve(challenge)}
        name, kept = ("slow", {"data": {}}) if slow else ("register", {"json": body})
        for _ in range(2):
            async with await shop.post(f"/.waitroom/drop/queue/{name}", headers={"Cookie": cookie}, **kept) as answer:
                assert answer.status in {200, 201, 303}
        snapshot = await shop.edge.rooms.tick("drop")

    assert way == (303, "/drop/shoe?a=1")
    assert snapshot.lanes["priority"].waiting == 1
    assert snapshot.main.waiting == 0
    assert ("slow" in snapshot.lanes) is slow, (
        "the second one without JavaScript comes too late for it, and is in line all the same"
    )


async def test_a_parameter_of_the_store_is_left_alone(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        page = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
        async with await shop.get("/drop/shoe?invite=friends", headers=page) as answer:
            assert answer.status == 200


async def test_the_code_is_taken_away_once_it_was_used_and_a_lost_answer_costs_nothing(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        (code,) = codes(shop)
        challenge = await shop.challenge()
        body = {"challenge": challenge, "solution": solve(challenge)}
        kept = {"Cookie": f"wr_drop_invite={code}"}
        async with await shop.post("/.waitroom/drop/queue/register", headers=kept, json=body) as answer:
            first, cookies = await answer.json(), answer.headers.getall("Set-Cookie")
        jar = {"Cookie": cookies[0].partition(";")[0]}
        async with await shop.post("/.waitroom/drop/queue/register", headers=jar, json=body) as answer:
            again, later = await answer.json(), answer.headers.getall("Set-Cookie")

    assert [cookie.startswith("wr_drop_invite=; Max-Age=0") for cookie in cookies] == [False, True]
    assert (first["lane"], again["lane"], again["place"]) == ("priority", "priority", 1)
    assert len(later) == 1
