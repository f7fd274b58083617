"""The verdict for somebody else's proxy: yes with a pass, or where to go; never yes to what is unclear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientResponse
from yarl import URL

from tests.edges import HTML, Front, Store, as_app, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, UpstreamPassSigner
from waitroom.rules.health import Circuit, Health
from waitroom.rules.rooms import Change, ChangeKind

ALWAYS_ON: dict[str, Any] = {"queueing_method": "fifo", "new_users_per_minute": 60_000.0}
FULL: dict[str, Any] = {**ALWAYS_ON, "total_active_users": 1}
TRUSTING = {"trusted_proxies": ["127.0.0.0/8"]}
JSON = {"Accept": "application/json"}


@asynccontextmanager
async def gate(redis: ScriptRunner, keys: Keys, store: Store, **room: Any) -> AsyncIterator[Front]:
    edge = {**TRUSTING, **room.pop("edge", {})}
    async with front(redis, keys, store, edge=edge, **{**ALWAYS_ON, **room}) as shop:
        yield shop


def told(target: str, method: str = "GET", **headers: str) -> dict[str, str]:
    """Return what a front says of a visitor's request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "X-Forwarded-Method": method,
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "shop.example:8443",
        "X-Forwarded-Uri": target,
        "X-Forwarded-For": "203.0.113.9",
        **named,
    }


async def ask(
    shop: Front, kind: str, target: str, method: str = "GET", **headers: str | dict[str, str]
) -> ClientResponse:
    """Ask as a front of that `kind` does."""
    visitor = headers.pop("visitor", HTML)
    assert isinstance(visitor, dict)
    if kind == "envoy":
        sent = {"X-Forwarded-Proto": "http", "Host": "shop.example:8443", **visitor}
        url = shop.client.make_url("/").join(URL(f"/.waitroom/auth/envoy{target}", encoded=True))
        return await shop.client.session.request(method, url, headers=sent, allow_redirects=False)
    sent = {**told(target, method), **visitor}
    return await shop.get(f"/.waitroom/auth/{kind}", headers=sent)


ALLOWED = {"nginx": 204, "redirect": 200, "envoy": 200}
KINDS = pytest.mark.parametrize("kind", ALLOWED)


def sent_to(answer: ClientResponse, page: str, back: str) -> str:
    """Check that the visitor is sent to a page of ours and from there `back`; return its path."""
    assert answer.status in {303, 401}, answer.status
    location = urlsplit(answer.headers["Location"])
    assert f"{location.scheme}://{location.netloc}" == "http://shop.example:8443"
    assert location.path == f"/.waitroom/drop/{page}"
    assert parse_qs(location.query)["return_to"] == [back]
    return f"{location.path}?{location.query}"


async def come_in(shop: Front, kind: str = "redirect") -> str:
    """Go the way of a browser from the first refusal to the store; return the pass cookie."""
    page = sent_to(await ask(shop, kind, "/drop/shoe?size=4%2F2"), "enter", "/drop/shoe?size=4%2F2")
    entered = await shop.get(page, headers=HTML)
    cookie = entered.headers["Set-Cookie"].split(";")[0]
    last = await shop.get(entered.headers["Location"], headers={**HTML, "Cookie": cookie})
    assert (entered.status, last.status, last.headers["Location"]) == (303, 303, "/drop/shoe?size=4%2F2")
    return cookie


@KINDS
async def test_where_nobody_waits_a_visitor_gets_a_pass_on_our_page_and_passes(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str
) -> None:
    async with gate(redis, keys, store) as shop:
        cookie = await come_in(shop, kind)
        answer = await ask(shop, kind, "/drop/shoe?size=4%2F2", visitor={**HTML, "Cookie": cookie})
        await shop.tick()

        shown = UpstreamPassSigner(keys).verify(
            answer.headers["Waitroom-Pass"], room="drop", now_ms=shop.edge.rooms.now_ms()
        )
        assert answer.status == ALLOWED[kind]
        assert await answer.read() == b""
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers
        assert shown.room == "drop"
        assert shop.edge.board.get("drop").sessions == 1  # type: ignore[union-attr]  # it was ticked
        assert store.seen == [], "the store is the front's business"


