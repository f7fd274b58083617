"""The keys of a room: one hash tag, and nothing shared between rooms or events."""

from itertools import product

from waitroom.store.keys import RoomKeys

OF_THE_ROOM = ("room", "sessions", "revoked", "audit")
OF_THE_EVENT = ("queue", "line", "calls", "claimed", "knocks", "log")


def named(room: str, event: str) -> dict[str, str]:
    keys = RoomKeys(room, event)
    return {name: getattr(keys, name) for name in (*OF_THE_ROOM, *OF_THE_EVENT)}


def test_all_keys_of_a_room_share_one_hash_tag() -> None:
    assert all(key.startswith("wr:{drop:main}:") for key in named("drop", "opening").values())


def test_no_two_keys_are_one() -> None:
    rooms = [named(room, event) for room, event in product(("drop", "shop"), ("always", "opening"))]
    of_rooms = {keys[name] for keys in rooms for name in OF_THE_ROOM}
    of_events = [keys[name] for keys in rooms for name in OF_THE_EVENT]

    assert len(of_rooms) == 2 * len(OF_THE_ROOM), "an event has no limits or sessions of its own"
    assert len(set(of_events)) == 4 * len(OF_THE_EVENT)
    assert not of_rooms & set(of_events)
