"""Attacks on tickets and passes: forged, confused, shared, replayed; and on the secret of the draw."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from itsdangerous.encoding import base64_decode, base64_encode

from tests.edges import HTML, Front, Store, as_app, front
from tests.fakes import FakeClock
from tests.wire import Reply, faults_of, request, send
from waitroom.console.sign_ins import Role, SignIns
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Pass, PassSigner, Ticket, TicketSigner, UpstreamPassSigner
from waitroom.rules.challenges import solve

QUEUE = "/.waitroom/drop/queue"
ALWAYS_ON: dict[str, Any] = {"queueing_method": "fifo", "new_users_per_minute": 60_000.0}


async def scripts_run(redis: ScriptRunner) -> int:
    stats: dict[str, Any] = await redis.client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "eval"))


async def sent(gate: Front, data: bytes) -> Reply:
    assert gate.client.port is not None
    reply = await send(gate.client.port, data)
    assert faults_of(reply) == []
    return reply


async def inside(gate: Front) -> str:
    """Walk straight in, and return the pass."""
    answer = await gate.get("/drop/", headers=HTML)
    assert answer.status == 200, await answer.text()
    return answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]


# Forged and confused


def foreign(keys: Keys, now_ms: int) -> dict[str, str]:
    """Return texts that look like tokens of ours and open nothing here."""
    stranger, later = Keys([b"another-secret-of-32-bytes-or-more!!"]), now_ms + 60_000
    own_pass = PassSigner(keys).sign(Pass("drop", "s" * 20, now_ms, later))
    ticket = TicketSigner(keys).sign(Ticket("drop", "opening", "main", "t" * 20, now_ms, 0.5))
    body, _, mac = own_pass.rpartition(".")
    bomb = base64_encode(zlib.compress(b"[" * 1_000_000)).decode()
    sign_ins = SignIns({Role.OPERATOR: "the-operator-token"}, keys, FakeClock(now_ms))
    return {
        "of another secret": PassSigner(stranger).sign(Pass("drop", "s" * 20, now_ms, later)),
        "of another room": PassSigner(keys).sign(Pass("other", "s" * 20, now_ms, later)),
        "run out": PassSigner(keys).sign(Pass("drop", "s" * 20, now_ms - 60_000, now_ms - 1)),
        "for the store behind": UpstreamPassSigner(keys).sign(Pass("drop", "s" * 20, now_ms, later)),
        "a ticket": ticket,
        "a ticket of another event": TicketSigner(keys).sign(Ticket("drop", "x", "main", "t", now_ms, 0.5)),
        "a sign-in to the console": sign_ins.sign(Role.OPERATOR, "Ada"),
        "body of one, seal of another": f"{body}.{ticket.rpartition('.')[2]}",
        "without a seal": body,
        "an empty seal": f"{body}.",
        "a bomb": f".{bomb[:1900]}.{mac}",
        "with more behind": f"{own_pass}=",
        "with a blank": own_pass.replace(".", ". ", 1),
        "twice": f"{own_pass}.{mac}",
        "alg none": "eyJhbGciOiJub25lIn0.e30.",
        "nothing": "",
        "null": "null",
        "very long": "A" * 7000,
    }


async def test_nothing_but_a_pass_opens_the_gate(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as gate:
        for name, text in foreign(keys, gate.edge.rooms.now_ms()).items():
            for way in (f"Authorization: Waitroom {text}", f"Cookie: wr_drop_pass={text}"):
                reply = await sent(gate, request("GET /drop/", way))

                assert (reply.status, reply.kind) == (503, "waiting"), name
        assert store.seen == []


async def test_nothing_but_a_ticket_is_a_ticket_and_redis_never_hears_of_the_rest(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as gate:
        now_ms = gate.edge.rooms.now_ms()
        own_pass = PassSigner(keys).sign(Pass("drop", "s" * 20, now_ms, now_ms + 60_000))
        worthless = {**foreign(keys, now_ms), "a ticket": own_pass}
        calls = await scripts_run(redis)
        for name, text in worthless.items():
            for line in (f"POST {QUEUE}/claim", f"POST {QUEUE}/leave", f"GET {QUEUE}/status"):
                cookie = await sent(gate, request(line, f"Cookie: wr_drop_ticket={text}", body=b""))

                assert (cookie.status, cookie.kind) in {(404, "no-ticket"), (204, "")}, (name, line)
            app = await sent(gate, request(f"POST {QUEUE}/claim", f"Authorization: Waitroom {text}", body=b""))
            assert (app.status, app.kind) == (403, "bad-token"), name

        assert await scripts_run(redis) == calls


async def test_a_token_with_any_character_changed_is_worth_nothing(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as gate:
        ticket, calls = (await gate.join())["ticket"], await scripts_run(redis)
        for at, was in enumerate(ticket):
            changed = ticket[:at] + ("A" if was != "A" else "B") + ticket[at + 1 :]
            reply = await sent(gate, request(f"GET {QUEUE}/status", f"Authorization: Waitroom {changed}"))

            assert reply.status == 403, at
        assert await scripts_run(redis) == calls


# What the store behind is told


@pytest.mark.parametrize("path", ["/about", "/drop/open/x", "/drop/"])
@pytest.mark.parametrize(
    "name",
    ["Waitroom-Pass", "waitroom-pass", "WAITROOM_PASS", "Waitroom.Pass", "Waitroom-Other", "waitroom_command"],
)
async def test_nobody_tells_the_store_that_they_are_in(
    redis: ScriptRunner, keys: Keys, store: Store, path: str, name: str
) -> None:
    async with front(redis, keys, store, exempt_paths=["/drop/open/"], **ALWAYS_ON) as gate:
        forged = UpstreamPassSigner(keys).sign(Pass("drop", "forged", 0, 2**50))
        cookie = f"Cookie: wr_drop_pass={await inside(gate)}"
        await sent(gate, request(f"GET {path}", cookie, f"{name}: {forged}", f"Connection: {name}"))

        told = [value for key, value in store.seen[-1].headers.items() if key.lower().startswith("waitroom")]
        assert forged not in str(store.seen[-1].headers)
        assert len(told) == (1 if path == "/drop/" else 0)


@pytest.mark.parametrize("scheme", ["Waitroom", "waitroom", "WAITROOM", "Waitroom "])
async def test_the_store_never_sees_what_opens_the_gate(
    redis: ScriptRunner, keys: Keys, store: Store, scheme: str
) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as gate:
        opened = await inside(gate)
        for way in (
            f"Authorization: {scheme} {opened}",
            f"Cookie: a=1; wr_drop_pass={opened};wr_drop_ticket={opened}; b=2",
            f"Cookie: wr_drop_pass={opened}\r\nCookie: __Host-wr_drop_pass={opened}; wr_console={opened}",
        ):
            reply = await sent(gate, request("GET /drop/", way))

            assert reply.body == b"the store"
            assert opened not in str(store.seen[-1].headers), way
    theirs = "Basic dXNlcjpwdw=="
    async with front(redis, keys, store, **ALWAYS_ON) as gate:
        await sent(gate, request("GET /about", f"Authorization: {theirs}"))

        assert store.seen[-1].headers["Authorization"] == theirs


async def test_a_visitor_cannot_make_the_store_end_sessions(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as gate:
        opened = await inside(gate)
        await sent(gate, request("GET /drop/", f"Cookie: wr_drop_pass={opened}", "Waitroom-Command: revoke"))
        again = await sent(gate, request("GET /drop/", f"Cookie: wr_drop_pass={opened}"))

        assert again.body == b"the store"
        assert "Set-Cookie" not in again.headers


# Shared and replayed


async def test_one_ticket_on_many_devices_is_one_session_and_one_shopper(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as before:
        ticket = (await before.join())["ticket"]
    async with front(redis, keys, store, opens_in_s=-1) as gate:
        await gate.tick()
        claims = await asyncio.gather(*(gate.post(f"{QUEUE}/claim", headers=as_app(ticket)) for _ in range(20)))
        passes = [(await claim.json())["pass"] for claim in claims]
        for text in passes:
            await gate.get("/drop/", headers=as_app(text))
        await gate.tick()
        verify = UpstreamPassSigner(keys).verify
        shown = [seen.headers["Waitroom-Pass"] for seen in store.seen]
        shoppers = {verify(text, room="drop", now_ms=gate.edge.rooms.now_ms()).session_id for text in shown}

        assert len(store.seen) == 20
        assert len(shoppers) == 1
        assert gate.edge.board.get("drop").sessions == 1  # type: ignore[union-attr]  # it was ticked


End = Callable[[Front, Store, str], Awaitable[None]]


async def by_the_store(gate: Front, store: Store, text: str) -> None:
    store.answer_headers = {"Waitroom-Command": "revoke"}
    await gate.get("/drop/thanks", headers=as_app(text))
    store.answer_headers = {}
    await gate.edge.errands.close(5)


async def by_leaving(gate: Front, store: Store, text: str) -> None:
    assert (await gate.post(f"{QUEUE}/leave", headers={"Cookie": f"wr_drop_pass={text}"})).status == 204


@pytest.mark.parametrize("end", [by_the_store, by_leaving])
async def test_a_pass_renewed_and_put_aside_ends_with_its_session(
    redis: ScriptRunner, keys: Keys, store: Store, end: End
) -> None:
    async with (
        front(redis, keys, store, total_active_users=1, **ALWAYS_ON) as gate,
        front(redis, keys, store, total_active_users=1, **ALWAYS_ON) as other_worker,
    ):
        now_ms = gate.edge.rooms.now_ms()
        session = PassSigner(keys).verify(await inside(gate), room="drop", now_ms=now_ms)
        about_to_end = PassSigner(keys).sign(replace(session, expires_ms=now_ms + 400))
        aside = PassSigner(keys).sign(replace(session, expires_ms=now_ms + 300_000))

        await end(gate, store, about_to_end)
        while gate.edge.rooms.now_ms() <= now_ms + 400:
            await asyncio.sleep(0.02)
        await gate.edge.toucher.step()
        await gate.edge.sessions.release("drop", "somebody else", until_ms=0)  # which clears out what has run out

        for worker in (gate, other_worker):
            await worker.get("/drop/", headers=as_app(aside))
            await worker.edge.toucher.step()
            seen = len(store.seen)
            answer = await worker.get("/drop/", headers={**as_app(aside), "Accept": "application/json"})
            told = answer.headers.get("Set-Cookie", "")

            assert len(store.seen) == seen or told, "it opened the gate as if nothing had happened"
            assert session.session_id not in _sessions_of(keys, told)


def _sessions_of(keys: Keys, cookie: str) -> str:
    text = cookie.partition(";")[0].partition("=")[2]
    return PassSigner(keys).verify(text, room="drop", now_ms=0).session_id if text else ""


async def test_a_ticket_comes_in_once_and_not_again_after_leaving(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as before:
        challenge = await before.challenge()
        solved = {"challenge": challenge, "solution": solve(challenge)}
        ticket = (await (await before.post(f"{QUEUE}/register", json=solved)).json())["ticket"]
    async with front(redis, keys, store, opens_in_s=-1) as gate:
        await gate.tick()
        opened = (await (await gate.post(f"{QUEUE}/claim", headers=as_app(ticket))).json())["pass"]
        left = await gate.post(f"{QUEUE}/leave", headers={**as_app(ticket), "Cookie": f"wr_drop_pass={opened}"})
        claimed = await gate.post(f"{QUEUE}/claim", headers=as_app(ticket))
        again = await (await gate.post(f"{QUEUE}/register", json=solved)).json()
        twice = await gate.post(f"{QUEUE}/claim", headers=as_app(again["ticket"]))

        assert (left.status, claimed.status, twice.status) == (204, 410, 410)
        assert again["state"] == "lapsed"


async def test_leaving_and_coming_back_gains_no_place(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=-1, new_users_per_minute=0.01) as gate:
        tickets = [(await gate.join())["ticket"] for _ in range(4)]
        status = f"{QUEUE}/status"
        before = [(await (await gate.get(status, headers=as_app(text))).json())["score"] for text in tickets]
        for _ in range(3):
            await gate.post(f"{QUEUE}/leave", headers=as_app(tickets[-1]))
            back = await (await gate.get(status, headers=as_app(tickets[-1]))).json()

            assert back["score"] == before[-1]


async def test_secrets_that_were_rotated_out_open_nothing(redis: ScriptRunner, store: Store) -> None:
    old, mid, new = (f"secret number {n}, of more than 32 characters".encode() for n in range(3))
    async with front(redis, Keys([old, mid]), store, **ALWAYS_ON) as gate:
        now_ms = gate.edge.rooms.now_ms()
        texts = [PassSigner(Keys([key])).sign(Pass("drop", "s" * 20, now_ms, now_ms + 60_000)) for key in (old, mid)]
    async with front(redis, Keys([mid, new]), store, opens_in_s=60) as gate:
        replies = [await gate.get("/drop/", headers=as_app(text)) for text in texts]

        assert [reply.status for reply in replies] == [503, 200]


async def test_cookies_that_a_neighbour_tossed_do_not_lock_out(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as gate:
        opened = await inside(gate)
        tossed = "; ".join(f"wr_drop_pass={junk}" for junk in ("", "x", '"', "wr_drop_pass=x", "é", "x.y", "=", ";"))
        reply = await sent(gate, request("GET /drop/", f"Cookie: {tossed}; wr_drop_pass={opened}"))

        assert reply.body == b"the store"
        assert "Set-Cookie" not in reply.headers


async def test_on_https_no_neighbour_can_toss_a_cookie(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    https = {"public_origin": "https://shop.example"}
    async with front(redis, keys, store, edge=https, **ALWAYS_ON) as gate:
        cookie = (await gate.get("/drop/", headers=HTML)).headers["Set-Cookie"]
        text = cookie.partition(";")[0].partition("=")[2]
        tossed = await sent(gate, request("GET /drop/", f"Cookie: wr_drop_pass={text}", "Accept: a/b"))

        assert cookie.startswith("__Host-wr_drop_pass=")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
        assert tossed.headers["Set-Cookie"].partition("=")[2] != text, "only the protected name counts"


# The draw


def _without_what_differs(told: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key not in {"ticket", "ticket_id"}}


@pytest.mark.parametrize("room", [{"queueing_method": "random"}, {"queueing_method": "hybrid", "fifo_head": 0}])
async def test_before_the_opening_no_answer_tells_one_ticket_from_another(
    redis: ScriptRunner, keys: Keys, store: Store, room: dict[str, Any]
) -> None:
    async with front(redis, keys, store, opens_in_s=600, **room) as gate:
        joined = [await gate.join() for _ in range(12)]
        await gate.tick()
        answers: dict[str, set[str]] = {}

        def note(name: str, status: int, headers: Any, told: object) -> None:
            seen = (status, headers.get("Retry-After"), headers.get("Cache-Control"), told)
            answers.setdefault(name, set()).add(str(seen))

        for one in joined:
            head = as_app(one["ticket"])
            status = await gate.get(f"{QUEUE}/status", headers=head)
            told = await status.json()
            note("status", status.status, status.headers, _without_what_differs(told) | {"wait_s": 0})
            note("span of the wait", 0, {}, told["wait_s"]["high"] - told["wait_s"]["low"] < 60)
            claim = await gate.post(f"{QUEUE}/claim", headers=head)
            note("claim", claim.status, claim.headers, await claim.json())
            store_side = await gate.get("/drop/", headers=head)
            note("store", store_side.status, store_side.headers, await store_side.json())
            assert "null" in _inside(one["ticket"]), "the score travels in the ticket"
        assert len({str(_without_what_differs(one)) for one in joined}) == 1
        pulse = await (await gate.get("/.waitroom/drop/pulse")).json()
        for one in joined:
            left = await gate.post(f"{QUEUE}/leave", headers=as_app(one["ticket"]))
            note("leave", left.status, left.headers, await left.text())

        assert {name: len(seen) for name, seen in answers.items()} == dict.fromkeys(answers, 1)
        assert (pulse["seed"], pulse["lanes"]["main"]["serving"], pulse["lanes"]["main"]["called"]) == (None, None, 0)


def _inside(token: str) -> str:
    return base64_decode(token.rpartition(".")[0]).decode()


async def test_a_worker_that_missed_the_change_of_events_tells_no_place(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=600) as gate:
        challenge = await gate.challenge()
        solved = {"challenge": challenge, "solution": solve(challenge)}
        now = gate.edge.board.get("drop")
        assert now is not None
        for stale in (
            replace(now, event="the one before", starts_ms=now.now_ms - 3_600_000),
            replace(now, event="always", prequeue_ms=None, starts_ms=None, ends_ms=None),
        ):
            gate.edge.board.put(stale)
            answer = await gate.post(f"{QUEUE}/register", json=solved)

            assert answer.status == 503
            assert "score" not in await answer.json()
        await gate.tick()
        told = await (await gate.post(f"{QUEUE}/register", json=solved)).json()
        assert (told["state"], told["score"], told["place"]) == ("waiting", None, None)