@KINDS
@pytest.mark.parametrize("target", ["/", "/about?x=1", "/drop/feed", "/dropped"])
async def test_what_no_room_guards_passes_without_a_pass(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str, target: str
) -> None:
    async with gate(redis, keys, store, exempt_paths=["/drop/feed"]) as shop:
        answer = await ask(shop, kind, target)

        assert answer.status == ALLOWED[kind]
        assert not {"Waitroom-Pass", "Set-Cookie", "Location"} & set(answer.headers)


@KINDS
@pytest.mark.parametrize(
    "target",
    [
        "/drop/feed/../buy",
        "/drop/feed%2f..%2fbuy",
        "/drop/feed/%2e%2e/buy",
        "/drop/feed/..;/buy",
        "/drop/feed\\..\\buy",
        "//drop/buy",
        "/DROP/buy",
        "/drop/feed%00/buy",
        "/x/..%252fdrop/buy",
        "/%64rop/buy",
    ],
)
async def test_no_path_trick_opens_an_exemption(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str, target: str
) -> None:
    async with gate(redis, keys, store, exempt_paths=["/drop/feed"]) as shop:
        if kind == "envoy":  # sent as it stands: no client library may tidy it
            lines = ["X-Forwarded-Proto: http", "Accept: text/html"]
            status = int((await raw(shop, f"GET /.waitroom/auth/envoy{target} HTTP/1.1", *lines))[9:12])
        else:
            status = (await ask(shop, kind, target)).status

        assert status in {303, 401}


@KINDS
async def test_in_a_full_room_a_person_is_sent_to_the_waiting_page(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str
) -> None:
    async with gate(redis, keys, store, total_active_users=1) as shop:
        await come_in(shop)
        page = sent_to(await ask(shop, kind, "/drop/shoe"), "enter", "/drop/shoe")
        entered = await shop.get(page, headers=HTML)
        waiting = await shop.get(entered.headers["Location"], headers=HTML)

        assert "Set-Cookie" not in entered.headers
        assert "waiting room" in await waiting.text()


@KINDS
async def test_before_the_opening_a_person_waits_and_a_program_is_told_where(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str
) -> None:
    async with gate(redis, keys, store, opens_in_s=60) as shop:
        sent_to(await ask(shop, kind, "/drop/"), "wait", "/drop/")
        answers = {
            "page": await ask(shop, kind, "/drop/", visitor=JSON),
            "form": await ask(shop, kind, "/drop/", "POST"),
            "socket": await ask(shop, kind, "/drop/", visitor={"Sec-Fetch-Mode": "websocket"}),
        }

        for name, answer in answers.items():
            assert "Location" not in answer.headers, name
            assert "Waitroom-Pass" not in answer.headers, name
            if kind == "nginx":
                assert answer.status == 401
                continue
            assert answer.status == (503 if kind == "redirect" else 429), name
            assert answer.headers["Retry-After"] == "5"
        if kind != "nginx":
            problem = await answers["page"].json()
            assert problem["status"] == answers["page"].status
            assert problem["challenge"] == "/.waitroom/drop/challenge"
            assert "nothing of what you sent was passed on" in await answers["form"].text()
            assert 'http-equiv="refresh"' not in (await answers["form"].text()).lower()


