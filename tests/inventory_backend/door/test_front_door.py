"""The till's front door: who is answered there, in which order, and what is left to aiohttp byte for byte."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inventory_backend.door.front_door import FrontDoor
from tests.till import config
from tests.till_doors import Door, TwoDoors, get, post, statuses, sure, two_doors
from tests.wire import settle
from waitroom.kernel.errors import StoreUnavailable

JSON = b"Content-Type: application/json"
HOST = b"Host: shop.example"


@pytest.fixture
async def doors(tmp_path: Path, redis_url: str) -> AsyncIterator[TwoDoors]:
    async with two_doors(config(tmp_path, redis_url, total=12)) as found:
        yield found


def asked_of_aiohttp(door: Door) -> int:
    """Return how many requests have reached aiohttp by `door`."""
    assert door.runner.server is not None
    return sum(one._request_count for one in door.runner.server.connections)


async def told(door: Door, *pieces: bytes) -> bytes:
    """Return what comes back by `door`, the same whoever asks and whenever, and whether the connection ended."""
    raw, is_closed = await door.says(*pieces)

    return sure(raw) + b"the end" * is_closed


async def test_a_reserve_is_answered_with_the_bytes_of_aiohttp(doors: TwoDoors) -> None:
    hot, cold = [await told(door, doors.reserve(door)) for door in doors.both]
    again = [await told(door, doors.reserve(door)) for door in doors.both]

    assert hot == cold
    assert statuses(hot) == [201]
    assert b'"status":"held"' in hot
    assert again[0] == again[1]
    assert b"Idempotent-Replayed: true" in again[0]


async def test_it_never_reaches_aiohttp(doors: TwoDoors) -> None:
    caller = await doors.hot.open()
    for number in range(3):
        caller.writer.write(doors.reserve(doors.hot, f"shopper-{number}"))
        assert statuses(await caller.answer()) == [201]

    assert asked_of_aiohttp(doors.hot) == 0
    caller.writer.close()


async def test_every_no_has_the_bytes_of_aiohttp(doors: TwoDoors) -> None:
    def asked(door: Door) -> list[bytes]:
        shown = b"Waitroom-Pass: " + doors.shown(door)
        body = b'{"sale":"drop","lines":[{"sku":"sneaker","qty":1}]}'
        return [
            post(body, HOST, JSON, b"Idempotency-Key: k"),
            post(body, HOST, JSON, b"Idempotency-Key: k", shown[:-1] + b"_"),
            post(body, HOST, JSON, b"Idempotency-Key: k", b"Waitroom-Pass: " + doors.shown(door, room="other")),
            post(body, HOST, JSON, b"Idempotency-Key: k", b"Waitroom-Pass: " + doors.shown(door, lasts_ms=0)),
            post(body, HOST, JSON, b"Idempotency-Key: k", shown, shown),
            post(body, HOST, JSON, shown),
            post(body, HOST, JSON, shown, b"Idempotency-Key: " + b"k" * 256),
            post(body, HOST, shown, b"Idempotency-Key: k"),
            post(body, HOST, JSON, shown, b"Idempotency-Key: k", b"Content-Encoding: gzip"),
            post(b"", HOST, JSON, shown, b"Idempotency-Key: k"),
            post(b"{", HOST, JSON, shown, b"Idempotency-Key: k"),
            post(b"\xff\xfe", HOST, JSON, shown, b"Idempotency-Key: k"),
            post(b'{"sale":1,"lines":[],"more":2}', HOST, JSON, shown, b"Idempotency-Key: k"),
            post(body.replace(b":1", b":-1"), HOST, JSON, shown, b"Idempotency-Key: k"),
            post(body.replace(b":1", b":3"), HOST, JSON, shown, b"Idempotency-Key: k"),
            post(body.replace(b"drop", b"none"), HOST, JSON, shown, b"Idempotency-Key: k"),
            post(body.replace(b"sneaker", b"socks"), HOST, JSON, shown, b"Idempotency-Key: k"),
            post(body + b" " * 5000, HOST, JSON, shown),
            post(body + b" " * 20_000, HOST, JSON, shown, b"Idempotency-Key: k"),
        ]

    for hot, cold in zip(asked(doors.hot), asked(doors.cold), strict=True):
        first, second = await told(doors.hot, hot), await told(doors.cold, cold)
        assert first == second, hot
        assert 400 <= statuses(first)[0] < 500, hot


async def test_who_comes_too_late_has_the_same_bytes_from_memory(doors: TwoDoors) -> None:
    two = {"sale": "drop", "lines": [{"sku": sku, "qty": 1} for sku in ("laces", "sneaker")]}
    for number in range(12):
        await doors.hot.says(doors.reserve(doors.hot, f"shopper-{number}", body=two))
    await doors.till.jobs.catalogue.refresh()

    hot, cold = [await told(door, doors.reserve(door, "late")) for door in doors.both]
    assert hot == cold
    assert statuses(hot) == [409]
    assert b"urn:waitroom:problem:sold-out" in hot


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_sale_is_told_with_the_bytes_of_aiohttp(doors: TwoDoors, method: bytes) -> None:
    caller = await doors.hot.open()
    caller.writer.write(get(b"/sales/drop"))
    etag = next(line for line in (await caller.answer()).split(b"\r\n") if line.startswith(b"ETag: "))
    caller.writer.close()

    for lines in ([], [b"Accept-Encoding: br"], [b"If-None-Match: " + etag[6:]], [b"If-None-Match: *"]):
        hot, cold = [await told(door, get(b"/sales/drop", *lines, method=method)) for door in doors.both]
        assert hot == cold, lines
        assert statuses(hot) == [304 if b"None-Match" in b"".join(lines) else 200]


async def test_a_sale_that_there_is_not_is_the_views_to_refuse(doors: TwoDoors) -> None:
    hot, cold = [await told(door, get(b"/sales/none")) for door in doors.both]

    assert hot == cold
    assert statuses(hot) == [404]


async def test_answers_leave_in_the_order_of_the_requests(doors: TwoDoors) -> None:
    def talk(door: Door) -> bytes:
        return b"".join(
            [
                get(b"/sales/drop", b"Accept-Encoding: identity"),
                doors.reserve(door, "bob"),
                get(b"/sales/drop", method=b"HEAD"),
                doors.reserve(door, "bob", key="more"),
                post(b"{}", HOST, JSON, target=b"/checkout/commit"),
                get(b"/healthz"),
                doors.reserve(door, "bob", key="most"),
                get(b"/sales/drop"),
            ]
        )

    hot, cold = [await told(door, talk(door)) for door in doors.both]

    assert hot == cold
    assert statuses(hot) == [200, 201, 200, 201, 403, 200, 409, 200]


async def test_after_a_request_of_aiohttp_the_front_door_answers_again(doors: TwoDoors) -> None:
    caller = await doors.hot.open()
    commit = post(b'{"reservation_id":"x"}', HOST, JSON, target=b"/checkout/commit")
    for pieces in ([commit], [commit[:40], commit[40:]], [commit[:-5], commit[-5:]], [get(b"/healthz", b"Expect: 1")]):
        before = asked_of_aiohttp(doors.hot)
        for piece in pieces:
            caller.writer.write(piece)
            await settle()
        await caller.answer()
        caller.writer.write(get(b"/sales/drop", method=b"HEAD"))
        await caller.reader.readuntil(b"\r\n\r\n")
        reached = asked_of_aiohttp(doors.hot) - before
        assert reached == (2 if pieces[0] == commit[:40] else 1), pieces  # who cuts a head stays where it was read

    caller.writer.close()


async def test_who_speaks_no_http_is_not_told_their_own_words(doors: TwoDoors) -> None:
    shown = doors.shown(doors.hot)
    hot, cold = [await told(door, b"nonsense %b\r\n\r\n" % shown) for door in doors.both]

    assert hot == cold
    assert b"urn:waitroom:problem:malformed-request" in hot
    assert shown not in hot
    assert b"aiohttp" not in hot


async def test_a_body_that_comes_late_is_waited_for_by_aiohttp(doors: TwoDoors) -> None:
    both = [await told(door, (asked := doors.reserve(door))[:-20], asked[-20:]) for door in doors.both]

    assert both[0] == both[1]
    assert statuses(both[0]) == [201]


async def test_who_hangs_up_stops_nothing_that_was_begun(doors: TwoDoors) -> None:
    caller = await doors.hot.open()
    caller.writer.write(doors.reserve(doors.hot))
    await settle()
    caller.writer.transport.abort()

    async with asyncio.timeout(20):
        while b"Idempotent-Replayed" not in (await doors.hot.says(doors.reserve(doors.hot)))[0]:
            await asyncio.sleep(0.01)


async def test_a_till_that_closes_answers_what_it_began(doors: TwoDoors) -> None:
    caller = await doors.hot.open()
    caller.writer.write(doors.reserve(doors.hot))
    assert doors.hot.runner.server is not None
    while not any(isinstance(one, FrontDoor) and one._due for one in doors.hot.runner.server.connections):
        await asyncio.sleep(0)

    await doors.hot.runner.cleanup()
    assert statuses(await caller.reader.read()) == [201]
    caller.writer.close()


async def test_a_bug_is_answered_as_aiohttp_answers_it(doors: TwoDoors, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault, status in ((RuntimeError("a bug"), 500), (StoreUnavailable("gone", retry_after_s=2), 503)):

        async def broken(*_: object, fault: Exception = fault) -> None:
            raise fault

        monkeypatch.setattr(doors.till.jobs.checkout, "_reserve", broken)
        hot, cold = [await told(door, doors.reserve(door)) for door in doors.both]

        assert hot == cold
        assert statuses(hot) == [status]


async def test_who_does_not_read_is_not_written_to_without_end(doors: TwoDoors) -> None:
    caller = await doors.hot.open()
    assert doors.hot.runner.server is not None
    asked = get(b"/sales/drop", b"Accept-Encoding: identity") * 200
    server_side = doors.hot.runner.server.connections[0] if doors.hot.runner.server.connections else None
    for _ in range(200):
        caller.writer.write(asked)
        await settle(8)
        server_side = server_side or doors.hot.runner.server.connections[0]
        if isinstance(server_side, FrontDoor) and server_side._paused:
            break

    assert isinstance(server_side, FrontDoor)
    assert server_side._paused
    assert server_side.transport is not None
    kept = server_side.transport.get_write_buffer_size() + len(server_side._later)
    for _ in range(20):
        await settle(8)
    assert server_side.transport.get_write_buffer_size() + len(server_side._later) <= kept + 300_000
    caller.writer.transport.abort()
