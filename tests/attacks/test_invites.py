"""Invites that are forged, guessed, foreign, out of date, or used twice."""

import asyncio

from tests.edges import EVENT, Front, Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Invite, Keys, Pass, PassSigner
from waitroom.rules.challenges import solve


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