async def test_the_refusal_tells_what_a_401_cannot(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with gate(redis, keys, store, opens_in_s=60) as shop:
        sent_to(await ask(shop, "refusal", "/drop/"), "wait", "/drop/")
        program = await ask(shop, "refusal", "/drop/", visitor=JSON)
        form = await ask(shop, "refusal", "/drop/", "POST")

        assert (program.status, program.headers["Retry-After"]) == (503, "5")
        assert (await program.json())["type"] == "urn:waitroom:problem:waiting"
        assert (form.status, form.content_type) == (503, "text/html")


@KINDS
@pytest.mark.parametrize("target", ["/drop/", "/about"])
async def test_the_store_gets_the_visitors_cookies_and_none_of_ours(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str, target: str
) -> None:
    async with gate(redis, keys, store) as shop:
        cookie = await come_in(shop)
        mixed = {"Cookie": f"a=1; {cookie}; __Host-wr_x_ticket=t;b=\u00e9"}
        some = await ask(shop, kind, target, visitor={**HTML, **mixed})
        none = await ask(shop, kind, target, visitor={**HTML, "Cookie": cookie})

        assert some.headers["Cookie"] == "a=1; b=\u00e9"
        assert "Cookie" not in none.headers
        assert none.headers.get("x-envoy-auth-headers-to-remove") == ("cookie" if kind == "envoy" else None)


async def test_an_app_without_a_jar_is_handed_its_pass(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with gate(redis, keys, store) as shop:
        first = await ask(shop, "redirect", "/drop/", visitor={**HTML, "Authorization": "Waitroom"})
        again = await ask(shop, "redirect", "/drop/", visitor={**HTML, **as_app(first.headers["Waitroom-Token"])})

        assert (first.status, again.status) == (200, 200)
        assert "Waitroom-Token" not in again.headers


async def test_a_refusal_that_has_become_needless_is_no_empty_page(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with gate(redis, keys, store) as shop:
        cookie = {"Cookie": await come_in(shop)}
        person = await ask(shop, "refusal", "/drop/?a=1", visitor={**HTML, **cookie})
        form = await ask(shop, "refusal", "/drop/", "POST", visitor={**HTML, **cookie})

        assert (person.status, person.headers["Location"]) == (303, "http://shop.example:8443/drop/?a=1")
        assert (form.status, form.headers["Retry-After"]) == (503, "1")


@KINDS
async def test_where_nobody_waits_a_program_passes_and_gets_its_pass_along(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str
) -> None:
    async with gate(redis, keys, store, **FULL) as shop:
        first = await ask(shop, kind, "/drop/api", "POST", visitor=JSON)
        cookie = first.headers["Set-Cookie"].split(";")[0]
        again = await ask(shop, kind, "/drop/api", "POST", visitor={**JSON, "Cookie": cookie})
        app = await ask(shop, kind, "/drop/api", visitor={**JSON, **as_app(cookie.partition("=")[2])})
        other = await ask(shop, kind, "/drop/api", "POST", visitor=JSON)

        assert [one.status for one in (first, again, app)] == [ALLOWED[kind]] * 3
        assert first.headers.getall("Set-Cookie") == [first.headers["Set-Cookie"]]
        assert "Waitroom-Pass" not in other.headers, "the one seat is taken"


@KINDS
async def test_a_used_pass_is_renewed_and_an_old_one_on_our_own_page(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str
) -> None:
    async with gate(redis, keys, store, session_duration="100s") as shop:
        line, now_ms = shop.edge._line, shop.edge.rooms.now_ms()
        used, old = (line.issue("drop", "one", now_ms + left).cookie.split(";")[0] for left in (80_000, 30_000))
        first = await ask(shop, kind, "/drop/", visitor={**HTML, "Cookie": used})
        page = sent_to(await ask(shop, kind, "/drop/?a=1", visitor={**HTML, "Cookie": old}), "enter", "/drop/?a=1")
        renewed = await shop.get(page, headers={**HTML, "Cookie": old})
        image = await ask(shop, kind, "/drop/i.png", visitor={"Sec-Fetch-Mode": "no-cors", "Cookie": old})
        form = await ask(shop, kind, "/drop/", "POST", visitor={**HTML, "Cookie": old})

        assert first.status == image.status == form.status == ALLOWED[kind]
        assert all("_pass=" in one.headers["Set-Cookie"] for one in (first, image, form, renewed))
        assert renewed.headers["Location"] == "/drop/?a=1"


@KINDS
async def test_ops_words_count_here_too(redis: ScriptRunner, keys: Keys, store: Store, kind: str) -> None:
    async with gate(redis, keys, store) as shop:
        cookie = {"Cookie": await come_in(shop)}
        await shop.edge.rooms.control("drop", Change(ChangeKind.CLOSE), who="ann")
        await shop.tick()
        closed = await ask(shop, kind, "/drop/", visitor={**HTML, **cookie})
        await shop.edge.rooms.control("drop", Change(ChangeKind.RESUME), who="ann")
        await shop.edge.rooms.control("drop", Change(ChangeKind.OPEN_ALL, "60000"), who="ann")
        await shop.tick()
        welcome = await ask(shop, kind, "/drop/api", "POST", visitor=JSON)
        person = await ask(shop, kind, "/drop/")

        assert closed.status == {"nginx": 401, "redirect": 503, "envoy": 429}[kind]
        assert welcome.status == ALLOWED[kind]
        assert "Waitroom-Pass" in welcome.headers
        assert "Set-Cookie" in (await shop.get(sent_to(person, "enter", "/drop/"))).headers


@KINDS
async def test_while_the_store_is_down_nobody_is_sent_there(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str
) -> None:
    async with gate(redis, keys, store) as shop:
        cookie = {"Cookie": await come_in(shop)}
        known = shop.edge.board.get("drop")
        assert known is not None
        shop.edge.board.put(replace(known, health=Health(circuit=Circuit.OPEN)))
        down = await ask(shop, kind, "/drop/", visitor={**JSON, **cookie})
        shop.edge.board.put(known)
        well = await ask(shop, kind, "/drop/", visitor={**JSON, **cookie})

        assert down.status == {"nginx": 401, "redirect": 503, "envoy": 429}[kind]
        assert "Waitroom-Pass" not in down.headers
        assert well.status == ALLOWED[kind]


async def test_a_revoked_pass_is_worth_nothing(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with gate(redis, keys, store, opens_in_s=-1) as shop:
        line, now_ms = shop.edge._line, shop.edge.rooms.now_ms()
        cookie = {"Cookie": line.issue("drop", "one", now_ms + 300_000).cookie.split(";")[0]}
        inside = await ask(shop, "redirect", "/drop/", visitor={**JSON, **cookie})
        shown = {"Waitroom-Pass": inside.headers["Waitroom-Pass"]}
        ended = await shop.post("/.waitroom/auth/revoke/drop", headers=shown)
        twice = await shop.post("/.waitroom/auth/revoke/drop", headers=shown)
        await shop.tick()
        after = await ask(shop, "nginx", "/drop/", visitor={**HTML, **cookie})

        assert (inside.status, ended.status, twice.status) == (200, 204, 204)
        assert after.status == 401


async def test_only_who_holds_a_pass_of_the_store_ends_a_session(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with gate(redis, keys, store) as shop:
        cookie = await come_in(shop)
        other = Keys([b"another-secret-that-is-32-bytes-long"])
        pass_ = shop.edge._line.issue("drop", "one", shop.edge.rooms.now_ms() + 60_000)
        for forged in ("", "x", cookie.partition("=")[2], UpstreamPassSigner(other).sign(pass_.pass_)):
            answer = await shop.post("/.waitroom/auth/revoke/drop", headers={"Waitroom-Pass": forged})

            assert answer.status == 403, forged


@pytest.mark.parametrize("kind", ["nginx", "redirect", "refusal", "envoy/drop/"])
async def test_a_stranger_gets_no_verdict(redis: ScriptRunner, keys: Keys, store: Store, kind: str) -> None:
    async with gate(redis, keys, store, edge={"trusted_proxies": ["192.0.2.0/24"]}) as shop:
        line, now_ms = shop.edge._line, shop.edge.rooms.now_ms()
        cookie = {"Cookie": line.issue("drop", "one", now_ms + 300_000).cookie.split(";")[0]}
        answer = await shop.get(f"/.waitroom/auth/{kind}", headers={**told("/drop/"), **JSON, **cookie})

        assert answer.status == 403
        assert (await answer.json())["type"] == "urn:waitroom:problem:untrusted-front"
        assert "Waitroom-Pass" not in answer.headers


@pytest.mark.parametrize("kind", ["nginx", "redirect", "refusal"])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["X-Forwarded-Host: shop.example", "X-Forwarded-Host: evil.example"], 400),
        (["X-Forwarded-Host: shop.example, evil.example"], 400),
        (["X-Forwarded-Host: shop.example", "X-Original-URI: /free"], 400),
        (["X-Forwarded-Host: shop.example", "X-Forwarded-Uri: /free"], 400),
        (["X-Forwarded-Host: shop.example", "Waitroom-Pass: forged"], 400),
        (["X-Forwarded-Host: shop.example", "Waitroom_Pass: forged"], 400),
        ([], 400),
        (["X-Forwarded-Host: shop.example", "X-Forwarded-Uri: /" + "a" * 9000], 400),
        (["X-Forwarded-Host: shop.example", "X-Forwarded-Method: GET\rX-Forwarded-Uri: /free"], 400),
    ],
)
async def test_a_question_that_is_unclear_admits_nobody(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str, lines: list[str], status: int
) -> None:
    always = ["X-Forwarded-Proto: http", "X-Forwarded-Method: GET", "X-Forwarded-Uri: /drop/"]
    async with gate(redis, keys, store) as shop:
        cookie = await come_in(shop)
        answer = await raw(shop, f"GET /.waitroom/auth/{kind} HTTP/1.1", *always, *lines, f"Cookie: {cookie}")

        expected = {status, 403} if kind == "nginx" else {status}
        assert int(answer[9:12]) in expected, answer
        assert b"waitroom-pass" not in answer.lower()


async def test_a_question_at_an_address_spelt_otherwise_is_none(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    lines = [f"{name}: {value}" for name, value in {**told("/"), **JSON}.items()]
    async with gate(redis, keys, store) as shop:
        for spelt in ("/.waitroom/%61uth/redirect", "/%2ewaitroom/auth/redirect", "/.waitroom%2fauth/redirect"):
            answer = await raw(shop, f"GET {spelt} HTTP/1.1", *lines)

            assert b"waitroom-pass" not in answer.lower(), spelt
            assert answer[9:12] == b"404" or answer.endswith(b"the store"), spelt  # to the door, some page of the store


async def test_a_long_address_is_refused(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with gate(redis, keys, store) as shop:
        answer = await ask(shop, "redirect", "/" + "a" * 8000)
        fitting = await ask(shop, "redirect", "/drop/?" + "a" * 7900)

        assert answer.status == 414
        sent_to(fitting, "enter", "/drop/")


@pytest.mark.parametrize("kind", ["nginx", "redirect"])
async def test_a_front_may_ask_by_head_and_in_http_1_0(
    redis: ScriptRunner, keys: Keys, store: Store, kind: str
) -> None:
    lines = [f"{name}: {value}" for name, value in {**told("/drop/"), **HTML}.items()]
    async with gate(redis, keys, store) as shop:
        cookie = await come_in(shop)
        for start in (f"HEAD /.waitroom/auth/{kind} HTTP/1.1", f"GET /.waitroom/auth/{kind} HTTP/1.0"):
            inside = await raw(shop, start, *lines, f"Cookie: {cookie}")
            outside = await raw(shop, start, *lines)

            assert int(inside[9:12]) == ALLOWED[kind]
            assert b"\r\nWaitroom-Pass: " in inside
            assert int(outside[9:12]) == (401 if kind == "nginx" else 303)
            assert b"\r\nLocation: http://shop.example:8443/.waitroom/drop/enter?return_to=/drop/" in outside


async def test_who_keeps_no_cookies_ends_at_the_waiting_page(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with gate(redis, keys, store) as shop:
        page = sent_to(await ask(shop, "redirect", "/drop/"), "enter", "/drop/")
        entered = await shop.get(page, headers=HTML)
        waiting = await shop.get(entered.headers["Location"], headers=HTML)

        assert waiting.status == 200
        assert "waiting room" in await waiting.text()


async def test_the_way_back_leads_nowhere_else(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with gate(redis, keys, store) as shop:
        cookie = {"Cookie": await come_in(shop)}
        for back in ("//evil.example", "https://evil.example/", "/\\evil.example", "/%0d%0aX: y", "javascript:x"):
            answer = await shop.get("/.waitroom/drop/enter", params={"return_to": back}, headers={**HTML, **cookie})

            assert (answer.status, answer.headers["Location"]) == (303, "/"), back


async def test_the_address_of_the_configuration_counts(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with gate(redis, keys, store, edge={"public_origin": "https://shop.example"}) as shop:
        own = {**HTML, "X-Forwarded-Host": "shop.example"}
        known = await ask(shop, "redirect", "/drop/", visitor=own)
        other = await ask(shop, "redirect", "/drop/", visitor={**own, "X-Forwarded-Host": "b.example"})

        assert known.headers["Location"].startswith("https://shop.example/.waitroom/drop/enter")
        assert other.headers["Location"].startswith("http://b.example/.waitroom/")


async def test_the_operator_is_told_once_what_is_wrong_with_the_front(
    redis: ScriptRunner, keys: Keys, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with gate(redis, keys, store) as shop:
        for _ in range(3):
            await shop.get("/.waitroom/auth/redirect")
        noted = [record for record in caplog.records if record.message == "forward auth refused"]

        assert [vars(record)["kind"] for record in noted] == ["front-headers"]


async def raw(shop: Front, start: str, *lines: str) -> bytes:
    """Send a request as it stands; return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.client.port)
    head = [start, "Host: gate", "Connection: close", *lines, "", ""]
    writer.write("\r\n".join(head).encode())
    async with asyncio.timeout(60):
        answer = await reader.read(-1)
    writer.close()
    return answer
