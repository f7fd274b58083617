"""What a crowd asks for, over a real wire: encodings, 304, HEAD."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable

import brotli
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer, make_mocked_request
from multidict import CIMultiDictProxy

from waitroom.kernel.prepared import Prepared, on_the_wire, pick_encoding

BODY = b"<p>please wait</p>" * 100
MADE = {"br": b"", "gzip": b""}
Answer = tuple[int, CIMultiDictProxy[str], bytes]
MakeServer = Callable[[web.Application], Awaitable[TestServer]]


@pytest.mark.parametrize(
    ("accepted", "picked"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP", "gzip"),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=0, *", "gzip"),
        ("br;q=0, gzip;q=0, *", None),
        ("br;q=0", None),
        ("br;q=0.000", None),
        ("br ; q=0 , gzip ; q=1", "gzip"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("br;q=0.5, gzip;q=0.5", "br"),
        ("br;Q=0, gzip", "gzip"),
        ("identity;q=1, br;q=0.5", None),
        ("identity;q=0.5, br;q=1", "br"),
        ("identity;q=0", None),
        ("br;q=nan", None),
        ("br;q=inf, gzip;q=0.1", "gzip"),
        ("br;q=-1", None),
        ("br;q=1.1", None),
        ("br;q=", "br"),
        (",,;,=;q=,", None),
        ("deflate, zstd", None),
        ("\udcff, gzip", "gzip"),
    ],
)
def test_the_best_form_that_is_accepted_is_picked(accepted: str, picked: str | None) -> None:
    assert pick_encoding(accepted, MADE) == picked


def test_nothing_made_is_nothing_picked() -> None:
    assert pick_encoding("br, gzip, *", {}) is None


@pytest.fixture
async def ask(aiohttp_server: MakeServer) -> Callable[..., Awaitable[Answer]]:
    """Serve a page and ask for it; the client decodes nothing."""
    page = Prepared(BODY, "text/html; charset=utf-8", headers={"Cache-Control": "public, max-age=1"})

    async def handler(request: web.Request) -> web.Response:
        return page.answer(request)

    app = web.Application()
    app.router.add_get("/", handler)
    server = await aiohttp_server(app)

    async def asked(method: str = "GET", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding"]) as session,
            session.request(method, server.make_url("/"), headers=named) as answer,
        ):
            return answer.status, answer.headers, await answer.read()

    return asked


Ask = Callable[..., Awaitable[Answer]]


async def test_every_form_holds_the_same_body(ask: Ask) -> None:
    _, plain_headers, plain = await ask()
    _, gzip_headers, zipped = await ask(Accept_Encoding="gzip")
    _, br_headers, squeezed = await ask(Accept_Encoding="br")

    assert plain == gzip.decompress(zipped) == brotli.decompress(squeezed) == BODY
    assert "Content-Encoding" not in plain_headers
    assert (gzip_headers["Content-Encoding"], br_headers["Content-Encoding"]) == ("gzip", "br")
    assert len({h["ETag"] for h in (plain_headers, gzip_headers, br_headers)}) == 3
    for headers in (plain_headers, gzip_headers, br_headers):
        assert headers["Vary"] == "Accept-Encoding"
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert not headers["ETag"].startswith("W/")


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br"])
@pytest.mark.parametrize("spelling", ["{}", "W/{}", '"other", {}', "{} , x", "*"])
async def test_who_has_it_gets_304_without_a_body(ask: Ask, encoding: str, spelling: str) -> None:
    _, first, _ = await ask(Accept_Encoding=encoding)

    status, headers, body = await ask(Accept_Encoding=encoding, If_None_Match=spelling.format(first["ETag"]))

    assert (status, body) == (304, b"")
    assert headers["ETag"] == first["ETag"]
    assert (headers["Cache-Control"], headers["Vary"]) == ("public, max-age=1", "Accept-Encoding")
    assert not any(name in headers for name in ("Content-Type", "Content-Encoding", "Content-Length"))


async def test_who_has_another_form_gets_the_one_asked_for(ask: Ask) -> None:
    _, squeezed, _ = await ask(Accept_Encoding="br")

    status, headers, _ = await ask(Accept_Encoding="gzip", If_None_Match=squeezed["ETag"])

    assert (status, headers["Content-Encoding"]) == (200, "gzip")


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br"])
async def test_head_says_what_get_would(ask: Ask, encoding: str) -> None:
    _, got, body = await ask(Accept_Encoding=encoding)

    status, headers, nothing = await ask("HEAD", Accept_Encoding=encoding)

    assert (status, nothing) == (200, b"")
    assert headers["Content-Length"] == str(len(body))
    assert {**headers, "Date": ""} == {**got, "Date": ""}


def test_a_small_body_is_left_as_it_is() -> None:
    small = Prepared(b"{}", "application/json")

    assert small.size_bytes("br") == small.size_bytes("identity") == 2


def test_the_forms_are_smaller() -> None:
    page = Prepared(BODY, "text/html")

    assert page.size_bytes("br") < page.size_bytes("gzip") < page.size_bytes("identity") == len(BODY)


def test_the_same_body_has_the_same_etag_in_every_worker() -> None:
    first, again, other = Prepared(BODY, "a/b"), Prepared(BODY, "a/b"), Prepared(BODY + b".", "a/b")

    assert first.etag == again.etag != other.etag
    assert first.size_bytes("gzip") == again.size_bytes("gzip")


async def test_an_answer_does_not_spoil_the_next(ask: Ask) -> None:
    """One set of headers is shared: a change to one visitor's answer must not reach another."""
    await ask(Accept_Encoding="br", If_None_Match="*")

    status, headers, body = await ask()

    assert (status, body, headers["Content-Type"]) == (200, BODY, "text/html; charset=utf-8")


