"""The keys of a room: one hash tag, and nothing shared between rooms, events or lanes."""

from itertools import product

from waitroom.store.keys import RoomKeys

OF_THE_ROOM = ("room", "sessions", "revoked", "audit", "health")
OF_THE_EVENT = ("log", "strays")
OF_THE_LANE = ("queue", "line", "calls", "claimed", "knocks")
ALL = (*OF_THE_ROOM, *OF_THE_EVENT, *OF_THE_LANE)


def named(room: str, event: str, lane: str) -> dict[str, str]:
    keys = RoomKeys(room, event).of(lane)
    return {name: getattr(keys, name) for name in ALL}


def test_all_keys_of_a_room_share_one_hash_tag() -> None:
    keys = [*named("drop", "opening", "main").values(), *named("drop", "opening", "slow").values()]

    assert all(key.startswith("wr:{drop}:") for key in keys)


def test_no_two_keys_are_one() -> None:
    everything = [
        named(room, event, lane)
        for room, event, lane in product(("drop", "shop"), ("always", "opening"), ("main", "slow"))
    ]

    for names, expected in ((OF_THE_ROOM, 2), (OF_THE_EVENT, 4), (OF_THE_LANE, 8)):
        assert len({keys[name] for keys in everything for name in names}) == expected * len(names)
    assert len({key for keys in everything for key in keys.values()}) == (
        2 * len(OF_THE_ROOM) + 4 * len(OF_THE_EVENT) + 8 * len(OF_THE_LANE)
    )
