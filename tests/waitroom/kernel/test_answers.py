"""Bad bodies, expected noes and plain bugs: what the visitor sees, and what only the log sees."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from pydantic import BaseModel, ConfigDict, Field

from waitroom.kernel.answers import (
    answered,
    errors_become_answers,
    json_answer,
    problem,
    read_form,
    read_json,
    see_other,
)
from waitroom.kernel.errors import BadToken, Refused, StoreUnavailable, WaitroomError
from waitroom.kernel.logs import request_id

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]


class Line(BaseModel):
    """One line of the cart."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sku: str
    qty: int = Field(ge=1)


class Cart(BaseModel):
    """A body with a nested part."""

    model_config = ConfigDict(extra="forbid", strict=True)

    lines: list[Line]


async def echo(request: web.Request) -> web.Response:
    cart = await read_json(request, Cart, max_bytes=1000)
    return json_answer(cart.model_dump())


@pytest.fixture
async def serve(aiohttp_client: MakeClient) -> Callable[[Any], Awaitable[Client]]:
    async def started(handler: Any) -> Client:
        app = web.Application(middlewares=[errors_become_answers])
        app.router.add_route("*", "/", handler)
        return await aiohttp_client(app)

    return started


Serve = Callable[[Any], Awaitable[Client]]
JSON = {"Content-Type": "application/json"}


def raising(fault: BaseException) -> Any:
    async def handler(request: web.Request) -> web.Response:
        raise fault

    return handler


async def problem_of(answer: ClientResponse) -> dict[str, Any]:
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    document: dict[str, Any] = json.loads(await answer.text())
    assert document["status"] == answer.status
    return document


async def test_a_good_body_comes_through(serve: Serve) -> None:
    client = await serve(echo)

    answer = await client.post("/", data=b'{"lines":[{"sku":"shoe","qty":2}]}', headers=JSON)

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert await answer.json() == {"lines": [{"sku": "shoe", "qty": 2}]}


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "garbage", ""],
)
async def test_a_body_of_another_kind_is_415(serve: Serve, content_type: str) -> None:
    client = await serve(echo)

    answer = await client.post("/", data=b'{"lines":[]}', headers={"Content-Type": content_type})

    assert (answer.status, (await problem_of(answer))["type"]) == (415, "urn:waitroom:problem:not-json")


async def test_a_compressed_body_is_415_before_it_unfolds(serve: Serve) -> None:
    client = await serve(echo)

    answer = await client.post("/", data=b"\x1f\x8b", headers={**JSON, "Content-Encoding": "br"})

    assert answer.status == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"lines":[]} trailing',
        b"\xff\xfe\x00",
        b'{"lines":[{"sku":"\\ud800","qty":1}]}',
        b'{"lines":[{"sku":"\xc3\x28","qty":1}]}',
        b"[" * 990,
        b"{'lines':[]}",
    ],
    ids=["empty", "cut", "words", "trailing", "utf-16", "lone-surrogate", "bad-utf-8", "deep", "quotes"],
)
async def test_a_body_that_is_no_json_is_400(serve: Serve, body: bytes) -> None:
    client = await serve(echo)

    answer = await client.post("/", data=body, headers=JSON)

    assert (answer.status, (await problem_of(answer))["type"]) == (400, "urn:waitroom:problem:malformed-json")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{}", "lines"),
        (b"null", ""),
        (b"[]", ""),
        (b"7", ""),
        (b'{"lines":[{"sku":"a","qty":0}]}', "lines.0.qty"),
        (b'{"lines":[{"sku":"a","qty":"1"}]}', "lines.0.qty"),
        (b'{"lines":[{"sku":"a","qty":1.5}]}', "lines.0.qty"),
        (b'{"lines":[{"sku":"a","qty":NaN}]}', "lines.0.qty"),
        (b'{"lines":[{"sku":null,"qty":1}]}', "lines.0.sku"),
        (b'{"lines":[],"admin":true}', "admin"),
        (b'{"lines":{}}', "lines"),
    ],
)
async def test_a_body_that_does_not_fit_is_422_with_the_path(serve: Serve, body: bytes, path: str) -> None:
    client = await serve(echo)

    answer = await client.post("/", data=body, headers=JSON)

    document = await problem_of(answer)
    assert answer.status == 422
    assert document["type"] == "urn:waitroom:problem:invalid-body"
    assert [error["path"] for error in document["errors"]] == [path]


