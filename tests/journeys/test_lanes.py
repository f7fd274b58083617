"""Guests come last and overtake by their weight; the line moves on meanwhile, and nobody's place rises."""

import asyncio
from itertools import pairwise
from typing import Any

from tests.edges import EVENT, Front, Store, as_app, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Invite, Keys
from waitroom.rules.challenges import solve
from waitroom.rules.rooms import Change, ChangeKind

OWN = "/.waitroom/drop"


async def joined(shop: Front, invite: str | None = None) -> dict[str, Any]:
    challenge = await shop.challenge()
    told = {"challenge": challenge, "solution": solve(challenge), "invite": invite}
    answer = await shop.post(f"{OWN}/queue/register", json=told)
    assert answer.status == 201, await answer.text()
    return dict(await answer.json())


async def places(shop: Front, tickets: list[str]) -> dict[str, int]:
    """Return the place of each ticket that still waits, as its page shows it."""
    answers = [await shop.get(f"{OWN}/queue/status", headers=as_app(ticket)) for ticket in tickets]
    told = [await answer.json() for answer in answers]
    return {ticket: seen["place"] for ticket, seen in zip(tickets, told, strict=True) if seen["state"] == "waiting"}


async def pulse(shop: Front) -> dict[str, Any]:
    return dict(await (await shop.get(f"{OWN}/pulse")).json())


async def test_guests_overtake_by_weight_while_the_line_moves_and_no_place_rises(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=-1, new_users_per_minute=600, total_active_users=100) as shop:
        rooms = shop.edge.rooms
        await rooms.control("drop", Change(ChangeKind.PAUSE), who="ann")
        await shop.tick()
        first = [str((await joined(shop))["ticket"]) for _ in range(12)]
        expires_ms = rooms.now_ms() + 600_000
        codes = rooms.invites.made(Invite("drop", EVENT, "priority", "", 1, expires_ms), 4)
        before = await places(shop, first)
        guests = [await joined(shop, code) for code in codes]
        tickets = [*first, *(str(guest["ticket"]) for guest in guests)]
        await shop.tick()
        seen = [await places(shop, tickets)]
        await rooms.control("drop", Change(ChangeKind.RESUME), who="ann")
        async with asyncio.timeout(60):
            while (lanes := (await pulse(shop))["lanes"])["priority"]["called"] < len(guests):
                seen.append(await places(shop, tickets))
                await asyncio.sleep(0.05)
                await shop.tick()
        pass_ = await shop.post(f"{OWN}/queue/claim", headers=as_app(tickets[-1]))

    assert sorted(before.values()) == list(range(1, 13))
    assert [seen[0][ticket] for ticket in first] == [before[ticket] for ticket in first], "guests push nobody back"
    assert [guest["place"] for guest in guests] == [1, 2, 3, 4]
    for earlier, later in pairwise(seen):
        assert all(later[ticket] <= place for ticket, place in earlier.items() if ticket in later)
    assert 1 <= lanes["main"]["called"] < 12, "the line has moved, and the guests are before its end"
    assert pass_.status == 200
