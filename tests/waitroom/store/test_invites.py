"""Codes, made and used."""

import asyncio

import pytest

from waitroom.kernel.errors import BadToken
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Invite, Keys
from waitroom.store.invites import Invites

FAR_MS = 4_000_000_000_000
GUEST = Invite("drop", "opening", "priority", "", 1, FAR_MS)


async def test_each_code_is_another_and_is_used_once(redis: ScriptRunner, keys: Keys) -> None:
    invites = Invites(redis, keys)
    codes = invites.made(GUEST, 5)
    read = [invites.read(code, room="drop", event="opening") for code in codes]

    assert len(set(codes)) == 5
    for invite in read:
        seen = await asyncio.gather(*[invites.redeem(invite, ticket) for ticket in ("a", "b", "c")])
        assert sorted(seen) == [False, False, True]


async def test_a_code_without_a_limit_is_counted_nowhere(redis: ScriptRunner, keys: Keys) -> None:
    invites = Invites(redis, keys)
    invite = Invite("drop", "opening", "priority", "x", 0, FAR_MS)

    assert all([await invites.redeem(invite, f"t{number}") for number in range(10)])
    assert await redis.client.dbsize() == 0


@pytest.mark.parametrize(("room", "event"), [("shop", "opening"), ("drop", "second")])
def test_a_code_is_for_its_room_and_event(redis: ScriptRunner, keys: Keys, room: str, event: str) -> None:
    invites = Invites(redis, keys)
    (code,) = invites.made(GUEST, 1)

    with pytest.raises(BadToken):
        invites.read(code, room=room, event=event)