async def test_a_body_with_sixty_faults_gets_a_short_answer(serve: Serve) -> None:
    client = await serve(echo)
    body = json.dumps({"lines": [], **{f"x{i}": 1 for i in range(60)}}, separators=(",", ":")).encode()

    answer = await client.post("/", data=body, headers=JSON)

    assert len((await problem_of(answer))["errors"]) == 20


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_413(serve: Serve, chunked: bool) -> None:
    client = await serve(echo)

    answer = await client.post("/", data=b" " * 1001, headers=JSON, chunked=chunked or None)

    assert (answer.status, (await problem_of(answer))["type"]) == (413, "urn:waitroom:problem:too-large")


async def test_a_body_of_broken_chunks_is_400(serve: Serve) -> None:
    client = await serve(echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode() + b"5\r\n{}   \r\n")
    await asyncio.sleep(0)
    writer.write(b"zz\r\n")

    status_line = await reader.readline()
    writer.close()

    assert b" 400 " in status_line


@pytest.mark.parametrize(
    "fault",
    [
        StoreUnavailable("redis://:secret@host is down"),
        Refused(429, "too-many", "Slow down.", retry_after_s=7),
        Refused(425, "not-called", "Not yet.", retry_after_s=1),
        web.HTTPServiceUnavailable(),
        web.HTTPTooManyRequests(headers={"Retry-After": "9"}),
        web.HTTPTooManyRequests(headers={"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}),
    ],
)
async def test_who_is_told_later_is_told_when(serve: Serve, fault: Exception) -> None:
    client = await serve(raising(fault))

    answer = await client.get("/")

    assert int(answer.headers["Retry-After"]) >= 1
    assert "secret" not in await answer.text()


async def test_retry_after_of_a_framework_error_is_kept(serve: Serve) -> None:
    client = await serve(raising(web.HTTPTooManyRequests(headers={"Retry-After": "9"})))

    assert (await client.get("/")).headers["Retry-After"] == "9"


def test_retry_after_is_never_zero() -> None:
    fault = Refused(429, "too-many", "Slow down.", retry_after_s=0)

    assert problem(fault).headers["Retry-After"] == "1"


async def test_a_bug_shows_nothing_internal(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = await serve(raising(RuntimeError("db password is hunter2")))

    answer = await client.get("/")

    text = await answer.text()
    document = await problem_of(answer)
    assert (answer.status, document["type"]) == (500, "urn:waitroom:problem:internal")
    assert "hunter2" not in text
    assert "Traceback" not in text
    assert "RuntimeError" not in text
    assert "hunter2" in caplog.text
    caplog.clear()


async def test_the_log_says_more_than_the_visitor_reads(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "waitroom")
    client = await serve(raising(BadToken("signature does not match")))

    answer = await client.get("/")

    assert (answer.status, "signature" in await answer.text()) == (403, False)
    [record] = [record for record in caplog.records if record.message == "request refused"]
    assert (record.levelno, vars(record)["reason"]) == (logging.DEBUG, "signature does not match")


async def test_a_framework_error_is_a_problem_too(serve: Serve) -> None:
    client = await serve(raising(web.HTTPMethodNotAllowed("POST", ["GET", "HEAD"])))

    answer = await client.get("/")
    lost = await client.get("/nowhere")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
    assert (await problem_of(answer))["type"] == "urn:waitroom:problem:method-not-allowed"
    assert (lost.status, (await problem_of(lost))["title"]) == (404, "Not Found")


async def test_a_redirect_stays_a_redirect(serve: Serve) -> None:
    client = await serve(raising(web.HTTPFound("/drop/")))

    answer = await client.get("/", allow_redirects=False)

    assert (answer.status, answer.headers["Location"]) == (302, "/drop/")


async def test_half_an_answer_is_cut_off(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def breaks_midway(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"half")
        raise StoreUnavailable("gone")

    client = await serve(breaks_midway)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    seen = b""
    try:
        async with asyncio.timeout(60):
            while chunk := await reader.read(1000):
                seen += chunk
    except ConnectionResetError:
        pass
    writer.close()

    assert seen.count(b"HTTP/1.1") <= 1
    assert b"problem" not in seen
    assert "Unhandled exception" not in caplog.text
    caplog.clear()


async def test_a_visitor_who_leaves_is_no_error(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    left, noticed = asyncio.Event(), asyncio.Event()

    async def writes_on(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        left.set()
        try:
            while True:
                await answer.write(b"x" * 65536)
        finally:
            noticed.set()

    client = await serve(writes_on)
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(60):
        await left.wait()
        writer.transport.abort()
        await noticed.wait()
        await asyncio.sleep(0)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_every_request_has_an_id_of_its_own_and_none_is_left_over(serve: Serve) -> None:
    async def tell(request: web.Request) -> web.Response:
        return json_answer(request_id.get())

    client = await serve(tell)

    first, second = await (await client.get("/")).json(), await (await client.get("/")).json()

    assert len({first, second, "-"}) == 3
    assert request_id.get() == "-"


def test_an_extension_cannot_pose_as_a_standard_member() -> None:
    fault = Refused(409, "sold-out", "Sold out.", extra={"status": 200, "detail": "x", "available": 0})

    document = json.loads(problem(fault).body)  # type: ignore[arg-type]  # a Response's body is bytes here

    assert (document["status"], document["detail"], document["available"]) == (409, "Sold out.", 0)


def test_a_status_without_a_name_still_gets_an_answer() -> None:
    answer = problem(WaitroomError("odd", status=499))

    assert answer.status == 499


def test_json_is_json_or_nothing() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_answer({"wait_s": float("inf")})


def test_headers_of_a_json_answer_may_be_set() -> None:
    answer = json_answer({}, status=201, headers={"Cache-Control": "public, max-age=1"})

    assert (answer.status, answer.headers["Cache-Control"]) == (201, "public, max-age=1")


async def fields(request: web.Request) -> web.Response:
    return json_answer(await read_form(request, max_bytes=100))


FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=no-such-charset"}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", {}),
        (b"a=1&b=&c", {"a": "1", "b": "", "c": ""}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a=\xff%ff", {"a": "\ufffd\ufffd"}),
        (b"a=%u0041%zz%", {"a": "%u0041%zz%"}),
    ],
)
async def test_a_form_is_read_whatever_its_bytes_and_its_charset(
    serve: Serve, body: bytes, found: dict[str, str]
) -> None:
    client = await serve(fields)

    answer = await client.post("/", data=body, headers=FORM)

    assert (answer.status, await answer.json()) == (200, found)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"a" * 101, FORM["Content-Type"], 413),
        (b"a=1", "text/plain", 415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
    ],
)
async def test_what_is_no_small_form_is_refused(serve: Serve, body: bytes, content_type: str, status: int) -> None:
    client = await serve(fields)

    answer = await client.post("/", data=body, headers={"Content-Type": content_type})

    assert (answer.status, answer.content_type) == (status, "application/problem+json")


async def test_who_dawdles_with_a_body_is_not_waited_for(serve: Serve) -> None:
    async def impatient(request: web.Request) -> web.Response:
        return json_answer(await read_form(request, limit_s=0.05))

    client = await serve(impatient)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\na="
    )

    answer = await reader.read(-1)  # to the end of the connection: what may still come is no request
    writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_no_answer_of_ours_is_guessed_to_be_a_page() -> None:
    for answer in (json_answer({}), problem(Refused(400, "a", "b"))):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_somebody_is_sent_on_byte_for_byte() -> None:
    answer = see_other("/drop/?x=a%2Fb&y=%7E", ["a=1", "b=2"])

    assert (answer.status, answer.headers["Location"]) == (303, "/drop/?x=a%2Fb&y=%7E")
    assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_what_has_no_request_ends_with_its_fault_and_an_id_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    async def work(fault: Exception | None = None) -> str:
        if fault is not None:
            raise fault
        return request_id.get()

    refusal = Refused(409, "busy", "Later.")
    assert await answered(work()) != await answered(work())
    assert await answered(work(refusal)) is refusal
    assert caplog.records == []
    assert (bug := await answered(work(RuntimeError("a bug")))) is not refusal
    assert isinstance(bug, WaitroomError)
    assert (bug.status, bug.kind) == (500, WaitroomError("x").kind)
    assert "a bug" in caplog.text
    assert request_id.get() == "-"
