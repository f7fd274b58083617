"""Attacks on what shoppers reach before they are in: forms, redirects, pages, caches, addresses."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from yarl import URL

from tests.edges import HTML, Front, Store, front
from tests.wire import Reply, faults_of, request, send
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind

QUEUE = "/.waitroom/drop/queue"
FORM = "Content-Type: application/x-www-form-urlencoded"
EVIL = '"><script>alert(1)</script>'


@pytest.fixture
async def gate(redis: ScriptRunner, keys: Keys, store: Store) -> AsyncIterator[Front]:
    """Give an edge whose room opens in a minute."""
    async with front(redis, keys, store, opens_in_s=60) as found:
        yield found


async def sent(gate: Front, data: bytes) -> Reply:
    assert gate.client.port is not None
    reply = await send(gate.client.port, data)
    assert faults_of(reply) == []
    return reply


async def waiting(gate: Front) -> int:
    return (await gate.edge.rooms.tick("drop")).waiting


# Forms and bodies


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (FORM, b"return_to=\xff\xfe", 303),
        (f"{FORM}; charset=nope", b"return_to=/drop/x", 303),
        (f"{FORM}; charset=utf-16", b"website=&return_to=/drop/x", 303),
        (FORM, b"return_to=%ff%00%zz&&&===", 303),
        (FORM, b"a" * 10_000, 413),
        ("Content-Type: multipart/form-data", b"x", 415),
        ("Content-Type: multipart/form-data; boundary=x", b"--x\r\nfoo\r\n\r\n", 415),
        ("Content-Type: text/plain", b"return_to=/", 415),
        ("X: no type", b"return_to=/", 415),
    ],
)
async def test_a_form_of_odd_bytes_is_an_answer_and_no_fault(
    gate: Front, content_type: str, body: bytes, status: int
) -> None:
    reply = await sent(gate, request(f"POST {QUEUE}/slow", content_type, body=body))

    assert reply.status == status
    assert await waiting(gate) == (1 if status == 303 else 0)


async def test_a_form_without_a_length_is_bounded_too(gate: Front) -> None:
    piece = b"2000\r\n" + b"a" * 0x2000 + b"\r\n"
    reply = await sent(
        gate, request(f"POST {QUEUE}/slow", FORM, "Transfer-Encoding: chunked") + piece * 4 + b"0\r\n\r\n"
    )

    assert (reply.status, await waiting(gate)) == (413, 0)


# Another site acts in the name of a visitor (CSRF)


@pytest.mark.parametrize("path", ["/challenge", "/queue/register", "/queue/slow", "/queue/claim", "/queue/leave"])
@pytest.mark.parametrize(
    "says",
    [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: http://[",
        "Origin: http://shop.example.evil.example",
        "Origin: http://shop.example:81",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Origin: http://shop.example\r\nOrigin: https://evil.example",
    ],
)
async def test_another_site_makes_a_browser_do_nothing(gate: Front, path: str, says: str) -> None:
    ticket = (await gate.join())["ticket"]
    cookie = f"Cookie: wr_drop_ticket={ticket}"

    reply = await sent(gate, request(f"POST /.waitroom/drop{path}", cookie, says, FORM, body=b""))

    assert (reply.status, reply.kind) == (403, "foreign-origin")
    assert "Set-Cookie" not in reply.headers
    assert await waiting(gate) == 1


# Sent elsewhere (open redirect), and text in a header


ELSEWHERE = [
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "/\t/evil.example/",
    "\\\\evil.example",
    "https://evil.example/",
    "javascript:alert(1)",
    "data:text/html,x",
    "/drop/\r\nSet-Cookie: a=b",
    "/drop/\nX: y",
    "/drop/\u2028",
    "/drop/\u0000",
    "//shop.example@evil.example/",
    ".evil.example",
    "@evil.example",
    "/.waitroom/drop/wait?return_to=/.waitroom/drop/wait",
    "/" + "a" * 5000,
]


@pytest.mark.parametrize("wanted", ELSEWHERE)
async def test_nobody_is_sent_to_another_site(gate: Front, wanted: str) -> None:
    asked = URL.build(path=f"{QUEUE}/slow", query={"return_to": wanted}).raw_query_string.encode()
    joined = await sent(gate, request(f"POST {QUEUE}/slow", FORM, body=asked))
    ticket = joined.headers.get("Set-Cookie", "").partition(";")[0]
    again = await sent(gate, request(f"POST {QUEUE}/slow", FORM, f"Cookie: {ticket}", body=asked))

    for reply in (joined, again):
        assert reply.headers.get("Location", "/.waitroom/drop/wait") == "/.waitroom/drop/wait"
        assert "a=b" not in str(reply.headers)


@pytest.mark.parametrize("wanted", ELSEWHERE)
async def test_a_claim_names_no_other_site(redis: ScriptRunner, keys: Keys, store: Store, wanted: str) -> None:
    async with front(redis, keys, store, opens_in_s=60) as before:
        ticket = (await before.join())["ticket"]
    async with front(redis, keys, store, opens_in_s=-1) as gate:
        await gate.tick()
        body = json.dumps({"return_to": wanted}).encode()
        claim = request(
            f"POST {QUEUE}/claim", f"Authorization: Waitroom {ticket}", "Content-Type: application/json", body=body
        )
        reply = await sent(gate, claim)

    assert reply.status == (200 if len(wanted) < 4097 else 422)
    assert reply.json().get("return_to", "/") == "/"


@pytest.mark.parametrize(
    ("referer", "location"),
    [
        (b"http://shop.example/drop/shoe?size=9", "/drop/shoe?size=9"),
        (b"http://shop.example/.waitroom/drop/wait?return_to=/drop/x", "/.waitroom/drop/wait?return_to=/drop/x"),
        (b"http://shop.example/.waitroom/drop/wait", "/.waitroom/drop/wait"),
        (b"http://shop.example/.waitroom/drop/wait?\xc3\xa9\xff", "/.waitroom/drop/wait"),
        (b"http://shop.example/.waitroom/drop/wait?a b", "/.waitroom/drop/wait"),
        (b"http://[", "/.waitroom/drop/wait"),
        (b"http://shop.example//evil.example/", "/.waitroom/drop/wait"),
        (b"http://shop.example/\\evil.example/", "/.waitroom/drop/wait"),
        (b"http://shop.example@evil.example/x", "/.waitroom/drop/wait"),
        (b"http://evil.example/http://shop.example/x", "/.waitroom/drop/wait"),
        (b"//shop.example//evil.example", "/.waitroom/drop/wait"),
        (b"\xff\xfe", "/.waitroom/drop/wait"),
    ],
)
async def test_a_forged_referer_leads_nowhere_else(gate: Front, referer: bytes, location: str) -> None:
    reply = await sent(gate, request(f"POST {QUEUE}/slow", b"Referer: " + referer, body=b""))

    assert (reply.status, reply.headers["Location"]) == (303, location)


async def test_the_way_back_of_a_visitor_without_javascript_is_a_path_here(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60, total_active_users=1) as before:
        reply = await sent(before, request(f"POST {QUEUE}/slow", body=b""))
        cookie = f"Cookie: {reply.headers['Set-Cookie'].partition(';')[0]}"
    async with front(redis, keys, store, opens_in_s=-1, total_active_users=1) as gate:
        await gate.tick()  # who was called has the one seat: nobody else comes straight in
        look = ("Accept: text/html", cookie)
        for target, wanted in (
            ("/.waitroom/drop/wait?return_to=//evil.example", "/"),
            ("/.waitroom/drop/wait?return_to=%0d%0aX:y", "/"),
            ("//evil.example/drop/..//drop/", "/"),
            ("/drop/%0d%0aX:y", "/drop/%0d%0aX:y"),
        ):
            reply = await sent(gate, request(f"GET {target}", *look))

            assert reply.status == 303
            assert reply.headers["Location"] == wanted
            assert "X" not in reply.headers


# Scripts in pages, frames, caches


async def pages(gate: Front) -> dict[str, Reply]:
    """Return every page that an edge can show to somebody who is not in."""
    cookie = (await sent(gate, request(f"POST {QUEUE}/slow", body=b""))).headers["Set-Cookie"].partition(";")[0]
    look = ("Accept: text/html", "Sec-Fetch-Mode: navigate")
    odd = "/drop/%22%3E%3Cscript%3Ealert(1)%3C/script%3E?x=%22%3E%3Cscript%3Ealert(1)</script>"
    return {
        "waiting": await sent(gate, request(f"GET {odd}", *look)),
        "waiting by its address": await sent(gate, request(f"GET /.waitroom/drop/wait?return_to={odd}", *look)),
        "without script": await sent(gate, request(f"GET {odd}", *look, f"Cookie: {cookie}")),
        "nothing there": await sent(gate, request("GET /.waitroom/<script>alert(1)</script>", *look)),
        "no such room": await sent(gate, request("GET /.waitroom/<script>alert(1)</script>/wait", *look)),
        "a form from the line": await sent(gate, request(f"POST {odd}", *look, FORM, body=b"a=<script>alert(1)")),
        "a form from elsewhere": await sent(
            gate, request(f"POST {QUEUE}/slow", *look, f"Origin: http://{EVIL}", body=b"")
        ),
        "no such method": await sent(gate, request("TRACE /drop/", *look)),
    }


async def test_no_page_runs_what_a_visitor_or_an_operator_wrote(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60, title=f"The Drop {EVIL}") as gate:
        await gate.edge.rooms.control("drop", Change(ChangeKind.MESSAGE, f"Hello {EVIL}"), who="ops")
        await gate.tick()
        found = await pages(gate)

        assert all(b"<script>alert" not in page.body for page in found.values())
        assert b"Hello &#34;&gt;&lt;script" in found["without script"].body
        assert (await gate.get("/.waitroom/drop/pulse")).content_type == "application/json"


async def test_no_page_can_be_framed_sniffed_or_kept_by_a_cache(gate: Front) -> None:
    for name, page in (await pages(gate)).items():
        rules = page.headers["Content-Security-Policy"]
        assert page.content_type == "text/html", name
        assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(rules.split("; ")), name
        assert "unsafe" not in rules, name
        assert page.headers["X-Content-Type-Options"] == "nosniff", name
        assert page.headers["Referrer-Policy"] == "same-origin", name
        assert page.headers["Cache-Control"] == "no-store", name


async def test_each_page_of_one_visitor_has_a_nonce_of_its_own(gate: Front) -> None:
    first, again = await pages(gate), await pages(gate)

    for name in ("without script", "nothing there"):
        assert first[name].headers["Content-Security-Policy"] != again[name].headers["Content-Security-Policy"]


async def test_what_is_personal_is_kept_by_no_cache(gate: Front) -> None:
    ticket = (await gate.join())["ticket"]
    as_visitor = f"Authorization: Waitroom {ticket}"
    replies = [
        await sent(gate, request("POST /.waitroom/drop/challenge", body=b"")),
        await sent(gate, request(f"GET {QUEUE}/status", as_visitor)),
        await sent(gate, request(f"GET {QUEUE}/status?x=.css", as_visitor)),
        await sent(gate, request(f"GET {QUEUE}/status;x.css", as_visitor)),
        await sent(gate, request(f"GET {QUEUE}/status/x.css", as_visitor)),
        await sent(gate, request(f"POST {QUEUE}/claim", as_visitor, body=b"")),
        await sent(gate, request("GET /drop/", as_visitor)),
        await sent(gate, request(f"POST {QUEUE}/slow", body=b"")),
        await sent(gate, request(f"POST {QUEUE}/leave", as_visitor, body=b"")),
    ]

    for reply in replies:
        assert reply.headers["Cache-Control"] == "no-store"
        assert not {"Access-Control-Allow-Origin", "ETag"} & set(reply.headers)


async def test_the_pulse_is_the_same_for_everybody(gate: Front) -> None:
    ticket = (await gate.join())["ticket"]
    plain = await sent(gate, request("GET /.waitroom/drop/pulse"))
    mine = await sent(gate, request("GET /.waitroom/drop/pulse?me=1", f"Cookie: wr_drop_ticket={ticket}"))

    assert plain.headers["Cache-Control"] == "public, max-age=1"
    assert plain.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in mine.headers
    assert "Cookie" not in mine.headers["Vary"]
    assert mine.body == plain.body


@pytest.mark.parametrize(
    "name", ["Cache-Control", "CDN-Cache-Control", "Surrogate-Control", "Cloudflare-CDN-Cache-Control"]
)
async def test_no_shared_cache_may_keep_a_pass_with_the_page_it_came_with(
    redis: ScriptRunner, keys: Keys, store: Store, name: str
) -> None:
    store.answer_headers = {name: "public, max-age=3600"}
    async with front(redis, keys, store, queueing_method="fifo") as gate:
        answer = await gate.get("/drop/", headers=HTML)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        plain = await gate.get("/drop/", headers={**HTML, "Cookie": cookie})

    told = ", ".join(answer.headers.getall("Cache-Control"))
    assert "private" in told
    assert name == "Cache-Control" or name not in answer.headers
    assert plain.headers[name] == "public, max-age=3600", "without a pass of ours it is the store's business"


# Addresses


async def slow_places(gate: Front, addresses: list[str]) -> list[int]:
    replies = [await gate.post(f"{QUEUE}/slow", data={}, headers={"X-Forwarded-For": address}) for address in addresses]
    return [reply.status for reply in replies]


async def test_a_stranger_invents_no_addresses(gate: Front) -> None:
    assert (await slow_places(gate, [f"203.0.113.{n}" for n in range(8)])).count(303) == 4


TRUSTING: dict[str, Any] = {"edge": {"trusted_proxies": ["127.0.0.0/8"]}}


async def test_behind_a_trusted_proxy_only_its_own_word_counts(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60, **TRUSTING) as gate:
        spoofed = [f"198.51.100.{n}, 203.0.113.7" for n in range(8)]

        assert (await slow_places(gate, spoofed)).count(303) == 4
        assert (await slow_places(gate, ["203.0.113.8"])) == [303]


async def test_all_addresses_of_one_ipv6_site_are_one_visitor(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60, **TRUSTING) as gate:
        assert (await slow_places(gate, [f"2001:db8:0:1::{n:x}" for n in range(1, 9)])).count(303) == 4
        assert (await slow_places(gate, [f"::ffff:203.0.113.{n % 2}" for n in range(8)])).count(303) == 8


async def test_places_without_work_are_bounded_for_a_whole_network(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60, **TRUSTING) as gate:
        of_48 = await slow_places(gate, [f"2001:db8:7:{n:x}::1" for n in range(40)])
        of_24 = await slow_places(gate, [f"203.0.113.{n}" for n in range(40)])

        assert of_48.count(303) <= 32
        assert of_24.count(303) <= 32
        assert (await slow_places(gate, ["2001:db8:8::1", "203.0.114.1"])) == [303, 303]


# Round the gate


@pytest.mark.parametrize(
    "path",
    [
        "/drop/open/../shoe",
        "/drop/open/%2e%2e/shoe",
        "/drop/open/..%2fshoe",
        "/drop/open/..;/shoe",
        "/drop/open/;/../shoe",
        "/drop/open/..\\shoe",
        "/drop/open/..%5cshoe",
        "/drop/open/%252e%252e/shoe",
        "/drop/open%2f../shoe",
        "/drop/open//../shoe",
        "/drop/open/./../shoe",
        "/drop/open/%00/../shoe",
        "/drop/%6fpen/x",
        "/DROP/open/x",
        "/drop/Open/x",
        "/drop/openx",
        "/drop/open",
        "/x/..;/drop/shoe",
        "/%2e%2e/drop/shoe",
        "/drop%2fshoe",
        "/drop%00/shoe",
        "/.waitroom/../drop/shoe",
        "//drop/open/x",
        "/dro%70/shoe?/drop/open/",
        "/drop/shoe?x=/drop/open/",
        "/drop/shoe#/drop/open/",
    ],
)
async def test_an_exempt_path_opens_nothing_beside_itself(
    redis: ScriptRunner, keys: Keys, store: Store, path: str
) -> None:
    async with front(redis, keys, store, opens_in_s=60, exempt_paths=["/drop/open/"]) as gate:
        opened = await sent(gate, request("GET /drop/open/feed"))
        reply = await sent(gate, request(f"GET {path}"))

        assert opened.body == b"the store"
        assert reply.status in {400, 404, 503}
        assert len(store.seen) == 1


@pytest.mark.parametrize("host", ["other.example", "SHOP.example", "shop.example.", "shop.example:81", "127.0.0.1"])
async def test_a_made_up_host_leads_round_no_gate(redis: ScriptRunner, keys: Keys, store: Store, host: str) -> None:
    async with front(redis, keys, store, opens_in_s=60, hosts=["shop.example"]) as gate:
        reply = await sent(gate, request("GET /drop/", host=host))
        absolute = await sent(gate, request("GET http://other.example/drop/", host=host))

        assert reply.status == 503
        assert absolute.status in {400, 503}
        assert store.seen == []


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/drop/",
        "/.waitroom/drop/wait",
        "/.waitroom/drop/pulse",
        "/.waitroom/drop/enter",
        "/.waitroom/nowhere",
        "/.waitroom/auth/../drop/wait",
        "/.waitroom/healthz/../../drop/",
        "/.waitroom/healthz/",
        "/.waitroom%2fhealthz",
        "http://evil.example/drop/",
    ],
)
@pytest.mark.parametrize("more", ["A: b", "X-Forwarded-Host: shop.example", "Accept: text/html"])
async def test_a_host_that_is_not_served_gets_nothing(
    redis: ScriptRunner, keys: Keys, store: Store, target: str, more: str
) -> None:
    edge = {"allowed_hosts": ["shop.example"]}
    async with front(redis, keys, store, edge=edge, queueing_method="fifo") as gate:
        reply = await sent(gate, request(f"GET {target}", more, host="evil.example"))

    assert (reply.status, store.seen) == (421, [])
    assert "Set-Cookie" not in reply.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "HEAD"])
@pytest.mark.parametrize("says", ["Upgrade: websocket\r\nConnection: Upgrade", "X-HTTP-Method-Override: GET", "A: b"])
async def test_no_method_and_no_upgrade_leads_round_the_gate(gate: Front, method: str, says: str) -> None:
    reply = await sent(gate, request(f"{method} /drop/", says))

    assert (reply.status, gate.store.seen) == (503, [])


async def test_the_software_does_not_tell_its_versions(gate: Front) -> None:
    for target in ("/.waitroom/healthz", "/drop/", "/.waitroom/nowhere/pulse"):
        assert "Server" not in (await sent(gate, request(f"GET {target}"))).headers


async def test_what_is_sent_slowly_holds_nothing_of_redis_or_the_store(gate: Front) -> None:
    calls = (await gate.edge.rooms._runner.client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    head = request(f"POST {QUEUE}/register", "Content-Type: application/json", "Content-Length: 100")
    with pytest.raises(TimeoutError):
        await send(gate.client.port or 0, head + b"{", limit_s=0.2)

    assert (await gate.edge.rooms._runner.client.info("commandstats"))["cmdstat_evalsha"]["calls"] == calls


async def test_a_broken_answer_of_the_store_puts_no_query_into_the_log(
    redis: ScriptRunner, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(broken, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with front(redis, keys, Store(url=url), queueing_method="fifo") as gate:
            reply = await sent(gate, request("GET /drop/reset?token=a-secret"))

    assert (reply.status, reply.kind) == (502, "upstream-unavailable")
    ours = [str(vars(record)) for record in caplog.records if record.name.startswith("waitroom")]
    assert ours
    assert "a-secret" not in " ".join(ours)
