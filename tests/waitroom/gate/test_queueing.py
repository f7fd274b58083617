"""The queue's API, as an independent client meets it."""

import asyncio
from typing import Any

import pytest

from tests.edges import HTML, Front, Store, as_app, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Ticket, TicketSigner
from waitroom.rules.challenges import solve
from waitroom.store.keys import RoomKeys

QUEUE = "/.waitroom/drop/queue"


async def commands(redis: ScriptRunner) -> int:
    """Return how many scripts Redis has run."""
    stats: dict[str, Any] = await redis.client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "eval"))


async def test_a_visitor_joins_waits_is_called_and_gets_a_pass(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as before:
        joined = await before.join()
        status = await (await before.get(f"{QUEUE}/status", headers=as_app(joined["ticket"]))).json()
    assert joined["state"] == status["state"] == "waiting"
    assert status["wait_s"]["low"] > 50

    async with front(redis, keys, store, opens_in_s=-1) as after:
        await after.tick()
        called = await (await after.get(f"{QUEUE}/status", headers=as_app(joined["ticket"]))).json()
        claimed = await after.post(f"{QUEUE}/claim", headers=as_app(joined["ticket"]), json={"return_to": "/drop/x?y"})
        admitted = await claimed.json()
        inside = await (await after.get("/drop/x", headers=as_app(admitted["pass"]))).text()

    assert called["state"] == "called"
    assert 0 <= called["score"] < 1
    assert claimed.status == 200
    assert admitted["state"] == "admitted"
    assert admitted["return_to"] == "/drop/x?y"
    assert "wr_drop_pass=" in claimed.headers["Set-Cookie"]
    assert inside == "the store"


async def test_the_same_challenge_gives_the_same_ticket(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        challenge = await shop.challenge()
        answers = []
        for first_nonce in (0, 0, 10_000):
            sent = {"challenge": challenge, "solution": solve(challenge, first_nonce=first_nonce)}
            answers.append(await shop.post(f"{QUEUE}/register", json=sent))

        assert [answer.status for answer in answers] == [201, 200, 200]
        assert len({(await answer.json())["ticket_id"] for answer in answers}) == 1
        await shop.tick()
        assert shop.edge.board.get("drop").main.waiting == 1  # type: ignore[union-attr]  # it was ticked


async def test_fifty_at_once_make_one_ticket(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        challenge = await shop.challenge()
        sent = {"challenge": challenge, "solution": solve(challenge)}
        answers = await asyncio.gather(*(shop.post(f"{QUEUE}/register", json=sent) for _ in range(50)))

        assert sorted(answer.status for answer in answers) == [200] * 49 + [201]


async def test_before_the_draw_nothing_betrays_a_place(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        tickets = [(await shop.join())["ticket"] for _ in range(8)]
        seen = [await (await shop.get(f"{QUEUE}/status", headers=as_app(ticket))).json() for ticket in tickets]
        claims = [await (await shop.post(f"{QUEUE}/claim", headers=as_app(ticket))).json() for ticket in tickets]

    for status in seen:
        assert (status["score"], status["place"], status["ahead"]) == (None, None, None)
    assert len({str(status["wait_s"]["likely"] - status["wait_s"]["low"]) for status in seen}) == 1
    assert all("ahead" not in claim for claim in claims)


async def test_a_claim_before_the_call_is_too_early(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        joined = await shop.join()
        answer = await shop.post(f"{QUEUE}/claim", headers=as_app(joined["ticket"]))

        assert answer.status == 425
        assert int(answer.headers["Retry-After"]) >= 1


async def test_leaving_twice_is_leaving_once(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        joined = await shop.join()
        answers = [await shop.post(f"{QUEUE}/leave", headers=as_app(joined["ticket"])) for _ in range(2)]
        await shop.tick()

        assert [answer.status for answer in answers] == [204, 204]
        assert shop.edge.board.get("drop").main.waiting == 0  # type: ignore[union-attr]  # it was ticked


async def test_who_leaves_from_inside_frees_a_session(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, queueing_method="fifo") as shop:
        entered = await shop.get("/drop/")
        cookie = entered.headers["Set-Cookie"].split(";")[0]
        left = await shop.post(f"{QUEUE}/leave", headers={"Cookie": cookie})
        again = await shop.post(f"{QUEUE}/leave", headers={"Cookie": cookie})
        await shop.tick()

        assert left.status == again.status == 204
        assert any(value.startswith("wr_drop_pass=;") for value in left.headers.getall("Set-Cookie"))
        assert shop.edge.board.get("drop").sessions == 0  # type: ignore[union-attr]  # it was ticked


async def test_a_ticket_that_redis_lost_comes_back_to_its_place(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        tickets = [(await shop.join())["ticket"] for _ in range(5)]
    async with front(redis, keys, store, opens_in_s=-1, new_users_per_minute=0.01) as shop:
        before = [await (await shop.get(f"{QUEUE}/status", headers=as_app(t))).json() for t in tickets]
        await redis.client.flushdb()
        for ticket in tickets:
            await shop.get(f"{QUEUE}/status", headers=as_app(ticket))
        after = [await (await shop.get(f"{QUEUE}/status", headers=as_app(t))).json() for t in tickets]

    assert [status["score"] for status in after] == [status["score"] for status in before]


def fault_of(challenge: str, solution: str) -> list[tuple[dict[str, str], str]]:
    """Return solutions that buy nothing, each with the kind of its problem."""
    forged = challenge[:-1] + ("A" if challenge[-1] != "A" else "B")
    return [
        ({"challenge": forged, "solution": solution}, "challenge-mac"),
        ({"challenge": challenge, "solution": "A" * len(solution)}, "challenge-work"),
        ({"challenge": challenge, "solution": "AAAAAA"}, "challenge-length"),
        ({"challenge": challenge[:40], "solution": solution}, "challenge-format"),
        ({"challenge": "x" * 80, "solution": "é"}, "challenge-format"),
    ]


async def test_work_that_was_not_done_buys_nothing(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        challenge = await shop.challenge()
        calls = await commands(redis)
        for sent, kind in fault_of(challenge, solve(challenge)):
            answer = await shop.post(f"{QUEUE}/register", json=sent)

            assert answer.content_type == "application/problem+json"
            assert (await answer.json())["type"].endswith(kind), sent
            assert answer.status in {403, 422}
        assert await commands(redis) == calls, "a bad solution reached Redis"


async def test_a_challenge_of_another_room_is_foreign(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60, name="other", paths=["/x/"]) as other:
        challenge = (await (await other.post("/.waitroom/other/challenge")).json())["challenge"]
    async with front(redis, keys, store, opens_in_s=60) as shop:
        sent = {"challenge": challenge, "solution": solve(challenge)}
        answer = await shop.post(f"{QUEUE}/register", json=sent)

        assert answer.status == 403
        assert (await answer.json())["type"].endswith("challenge-event")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"challenge": 1, "solution": 2}', "application/json", 422),
        (b"\xff\xfe", "application/json", 400),
        (b"challenge=x", "application/x-www-form-urlencoded", 415),
        (b'{"challenge":"' + b"a" * 20_000 + b'"}', "application/json", 413),
    ],
)
async def test_rubbish_is_told_what_is_wrong(
    redis: ScriptRunner, keys: Keys, store: Store, body: bytes, content_type: str, status: int
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        answer = await shop.post(f"{QUEUE}/register", data=body, headers={"Content-Type": content_type})

        assert answer.status == status
        assert answer.content_type == "application/problem+json"


async def tickets_worth_nothing(shop: Front, keys: Keys) -> list[str]:
    signer, stranger = TicketSigner(keys), TicketSigner(Keys([b"another-secret-of-32-bytes-or-more!!"]))
    real = (await shop.join())["ticket"]
    return [
        stranger.sign(Ticket("drop", "opening", "main", "t" * 20, 0, 0.0)),
        signer.sign(Ticket("other", "opening", "main", "t" * 20, 0, 0.0)),
        signer.sign(Ticket("drop", "another", "main", "t" * 20, 0, 0.0)),
        signer.sign(Ticket("drop", "opening", "main", "t" * 20, 0, 0.0)),  # issued in 1970: out of date
        real[:-2] + ("AA" if real[-2:] != "AA" else "BB"),
        "",
        "null",
    ]


async def test_a_ticket_worth_nothing_is_refused_before_redis(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        worthless = await tickets_worth_nothing(shop, keys)
        calls = await commands(redis)
        for ticket in worthless:
            for method, path in (("get", "status"), ("post", "claim")):
                as_header = await getattr(shop, method)(f"{QUEUE}/{path}", headers=as_app(ticket))
                as_cookie = await getattr(shop, method)(
                    f"{QUEUE}/{path}", headers={"Cookie": f"wr_drop_ticket={ticket}"}
                )

                assert as_header.status == 403, ticket
                assert as_cookie.status == 404, ticket
        assert await commands(redis) == calls, "a forged ticket reached Redis"


async def test_an_unknown_room_is_a_clear_404(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        for method, path in (("get", "pulse"), ("post", "challenge"), ("post", "queue/register"), ("get", "wait")):
            answer = await getattr(shop, method)(f"/.waitroom/nowhere/{path}", json={} if method == "post" else None)

            assert answer.status == 404
            assert (await answer.json())["type"] == "urn:waitroom:problem:unknown-room"


async def test_a_page_of_another_site_can_do_nothing_in_a_visitors_name(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        joined = await shop.join()
        cookie = {"Cookie": f"wr_drop_ticket={joined['ticket']}"}
        for path in ("claim", "leave", "register", "slow"):
            for sign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
                answer = await shop.post(f"{QUEUE}/{path}", headers={**cookie, **sign}, json={})

                assert answer.status == 403, (path, sign)


async def test_without_javascript_a_place_is_had_for_waiting(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        drawn = await shop.join()
        answer = await shop.post(f"{QUEUE}/slow", data={"website": ""})
        cookie = answer.headers["Set-Cookie"].split(";")[0]
        ticket = TicketSigner(keys).verify(cookie.split("=", 1)[1], room="drop", event="opening")
        status = await (await shop.get(f"{QUEUE}/status", headers={"Cookie": cookie})).json()
        again = await shop.post(f"{QUEUE}/slow", data={"website": ""}, headers={"Cookie": cookie})

        assert drawn["score"] is None
        assert ticket.score is not None
        assert ticket.score >= 1, "behind everybody in the draw"
        assert answer.status == again.status == 303
        assert status["place"] is None, "it would rise with everybody who still joins the draw"
        assert "Set-Cookie" not in again.headers, "one place is enough"


async def test_places_without_work_are_few_for_one_address(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        answers = [await shop.post(f"{QUEUE}/slow", data={}) for _ in range(8)]

        assert [answer.status for answer in answers].count(303) == 4
        assert all("Retry-After" in answer.headers for answer in answers if answer.status == 429)


async def test_a_full_room_says_so_to_newcomers_and_keeps_every_place(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60, max_waiting=1) as shop:
        first = await shop.join()
        posed = await shop.challenge()
        solved = {"challenge": posed, "solution": solve(posed)}
        late = await shop.post("/.waitroom/drop/queue/register", json=solved)
        await shop.tick()
        page = await shop.get("/drop/", headers=HTML)
        kept = await shop.get("/.waitroom/drop/queue/status", headers=as_app(first["ticket"]))

        assert (late.status, (await late.json())["type"]) == (503, "urn:waitroom:problem:full")
        assert (page.status, page.content_type) == (503, "text/html")
        assert "Retry-After" in late.headers
        assert "Retry-After" in page.headers
        assert (await kept.json())["state"] == "waiting"


async def miss_the_call(redis: ScriptRunner, shop: Front) -> None:
    """Let the call of everybody who is called run out."""
    calls = RoomKeys("drop", "opening").calls
    called: Any = await redis.client.zrange(calls, 0, -1, withscores=True)
    for batch, turn in called:
        number, called_ms, _deadline_ms, *rest = batch.split(":")
        await redis.client.zrem(calls, batch)
        await redis.client.zadd(calls, {":".join([number, called_ms, "1", *rest]): turn})
    await shop.tick()


async def test_who_missed_the_call_may_ask_once_more_where_they_stand_and_comes_in(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as before:
        one, other = as_app((await before.join())["ticket"]), as_app((await before.join())["ticket"])
    async with front(redis, keys, store, opens_in_s=-1, new_users_per_minute=60_000.0) as shop:
        await until(shop, called=2)
        await miss_the_call(redis, shop)
        missed = [await shop.post(f"{QUEUE}/claim", headers=app) for app in (one, other)]
        told = await missed[0].json()
        states = [await (await shop.get(f"{QUEUE}/status", headers=app)).json() for app in (one, other)]
        came = await shop.post(f"{QUEUE}/claim", headers=one)
        await miss_the_call(redis, shop)
        twice = await shop.post(f"{QUEUE}/claim", headers=other)
        final = await (await shop.get(f"{QUEUE}/status", headers=other)).json()

    assert [answer.status for answer in missed] == [410, 410]
    assert "Ask once where you stand" in told["detail"]
    assert [state["state"] for state in states] == ["called", "called"]
    assert came.status == 200
    assert (twice.status, final["state"]) == (410, "lapsed")


async def until(shop: Front, *, called: int) -> None:
    """Tick until so many were called."""
    async with asyncio.timeout(60):
        while shop.edge.board.get("drop").main.called < called:  # type: ignore[union-attr]  # it was ticked
            await shop.tick()
            await asyncio.sleep(0)
