"""The catch-all before the store: who is carried there, who waits, who is told why."""

from dataclasses import replace
from typing import Any

import pytest
from yarl import URL

from tests.edges import HTML, Front, Store, as_app, front
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Keys, Pass, PassSigner, UpstreamPassSigner
from waitroom.rules.rooms import Change, ChangeKind

ALWAYS_ON: dict[str, Any] = {"queueing_method": "fifo", "new_users_per_minute": 60_000.0}


async def pass_of(shop: Front, headers: dict[str, str] | None = None) -> str:
    """Walk straight in, and return the pass cookie."""
    answer = await shop.get("/drop/", headers={**HTML, **(headers or {})})
    assert answer.status == 200, await answer.text()
    return answer.headers["Set-Cookie"].split(";")[0]


async def test_where_nobody_waits_a_visitor_goes_straight_in(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as shop:
        cookie = await pass_of(shop)
        again = await shop.get("/drop/next", headers={**HTML, "Cookie": cookie})
        await shop.tick()

        assert await again.text() == "the store"
        assert shop.edge.board.get("drop").sessions == 1  # type: ignore[union-attr]  # it was ticked


async def test_over_the_cap_the_next_one_waits(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, total_active_users=1, **ALWAYS_ON) as shop:
        await pass_of(shop)
        answer = await shop.get("/drop/", headers=HTML)

        assert answer.status == 200
        assert "waiting room" in await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
        assert len(store.seen) == 1


@pytest.mark.parametrize("status", [200, 202, 429, 503])
async def test_the_waiting_page_has_the_status_the_operator_chose(
    redis: ScriptRunner, keys: Keys, store: Store, status: int
) -> None:
    async with front(redis, keys, store, opens_in_s=60, queueing_status_code=status) as shop:
        answer = await shop.get("/drop/", headers=HTML)

        assert answer.status == status
        assert ("Retry-After" in answer.headers) == (status in {429, 503})
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"Accept": "application/json"}),
        ("GET", {"Accept": "application/json"}),
        ("GET", {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}),
        ("GET", {"Accept": "*/*", "Sec-Fetch-Mode": "no-cors"}),
        ("GET", {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Fetch-Mode": "websocket"}),
    ],
)
async def test_what_nobody_looks_at_gets_json_and_a_way_to_join(
    redis: ScriptRunner, keys: Keys, store: Store, method: str, headers: dict[str, str]
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        answer = await shop.client.request(method, "/drop/", headers=headers)
        told = await answer.json()

        assert answer.status == 503
        assert answer.content_type == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
        assert (await shop.get(told["pulse"])).status == 200
        assert told["queue"]["status"] == "/.waitroom/drop/queue/status"
        assert store.seen == []


async def test_a_form_sent_from_the_line_is_told_so_on_a_page(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        answer = await shop.post("/drop/order", data={"a": "b"}, headers=HTML)

        assert answer.status == 503
        assert answer.content_type == "text/html"
        assert "nothing of what you sent was passed on" in await answer.text()
        assert store.seen == []


async def test_what_no_room_guards_is_carried_as_it_is(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        answer = await shop.get("/about?x=1")

        assert await answer.text() == "the store"
        assert store.seen[0].raw_path == "/about?x=1"
        assert "Waitroom-Pass" not in store.seen[0].headers


@pytest.mark.parametrize("path", ["/%64rop/", "/DROP/", "/x/../drop/", "//drop/", "/drop", "/%2e/drop/", "/;/drop/"])
async def test_no_spelling_of_a_guarded_path_leads_round_the_gate(
    redis: ScriptRunner, keys: Keys, store: Store, path: str
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        url = URL(str(shop.client.make_url("/")).rstrip("/") + path, encoded=True)
        async with shop.client.session.get(url, headers=HTML, allow_redirects=False) as answer:
            await answer.read()

        assert store.seen == []


async def test_passes_that_are_worth_nothing_wait(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    stranger = PassSigner(Keys([b"another-secret-of-32-bytes-or-more!!"]))
    own = PassSigner(keys)
    async with front(redis, keys, store, opens_in_s=60) as shop:
        now_ms = shop.edge.rooms.now_ms()
        for text in (
            stranger.sign(Pass("drop", "s", now_ms, now_ms + 60_000)),
            own.sign(Pass("other", "s", now_ms, now_ms + 60_000)),
            own.sign(Pass("drop", "s", now_ms - 60_000, now_ms - 1)),
            UpstreamPassSigner(keys).sign(Pass("drop", "s", now_ms, now_ms + 60_000)),
            (await (await shop.post("/.waitroom/drop/challenge")).json())["challenge"],
        ):
            answer = await shop.get("/drop/", headers=as_app(text))

            assert answer.status == 503, text
        assert store.seen == []


async def test_the_store_sees_a_pass_of_ours_and_no_cookie_of_ours(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as shop:
        cookie = await pass_of(shop)
        forged = {"Cookie": f"a=1; {cookie}; b=2", "Waitroom-Pass": "forged", "Waitroom_Pass": "forged"}
        await shop.get("/drop/", headers={**HTML, **forged})
        seen = store.seen[-1]
        shown = UpstreamPassSigner(keys).verify(
            seen.headers["Waitroom-Pass"], room="drop", now_ms=shop.edge.rooms.now_ms()
        )

        assert seen.headers["Cookie"].replace(" ", "") == "a=1;b=2"
        assert seen.headers.getall("Waitroom-Pass") != ["forged"]
        assert "forged" not in str(seen.headers)
        assert PassSigner(keys).verify(cookie.split("=", 1)[1], room="drop", now_ms=0).session_id == shown.session_id


async def test_the_store_ends_a_session_by_a_header(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as shop:
        cookie = await pass_of(shop)
        store.answer_headers = {"Waitroom-Command": "revoke"}
        last = await shop.get("/drop/thanks", headers={**HTML, "Cookie": cookie})
        store.answer_headers = {}
        await shop.edge.errands.close(5)
        again = await shop.get("/drop/", headers={"Cookie": cookie, "Accept": "application/json"})
        await shop.tick()

        assert "Waitroom-Command" not in last.headers
        assert "Max-Age=0" in last.headers["Set-Cookie"]
        assert again.headers.get("Set-Cookie", "").split(";")[0] != cookie, "the revoked pass opened the gate"
        assert shop.edge.board.get("drop").sessions == 1  # type: ignore[union-attr]  # the second one's


async def test_another_worker_hears_of_a_revoked_pass(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as one, front(redis, keys, store, **ALWAYS_ON) as other:
        cookie = await pass_of(one)
        store.answer_headers = {"Waitroom-Command": "revoke"}
        await one.get("/drop/thanks", headers={**HTML, "Cookie": cookie})
        store.answer_headers = {}
        await one.edge.errands.close(5)
        await other.get("/drop/", headers={**HTML, "Cookie": cookie})
        await other.edge.toucher.step()
        after = await other.get("/drop/", headers={**HTML, "Cookie": cookie})

        assert cookie not in after.headers.get("Set-Cookie", "x")
        assert "Set-Cookie" in after.headers, "a new session, not the old one"


async def test_a_pass_is_renewed_when_a_tenth_of_it_has_gone(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    signer = PassSigner(keys)
    async with front(redis, keys, store, session_duration="5m", **ALWAYS_ON) as shop:
        now_ms = shop.edge.rooms.now_ms()
        young = signer.sign(Pass("drop", "young", now_ms, now_ms + 299_000))
        old = signer.sign(Pass("drop", "old", now_ms, now_ms + 100_000))
        kept = await shop.get("/drop/", headers={"Cookie": f"wr_drop_pass={young}"})
        renewed = await shop.get("/drop/", headers={"Cookie": f"wr_drop_pass={old}"})

        assert "Set-Cookie" not in kept.headers
        assert "Max-Age=29" in renewed.headers["Set-Cookie"] or "Max-Age=300" in renewed.headers["Set-Cookie"]


async def test_a_session_of_fixed_length_is_not_renewed(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, disable_session_renewal=True, **ALWAYS_ON) as shop:
        now_ms = shop.edge.rooms.now_ms()
        old = PassSigner(keys).sign(Pass("drop", "old", now_ms, now_ms + 1_000))
        answer = await shop.get("/drop/", headers={"Cookie": f"wr_drop_pass={old}"})

        assert answer.status == 200
        assert "Set-Cookie" not in answer.headers


async def test_a_cookie_tossed_in_front_of_ours_does_no_harm(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as shop:
        cookie = await pass_of(shop)
        answer = await shop.get("/drop/", headers={"Cookie": f"wr_drop_pass=junk; {cookie}"})

        assert answer.status == 200
        assert "Set-Cookie" not in answer.headers


async def test_the_waiting_page_by_its_address_sends_back_who_is_in(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as shop:
        cookie = await pass_of(shop)
        wait = "/.waitroom/drop/wait?return_to="
        for wanted, sent_to in (
            ("/drop/x%3Fy", "/drop/x?y"),
            ("//evil.example/", "/"),
            ("https://evil.example/", "/"),
            ("/%5Cevil.example", "/"),
            ("/%0d%0aSet-Cookie:x", "/"),
            ("javascript:alert(1)", "/"),
        ):
            answer = await shop.get(wait + wanted, headers={**HTML, "Cookie": cookie})

            assert answer.status == 303
            assert answer.headers["Location"] == sent_to


async def test_without_javascript_each_load_does_a_step(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as before:
        joined = await before.post(
            "/.waitroom/drop/queue/slow",
            data={},
            headers={"Referer": str(before.client.make_url("/drop/shoe?size=9"))},
        )
        ticket = joined.headers["Set-Cookie"].split(";")[0]
        waiting = await before.get("/drop/shoe?size=9", headers={**HTML, "Cookie": ticket})
        page = await waiting.text()
    async with front(redis, keys, store, opens_in_s=-1, new_users_per_minute=1) as after:  # no token for a newcomer
        await after.tick()
        called = await after.get("/drop/shoe?size=9", headers={**HTML, "Cookie": ticket})

    assert joined.headers["Location"] == "/drop/shoe?size=9"
    assert 'http-equiv="refresh"' in page
    assert called.status == 303
    assert called.headers["Location"] == "/drop/shoe?size=9"
    assert called.headers["Set-Cookie"].startswith("wr_drop_pass=")


async def test_passthrough_and_reject_queue_nobody(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, queueing_method="passthrough", opens_in_s=60) as shop:
        assert await (await shop.get("/drop/")).text() == "the store"
    async with front(redis, keys, store, queueing_method="reject") as shop:
        assert (await shop.get("/drop/", headers=HTML)).status == 403


async def test_while_redis_is_gone_the_page_is_served_and_passes_work(
    keys: Keys, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = EmbeddedServer(tmp_path_factory.mktemp("vk"), append_only=False)
    await server.start()
    async with (
        connected(RedisSettings(server.url, timeout_ms=500)) as redis,
        front(redis, keys, store, **ALWAYS_ON) as shop,
    ):
        cookie = await pass_of(shop)
        await server.stop()
        stranger = await shop.get("/drop/", headers=HTML)
        insider = await shop.get("/drop/", headers={**HTML, "Cookie": cookie})
        pulse = await shop.get("/.waitroom/drop/pulse")
        solved = await shop.post("/.waitroom/drop/challenge")

        assert "waiting room" in await stranger.text()
        assert await insider.text() == "the store"
        assert pulse.status == solved.status == 200


async def test_a_room_that_ops_closed_refuses_everybody_until_it_is_resumed(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store) as shop:
        inside = {**HTML, "Cookie": (await shop.get("/drop/", headers=HTML)).headers["Set-Cookie"].split(";")[0]}
        await shop.edge.rooms.control("drop", Change(ChangeKind.CLOSE), who="ann")
        await shop.tick()
        refused = [await shop.get("/drop/", headers=headers) for headers in (inside, HTML, {})]
        await shop.edge.rooms.control("drop", Change(ChangeKind.RESUME), who="ann")
        await shop.tick()
        again = await shop.get("/drop/", headers=inside)

    assert [answer.status for answer in refused] == [503, 503, 503]
    assert all("Retry-After" in answer.headers for answer in refused)
    assert again.status == 200


async def test_while_ops_let_everybody_through_nobody_waits_whatever_the_limits_say(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, total_active_users=1, new_users_per_minute=1) as shop:
        await shop.edge.rooms.control("drop", Change(ChangeKind.OPEN_ALL, "60000"), who="ann")
        await shop.tick()
        answers = [await shop.get("/drop/", headers=HTML) for _ in range(3)]
        texts = [await answer.text() for answer in answers]
        await shop.edge.rooms.control("drop", Change(ChangeKind.RESUME), who="ann")
        await shop.tick()
        kept = await shop.get("/drop/", headers={**HTML, "Cookie": answers[0].headers["Set-Cookie"].split(";")[0]})
        kept_text = await kept.text()

    assert texts == ["the store"] * 3
    assert kept_text == "the store", "who came in stays in"


async def test_every_pass_can_be_revoked_also_one_that_was_renewed(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as shop:
        name, _, text = (await pass_of(shop)).partition("=")
        signer = PassSigner(keys)
        held = signer.verify(text, room="drop", now_ms=shop.edge.rooms.now_ms())
        renewed = signer.sign(replace(held, expires_ms=held.expires_ms + 60_000))
        await shop.edge.rooms.control("drop", Change(ChangeKind.REVOKE_ALL), who="ann")
        await shop.tick()
        states = []
        for token in (text, renewed):
            answer = await shop.get("/.waitroom/drop/queue/status", headers={"Cookie": f"{name}={token}"})
            states.append(answer.status)
        fresh = await pass_of(shop)
        allowed = await shop.get("/drop/", headers={**HTML, "Cookie": fresh})
        await shop.edge.toucher.step()

        assert states == [404, 404], "no pass, no ticket"
        assert await allowed.text() == "the store"
        assert (await shop.edge.rooms.tick("drop")).sessions == 1
