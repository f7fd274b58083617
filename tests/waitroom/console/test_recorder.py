"""What the console remembers, with and without Redis."""

import pytest
from prometheus_client import CollectorRegistry

from tests.fakes import FakeClock
from waitroom.console.recorder import Recorder, as_event
from waitroom.console.workers import Workers
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.redis import RedisSettings, connected
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind, RoomRules
from waitroom.store.rooms import Rooms


@pytest.fixture
def recorder(rooms: Rooms, clock: FakeClock) -> Recorder:
    return Recorder(rooms, Workers(CollectorRegistry, clock), clock)


async def test_a_step_keeps_every_room_and_wakes_who_watches(recorder: Recorder) -> None:
    beat = recorder.beat

    await recorder.step()

    assert beat.is_set()
    assert not recorder.beat.is_set()
    assert set(recorder.latest) == {"drop", "other"}
    assert len(recorder.everything()["rooms"]) == 2  # type: ignore[arg-type]  # a list


async def test_a_change_is_known_before_the_next_step(recorder: Recorder) -> None:
    beat = recorder.beat

    await recorder.change("drop", Change(ChangeKind.MESSAGE, "hello"), who="Ada", why="")

    assert beat.is_set()
    assert recorder.room("drop")["message"] == "hello"


async def test_before_the_first_step_nothing_is_made_up(recorder: Recorder, clock: FakeClock) -> None:
    assert recorder.everything() == {
        "server_ms": clock.now_ms(),
        "rooms": [],
        "redis": {"is_up": True, "down_since_ms": None, "latency_ms": None},
        "edge": {"workers": None},
    }


async def test_a_lost_redis_is_told_to_who_watches_with_since_when(keys: Keys, clock: FakeClock) -> None:
    async with connected(RedisSettings("unix:///nonexistent/valkey.sock", timeout_ms=100)) as nowhere:
        rooms = Rooms(nowhere, [RoomRules("drop")], keys, clock)
        recorder = Recorder(rooms, Workers(CollectorRegistry, clock), clock)
        since_ms, beat = clock.now_ms(), recorder.beat

        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await recorder.step()
            await clock.advance(1)

    assert beat.is_set()
    assert recorder.everything()["redis"] == {"is_up": False, "down_since_ms": since_ms, "latency_ms": None}


def test_an_unknown_room_is_refused(recorder: Recorder) -> None:
    with pytest.raises(Refused, match="unknown-room"):
        recorder.require("nowhere")


def test_closing_wakes_who_watches(recorder: Recorder) -> None:
    beat = recorder.beat

    recorder.close()

    assert beat.is_set()
    assert recorder.is_closing


def test_an_event_is_one_line_of_data() -> None:
    assert as_event({"message": "two\nlines"}) == b'event: figures\ndata: {"message":"two\\nlines"}\n\n'
