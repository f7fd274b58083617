"""The protocol before aiohttp: order, cuts at every byte, bounds, the farewell, and counts."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY

from tests.doors import Client, Doors, cut
from tests.hot import HEALTHZ, NAVIGATION, Held, Site, get, heard, site
from tests.wire import settle
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.wire.front_door import FrontDoor

PULSE = get(b"/.waitroom/drop/pulse")
POST = b"POST /posted HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture
async def shop(redis: ScriptRunner, keys: Keys) -> AsyncIterator[Site]:
    async with site(redis, keys) as made:
        yield made


def door_of(doors: Doors) -> FrontDoor:
    (found,) = [seat.guest for seat in doors.connections._seats]
    assert isinstance(found, FrontDoor)
    return found


async def until(claim: object) -> None:
    assert callable(claim)
    async with asyncio.timeout(60):
        while not claim():
            await asyncio.sleep(0.001)


def statuses(raw: bytes) -> list[bytes]:
    return [line[9:12] for line in raw.split(b"\r\n") if line.startswith(b"HTTP/1.")] + [
        line.rpartition(b"HTTP/1.1 ")[2][:3]
        for line in raw.split(b"\r\n")
        if b"HTTP/1.1 " in line and not line.startswith(b"HTTP/1.")
    ]


def requests(shop: Site) -> list[tuple[bytes, bytes]]:
    """Return requests of every kind, and what tells their answers: prepared, carried, aiohttp's."""
    shop.store.scripts |= {
        path: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path)
        for path in (b"/drop/one", b"/two", b"/posted")
    }
    return [
        (PULSE, b'"generation"'),
        (get(b"/drop/one", shop.pass_cookie()), b"/drop/one"),
        (POST, b"/posted"),
        (get(b"/drop/x", *NAVIGATION), b"</html>"),
        (get(b"/two"), b"/two"),
        (get(b"/.waitroom/healthz"), b'"alive"'),
        (get(b"/drop/one", b"X: caf\xe9", shop.pass_cookie()), b"/drop/one"),
        (get(b"/drop/x"), b'"queue"'),
        (get(b"/drop/one", shop.pass_cookie()), b"/drop/one"),
    ]


async def test_answers_leave_in_the_order_of_the_requests_whoever_gives_them(shop: Site) -> None:
    kinds = requests(shop)
    for turn in range(len(kinds)):
        order = kinds[turn:] + kinds[:turn]
        raw = await heard(await shop.hot.open(), [b"".join(asked for asked, _ in order) + HEALTHZ])
        places, place = [], 0
        for _, told in order:
            place = raw.find(told, place)
            places.append(place)
            place += 1
        assert -1 not in places, (turn, places)
        assert all(first < second for first, second in pairwise(places))


async def test_what_comes_is_the_same_wherever_it_is_cut(shop: Site) -> None:
    kinds = requests(shop)[:5]
    data = b"".join(asked for asked, _ in kinds) + HEALTHZ
    whole = await heard(await shop.hot.open(), [data])
    expected = [told for _, told in kinds]
    assert all(told in whole for told in expected)
    for place in range(1, len(data), 7):
        raw = await heard(await shop.hot.open(), [data[:place], data[place:]])
        assert (len(raw), statuses(raw)) == (len(whole), statuses(whole)), (place, data[:place])


async def test_a_head_that_comes_byte_by_byte_is_answered_once_it_is_whole(shop: Site) -> None:
    data = get(b"/drop/x", *NAVIGATION)
    client = await shop.hot.open()
    for place in range(len(data) - 1):
        client.send(data[place : place + 1])
        await settle(2)
    assert door_of(shop.hot).transport.get_write_buffer_size() == 0
    client.send(data[-1:])
    assert b"</html>" in await client.answer()
    client.send(HEALTHZ)
    assert b'"alive"' in await client.rest()


async def test_nothing_is_answered_while_aiohttp_waits_for_the_rest_of_a_head(shop: Site) -> None:
    """What looks like a request may be the rest of a header."""
    client = await shop.hot.open(get(b"/.waitroom/healthz") + b"GET /x HTTP/1.1\r\nX: ")
    assert b'"alive"' in await client.answer()
    client.send(PULSE)
    answer = await client.answer()

    assert answer.endswith(b"ok"), "the store's, for what was one request"
    (seen,) = shop.seen()
    assert b"X: GET /.waitroom/drop/pulse HTTP/1.1\r\n" in seen.head
    client.send(PULSE)
    assert b'"generation"' in await client.answer()


async def test_nothing_is_answered_while_aiohttp_has_something_under_way(shop: Site) -> None:
    held = shop.store.scripts[b"/posted"] = Held()
    client = await shop.hot.open(POST)
    await until(lambda: shop.store.seen)
    client.send(PULSE)
    await settle(50)
    assert door_of(shop.hot).transport.get_write_buffer_size() == 0
    held.may_answer.set()

    assert (await client.answer()).endswith(b"ok")
    assert b'"generation"' in await client.answer()


async def test_nothing_is_answered_while_something_is_carried(shop: Site) -> None:
    held = shop.store.scripts[b"/drop/a"] = Held()
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    await until(lambda: shop.store.seen)
    for _ in range(3):
        client.send(PULSE)
        await settle()
    held.may_answer.set()

    assert (await client.answer()).endswith(b"ok")
    for _ in range(3):
        assert b'"generation"' in await client.answer()


