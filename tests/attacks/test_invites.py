"""Invites that are forged, guessed, foreign, out of date, or used twice."""

import asyncio

from tests.edges import EVENT, Front, Store, as_app, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Invite, Keys, Pass, PassSigner
from waitroom.rules.challenges import solve
from waitroom.rules.rooms import Change, ChangeKind

OWN = "/.waitroom/drop"


def codes(
    shop: Front, count: int = 1, *, room: str = "drop", event: str = EVENT, uses: int = 1, for_ms: int = 60_000
) -> list[str]:
    expires_ms = shop.edge.rooms.now_ms() + for_ms
    return shop.edge.rooms.invites.made(Invite(room, event, "priority", "", 1, expires_ms), 1)


async def register(shop: Front, invite: str | None, challenge: str | None = None) -> tuple[int, dict[str, object]]:
    challenge = challenge or await shop.challenge()
    body = {"challenge": challenge, "solution": solve(challenge)} | ({} if invite is None else {"invite": invite})
    async with await shop.post("/.waitroom/drop/queue/register", json=body) as answer:
        return answer.status, await answer.json()


async def test_a_code_for_one_serves_one_however_many_come_at_once(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        (code,) = codes(shop)
        challenges = [await shop.challenge() for _ in range(5)]
        told = await asyncio.gather(*[register(shop, code, challenge) for challenge in challenges])

    assert sorted(status for status, _ in told) == [201, 403, 403, 403, 403]
    assert {str(body["type"]).rpartition(":")[2] for status, body in told if status == 403} == {"invite-used"}


async def test_a_code_of_another_room_or_event_forged_or_out_of_date_is_refused(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        foreign = [codes(shop, room="shop")[0], codes(shop, event="other")[0]]
        (good,), (old,) = codes(shop), codes(shop, for_ms=-1)
        strange = Keys([b"another secret of thirty-two bytes"])
        forged = PassSigner(strange).sign(Pass("drop", "x", 0, 2**50))
        told = [await register(shop, code) for code in (*foreign, forged, good[:-2], "", "x" * 900, old)]
        plain = await register(shop, None)

    kinds = [str(body.get("type", body.get("lane"))).rpartition(":")[2] for _, body in told]
    assert kinds == ["invite-unknown"] * 4 + ["main", "invite-unknown", "invite-expired"]
    assert (plain[0], plain[1]["lane"]) == (201, "main")


async def test_who_guesses_is_held_to_a_rate(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        challenge = await shop.challenge()
        statuses = [(await register(shop, f"guess-{number}", challenge))[0] for number in range(40)]

    assert set(statuses[:20]) == {403}
    assert statuses[-1] == 429


async def test_one_solution_with_an_invite_and_without_is_one_session(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=-1, new_users_per_minute=60_000, total_active_users=9) as shop:
        await shop.edge.rooms.control("drop", Change(ChangeKind.PAUSE), who="ann")
        await shop.tick()
        challenge = await shop.challenge()
        (code,) = codes(shop)
        told = [(await register(shop, invite, challenge))[1] for invite in (None, code, None, code)]
        await shop.edge.rooms.control("drop", Change(ChangeKind.RESUME), who="ann")
        claims: dict[str, str] = {}
        async with asyncio.timeout(60):
            while len(claims) < 2:
                await shop.tick()
                for ticket in {str(each["ticket"]) for each in told}:
                    async with await shop.post(f"{OWN}/queue/claim", headers=as_app(ticket)) as answer:
                        claims |= {ticket: (await answer.json())["pass"]} if answer.status == 200 else {}
        now_ms = shop.edge.rooms.now_ms()
        sessions = {PassSigner(keys).verify(text, room="drop", now_ms=now_ms).session_id for text in claims.values()}
        inside = (await shop.edge.rooms.tick("drop")).sessions

    assert [each["lane"] for each in told] == ["main", "priority", "main", "priority"]
    assert len(sessions) == 1
    assert inside == 1


async def test_an_invite_gives_the_place_in_main_up(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        challenge = await shop.challenge()
        await register(shop, None, challenge)
        await register(shop, codes(shop)[0], challenge)
        lanes = (await shop.edge.rooms.tick("drop")).lanes

    assert {name: lane.waiting for name, lane in lanes.items()} == {"main": 0, "priority": 1}