async def test_an_error_is_never_304_and_keeps_its_headers(aiohttp_server: MakeServer) -> None:
    sold_out = Prepared(BODY, "text/html", status=503, headers={"retry-after": "5", "vary": "Cookie, Accept-Encoding"})

    async def handler(request: web.Request) -> web.Response:
        return sold_out.answer(request)

    app = web.Application()
    app.router.add_get("/", handler)
    server = await aiohttp_server(app)
    async with (
        ClientSession() as session,
        session.get(server.make_url("/"), headers={"If-None-Match": "*"}) as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert answer.headers.getall("Vary") == ["Cookie, Accept-Encoding"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="hello", headers={"X-A": "1", "Set-Cookie": "a=1"}),
        lambda: web.Response(status=503, body=b"x" * 5000, content_type="text/html", headers={"Retry-After": "5"}),
        lambda: web.Response(status=303, headers={"Location": "/x"}),
        lambda: web.Response(status=204),
        lambda: web.Response(status=304, headers={"ETag": '"x"'}),
        lambda: web.Response(status=401, headers={"Location": "https://shop.example/x"}),
    ],
    ids=["text", "503", "303", "204", "304", "401"],
)
@pytest.mark.parametrize("is_last", [False, True])
async def test_the_bytes_are_those_that_aiohttp_would_send(
    aiohttp_server: MakeServer, answer: Callable[[], web.Response], method: str, *, is_last: bool
) -> None:
    if method == "HEAD" and answer().status in {303, 401}:
        pytest.skip("what is made for a HEAD has a body, or can have none")

    async def handler(request: web.Request) -> web.Response:
        return answer()

    async def no_software(_request: web.Request, given: web.StreamResponse) -> None:
        given.headers.popall("Server", None)

    app = web.Application()
    app.router.add_get("/", handler)
    app.on_response_prepare.append(no_software)
    server = await aiohttp_server(app)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    close = "Connection: close\r\n" if is_last else ""
    writer.write(f"{method} / HTTP/1.1\r\nHost: a\r\n{close}\r\n".encode())
    made = on_the_wire(answer(), 1_700_000_000, is_head=method == "HEAD", is_last=is_last)
    sent = await reader.readuntil(b"\r\n\r\n")
    sent += await reader.readexactly(len(made.partition(b"\r\n\r\n")[2]))
    writer.close()

    assert without_date(made) == without_date(sent)
    assert b"\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n" in made
    assert b"Date" not in on_the_wire(answer(), None)


def without_date(raw: bytes) -> list[bytes]:
    return [line for line in raw.split(b"\r\n") if not line.startswith(b"Date: ")]


def test_who_asks_alike_in_one_second_gets_the_same_bytes() -> None:
    page, asked = Prepared(BODY, "text/html"), make_mocked_request("GET", "/", headers={"Accept-Encoding": "br"})
    first = page.on_the_wire(asked, 1)

    assert page.on_the_wire(asked, 1) is first
    assert page.on_the_wire(asked, 2) != first
    assert (
        page.on_the_wire(asked, 2, is_head=True) == page.on_the_wire(asked, 2).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    )
    for number in range(500):
        page.on_the_wire(make_mocked_request("GET", "/", headers={"Accept-Encoding": f"x{number}"}), 2)
    assert len(page._ready) <= 64