async def test_who_asks_and_reads_nothing_takes_no_memory(shop: Site) -> None:
    """Ten thousand pages of 33 KB are a third of a gigabyte."""
    client = await shop.hot.open()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport reads too
    page = get(b"/drop/x", *NAVIGATION)
    client.send(page * 10_000)
    await until(lambda: door_of(shop.hot)._is_paused)
    await settle(200)
    door = door_of(shop.hot)

    assert door.transport.get_write_buffer_size() < 512 * 1024
    assert len(door._later) <= 3 * 32_768
    before = cut("slow-reader")
    await shop.advance(1)
    await shop.advance(31)
    assert cut("slow-reader") == before + 1
    await until(lambda: not len(shop.hot.connections))


async def test_who_asks_much_and_reads_it_all_gets_it_all(shop: Site) -> None:
    page = get(b"/drop/x", *NAVIGATION, b"Accept-Encoding: br")
    raw = await heard(await shop.hot.open(page * 500), HEALTHZ)

    assert raw.count(b"HTTP/1.1 200 OK\r\n") == 501


async def test_who_rests_too_long_is_let_go(shop: Site) -> None:
    asked, silent = await shop.hot.open(PULSE), await shop.hot.open()
    await asked.answer()
    await until(lambda: len(shop.hot.connections) == 2)
    await shop.advance(1)
    await shop.advance(74)
    assert len(shop.hot.connections) == 2
    await shop.advance(2)

    assert await asked.rest() == await silent.rest() == b""


async def test_who_asks_now_and_then_is_kept(shop: Site) -> None:
    client = await shop.hot.open(PULSE)
    await client.answer()
    for _ in range(4):
        await shop.advance(60)
        client.send(PULSE)
        assert b'"generation"' in await client.answer()


async def test_a_head_that_does_not_end_is_not_waited_for(shop: Site) -> None:
    client = await shop.hot.open(PULSE)
    await client.answer()
    client.send(PULSE[:-2])
    await settle(20)
    await shop.advance(1)
    await shop.advance(11)

    assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def test_when_a_worker_leaves_every_answer_is_the_last(shop: Site) -> None:
    clients = [await shop.hot.open(asked) for asked in (PULSE, PULSE, get(b"/x"))]
    for client in clients:
        await client.answer()
    await shop.hot.listener.take_leave()
    for client, asked in zip(clients, (PULSE, get(b"/drop/x", *NAVIGATION), get(b"/x")), strict=True):
        client.send(asked)  # the first of them is known by its bytes
        raw = await client.rest()
        assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in raw


async def test_what_is_ready_is_forgotten_at_each_turn(shop: Site) -> None:
    prompt = shop.served.prompt
    assert prompt is not None
    client = await shop.hot.open(PULSE)
    first = await client.answer()
    assert set(prompt.memo("127.0.0.1")) == {PULSE}
    await shop.advance(1)
    assert prompt.memo("127.0.0.1") == {}
    client.send(PULSE)

    assert (await client.answer()).partition(b"Date: ")[2][:29] != first.partition(b"Date: ")[2][:29]


def counted(outcome: str, room: str = "drop") -> float:
    return REGISTRY.get_sample_value("waitroom_requests_total", {"room": room, "outcome": outcome}) or 0.0


async def test_visits_are_counted_as_without_us(shop: Site) -> None:
    asked = [get(b"/drop/x", *NAVIGATION)] * 5 + [get(b"/drop/x")] * 2 + [get(b"/drop/x", shop.pass_cookie())] * 3
    asked += [get(b"/drop/x", *NAVIGATION, shop.ticket_cookie()), get(b"/shut/"), get(b"/shut/", *NAVIGATION), PULSE]
    asked += [get(b"/drop/feed"), get(b"/open/"), get(b"/full/", *NAVIGATION)]
    found = []
    for doors in shop.both:
        await shop.edge.pour()
        names = [(room, one) for room in ("drop", "shut", "open", "full") for one in ("wait", "forward", "refuse")]
        before = [counted(one, room) for room, one in names]
        for _ in range(2):
            await heard(await doors.open(), [b"".join(asked) + HEALTHZ])
        await shop.forget()
        await shop.edge.pour()
        found.append([counted(one, room) - then for (room, one), then in zip(names, before, strict=True)])

    assert found[0] == found[1]
    assert found[0][:3] == [16, 6, 0]


async def test_who_hangs_up_in_the_middle_leaves_nothing_behind(shop: Site) -> None:
    shop.store.scripts[b"/drop/a"] = Held()
    page = get(b"/drop/a", shop.pass_cookie())
    for data in (b"GET /", PULSE[:-3], PULSE * 50, POST[:-1], page, POST + page, PULSE + page, page[:-1]):
        client: Client = await shop.hot.open(data)
        await settle(30)
        client.writer.transport.abort()
    await until(lambda: not len(shop.hot.connections))
    await until(lambda: shop.edge._upstreams["store"].slots.taken == 0)


async def test_without_a_prompt_all_is_aiohttps(shop: Site) -> None:
    client = await shop.cold.open(PULSE)

    assert b'"generation"' in await client.answer()
    door = door_of(shop.cold)
    assert door._inner is not None
    assert door._memo == {}
