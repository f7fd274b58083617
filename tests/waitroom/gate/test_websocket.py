"""The pulse by websocket."""

import asyncio

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from tests.doors import LIMIT_S
from tests.edges import Front, Store, front
from tests.fakes import FakeClock
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind

SOCKET = "/.waitroom/drop/ws"


async def test_it_sends_the_pulse_and_what_changes(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop, shop.client.ws_connect(SOCKET) as socket:
        first = await socket.receive_json(timeout=LIMIT_S)
        await shop.edge.rooms.control("drop", Change(ChangeKind.MESSAGE, "soon"), who="ops")
        await shop.tick()
        await shop.edge.followers.step()
        second = await socket.receive_json(timeout=LIMIT_S)

        assert (first["phase"], first["message"], second["message"]) == ("idle", None, "soon")


async def test_who_goes_is_told_nothing_more(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        socket = await shop.client.ws_connect(SOCKET)
        await socket.receive_json(timeout=LIMIT_S)
        assert len(shop.edge.followers) == 1
        await socket.close()

        await nobody_follows(shop)


async def test_a_worker_that_leaves_closes_with_1012(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop, shop.client.ws_connect(SOCKET) as socket:
        await socket.receive_json(timeout=LIMIT_S)
        await shop.edge.followers.close()

        assert (await closed(socket)) == 1012


async def test_pings_are_answered_and_words_are_not(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop, shop.client.ws_connect(SOCKET, autoping=False) as socket:
        await socket.receive_json(timeout=LIMIT_S)
        await socket.send_str("hello?")
        await socket.ping(b"there?")
        answer = await socket.receive(LIMIT_S)

        assert (answer.type, answer.data) == (WSMsgType.PONG, b"there?")


@pytest.mark.parametrize("what", ["words", "pings"])
async def test_who_says_too_much_is_shut_out(redis: ScriptRunner, keys: Keys, store: Store, what: str) -> None:
    async with front(redis, keys, store) as shop, shop.client.ws_connect(SOCKET) as socket:
        for _ in range(40):
            await (socket.send_str("hello?") if what == "words" else socket.ping())

        assert (await closed(socket)) == 1008
        await nobody_follows(shop)


async def test_who_says_a_little_now_and_then_may_stay(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    clock = FakeClock(SystemClock().now_ms())
    async with (
        front(redis, keys, store, clock=clock) as shop,
        shop.client.ws_connect(SOCKET, autoping=False) as socket,
    ):
        await socket.receive_json(timeout=LIMIT_S)
        for _ in range(5):
            for _ in range(20):
                await socket.ping()
                assert (await socket.receive(LIMIT_S)).type is WSMsgType.PONG
            await clock.advance(16)


async def test_a_long_message_is_not_taken(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop, shop.client.ws_connect(SOCKET) as socket:
        await socket.send_bytes(b"x" * 5000)

        assert (await closed(socket)) == 1009
        await nobody_follows(shop)


async def test_a_page_of_another_site_does_not_follow(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        with pytest.raises(WSServerHandshakeError) as refused:
            await shop.client.ws_connect(SOCKET, headers={"Origin": "https://evil.example"})
        own = f"http://{shop.client.host}:{shop.client.port}"
        async with shop.client.ws_connect(SOCKET, headers={"Origin": own}) as socket:
            assert await socket.receive_json(timeout=LIMIT_S)

    assert refused.value.status == 403


async def test_what_is_no_websocket_is_told_so(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, edge={"max_streams": 0}) as shop:
        plain, nowhere = await shop.get(SOCKET), await shop.get("/.waitroom/nowhere/ws")
        with pytest.raises(WSServerHandshakeError) as full:
            await shop.client.ws_connect(SOCKET)

        assert (plain.status, plain.headers["Upgrade"], nowhere.status) == (426, "websocket", 404)
        assert (full.value.status, full.value.headers and full.value.headers["Retry-After"]) == (503, "30")


async def closed(socket: ClientWebSocketResponse) -> int | None:
    """Return the code with which it is closed, whatever comes before."""
    async with asyncio.timeout(LIMIT_S):
        async for _ in socket:
            pass
    return socket.close_code


async def nobody_follows(shop: Front) -> None:
    async with asyncio.timeout(LIMIT_S):
        while len(shop.edge.followers):
            await asyncio.sleep(0.01)
