"""What a crowd asks for, over a real wire: encodings, 304, HEAD."""

import gzip
from collections.abc import Awaitable, Callable

import brotli
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy

from waitroom.kernel.prepared import Prepared, pick_encoding

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
