"""The pulse as Server-Sent Events, by the long way; the short one writes the same, see wire/test_stream.py."""

import asyncio
import json
import re

from tests.doors import LIMIT_S
from tests.edges import Front, Store, front
from waitroom.gate.events import HEADERS, come_back
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind

EVENTS = "/.waitroom/drop/events"


async def changed(shop: Front, text: str) -> None:
    await shop.edge.rooms.control("drop", Change(ChangeKind.MESSAGE, text), who="ops")
    await shop.tick()
    await shop.edge.followers.step()


async def test_it_begins_with_the_pulse_and_goes_on_with_what_changes(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store) as shop, asyncio.timeout(LIMIT_S):
        stream = await shop.get(EVENTS)
        lines = [await stream.content.readline() for _ in range(5)]
        pulse = await (await shop.get("/.waitroom/drop/pulse")).json()
        await changed(shop, "soon")
        later = [await stream.content.readline() for _ in range(3)]
        stream.close()

    assert {name: stream.headers[name] for name in HEADERS} == HEADERS
    assert re.fullmatch(rb"retry: \d{4}\n", lines[0]) and lines[1] == b"\n"
    assert lines[2].decode() == f"id: {pulse['generation']}/{pulse['server_ms']}\n"
    assert json.loads(lines[3].removeprefix(b"data: ")) == pulse
    assert json.loads(later[1].removeprefix(b"data: "))["message"] == "soon"
    assert later[0] > lines[2], "of two workers the newer one can be told"


async def test_who_goes_is_told_nothing_more(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        stream = await shop.get(EVENTS)
        assert len(shop.edge.followers) == 1
        stream.close()

        async with asyncio.timeout(LIMIT_S):
            while len(shop.edge.followers):
                await asyncio.sleep(0.01)


async def test_a_silence_is_broken_by_a_comment(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop, asyncio.timeout(LIMIT_S):
        stream = await shop.get(EVENTS)
        for _ in range(5):
            await stream.content.readline()
        (follower,) = shop.edge.followers._crowds["drop"].everybody
        follower.beat()

        assert await stream.content.readline() == b":\n"
        stream.close()


async def test_a_worker_that_leaves_says_when_to_come_back(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop, asyncio.timeout(LIMIT_S):
        stream = await shop.get(EVENTS)
        await shop.edge.followers.close()
        told = await stream.read()
        late = await (await shop.get(EVENTS)).read()

    assert re.search(rb"\n\nretry: \d{4}\n\n$", told)
    assert re.search(rb"\n\nretry: \d{4}\n\n$", late), "and so it does to who comes now"


async def test_what_cannot_be_followed(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, edge={"max_streams": 0}) as shop:
        full, nowhere = await shop.get(EVENTS), await shop.get("/.waitroom/nowhere/events")
        wrong = await shop.post(EVENTS)

        assert (full.status, full.headers["Retry-After"]) == (503, "30")
        assert (await full.json())["pulse"] == "/.waitroom/drop/pulse"
        assert (nowhere.status, wrong.status) == (404, 404)
        assert {one.content_type for one in (full, nowhere, wrong)} == {"application/problem+json"}


async def test_a_head_is_answered_and_follows_nothing(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        answer = await shop.client.head(EVENTS)

        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert len(shop.edge.followers) == 0


def test_a_crowd_does_not_come_back_in_one_moment() -> None:
    told = {come_back() for _ in range(200)}

    assert len(told) > 100
    assert all(re.fullmatch(rb"retry: [2-9]\d{3}\n\n", one) for one in told)
