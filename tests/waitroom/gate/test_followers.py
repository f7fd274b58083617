"""Who follows a room is told what changes, as often as it is worth it."""

from dataclasses import dataclass, field, replace

import pytest

from tests.fakes import FakeClock
from tests.snapshots import snapshot
from waitroom.gate.followers import BEAT_S, Followers
from waitroom.gate.pulses import Pulses, Told
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.lanes import MAIN
from waitroom.rules.rooms import LaneState, RoomRules, Snapshot
from waitroom.store.board import Board
from waitroom.store.rooms import Rooms


@dataclass(eq=False)
class Somebody:
    """One who follows, and remembers what was said."""

    heard: list[str] = field(default_factory=list)

    def tell(self, news: Told) -> None:
        self.heard.append(news.snapshot.message or f"{news.snapshot.lanes[MAIN].waiting} waiting")

    def beat(self) -> None:
        self.heard.append("beat")

    def farewell(self) -> None:
        self.heard.append("farewell")


class Room:
    """A room whose snapshots a test hangs up, and who follows it."""

    def __init__(self, redis: ScriptRunner, keys: Keys, clock: FakeClock, most: int) -> None:
        self.clock = clock
        self.board = Board(clock)
        self.followers = Followers(Pulses(Rooms(redis, [RoomRules("drop")], keys, clock), self.board), most, clock)
        self.last: Snapshot = snapshot()

    async def stands(self, **changed: object) -> None:
        """Let a tick see the room like this, a quarter of a second later."""
        await self.clock.advance(0.25)
        self.last = replace(self.last, now_ms=self.last.now_ms + 250, **changed)  # type: ignore[arg-type]  # passed on
        self.board.put(self.last)
        await self.followers.step()


@pytest.fixture
def room(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> Room:
    found = Room(redis, keys, clock, most=100_000)
    found.board.put(found.last)
    return found


async def test_what_changes_is_told_once(room: Room) -> None:
    somebody = Somebody()
    told = room.followers.follow("drop", somebody)
    await room.stands(message="soon")
    await room.stands()
    await room.stands(lanes={MAIN: LaneState(None, 0, 7)}, message="")

    assert told.snapshot is not room.last
    assert somebody.heard == ["soon", "7 waiting"]


async def test_that_it_is_later_is_told_with_the_beat_and_no_sooner(room: Room) -> None:
    somebody = Somebody()
    room.followers.follow("drop", somebody)
    for _ in range(int(BEAT_S * 4) - 1):
        await room.stands()
    assert somebody.heard == []

    await room.stands()
    assert somebody.heard == ["0 waiting"]


async def test_while_redis_is_away_there_is_a_beat(room: Room) -> None:
    somebody = Somebody()
    room.followers.follow("drop", somebody)
    await room.clock.advance(BEAT_S)
    await room.followers.step()
    await room.followers.step()

    assert somebody.heard == ["beat"]


async def test_a_moving_line_is_told_to_many_less_often_and_a_word_of_ops_at_once(room: Room) -> None:
    crowd = [Somebody() for _ in range(40_000)]
    for somebody in crowd:
        room.followers.follow("drop", somebody)
    for waiting in range(1, 9):  # two seconds
        await room.stands(lanes={MAIN: LaneState(None, 0, waiting)})

    assert {tuple(somebody.heard) for somebody in crowd} == {("4 waiting", "8 waiting")}
    await room.stands(message="stay where you are")
    assert {somebody.heard[-1] for somebody in crowd} == {"stay where you are"}


async def test_a_few_hear_every_tick(room: Room) -> None:
    somebody = Somebody()
    room.followers.follow("drop", somebody)
    for waiting in (1, 2, 3):
        await room.stands(lanes={MAIN: LaneState(None, 0, waiting)})

    assert somebody.heard == ["1 waiting", "2 waiting", "3 waiting"]


async def test_who_left_hears_no_more_even_in_the_middle_of_the_telling(room: Room) -> None:
    gone, others = Somebody(), [Somebody() for _ in range(100)]

    class Leaver(Somebody):
        def tell(self, news: Told) -> None:
            room.followers.leave("drop", gone)
            room.followers.leave("drop", gone)

    for somebody in (Leaver(), *others, gone):
        room.followers.follow("drop", somebody)
    await room.stands(message="who is there?")

    assert gone.heard == []
    assert len(room.followers) == 101


async def test_there_are_only_so_many(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    room = Room(redis, keys, clock, most=1)
    room.board.put(room.last)
    first = Somebody()
    room.followers.follow("drop", first)
    with pytest.raises(Refused, match="too-many-streams") as refused:
        room.followers.follow("drop", Somebody())
    room.followers.leave("drop", first)
    room.followers.follow("drop", Somebody())

    assert (refused.value.status, refused.value.retry_after_s) == (503, 30)
    assert refused.value.extra["pulse"] == "/.waitroom/drop/pulse"


async def test_a_room_that_is_not_or_not_yet_known_is_not_followed(
    redis: ScriptRunner, keys: Keys, clock: FakeClock
) -> None:
    room = Room(redis, keys, clock, most=1)
    with pytest.raises(StoreUnavailable):
        room.followers.follow("drop", Somebody())
    with pytest.raises(Refused, match="unknown-room"):
        room.followers.follow("other", Somebody())

    assert len(room.followers) == 0


async def test_at_the_end_everybody_hears_so_and_who_comes_later_too(room: Room) -> None:
    crowd = [Somebody() for _ in range(200)]
    for somebody in crowd:
        room.followers.follow("drop", somebody)
    await room.followers.close()
    late = Somebody()
    room.followers.follow("drop", late)

    assert {tuple(somebody.heard) for somebody in (*crowd, late)} == {("farewell",)}
