"""redeem: an invite is used by as many tickets as it is for, however they come."""

import asyncio

from waitroom.kernel.redis import ScriptRunner

FAR_MS = 4_000_000_000_000


async def redeem(redis: ScriptRunner, ticket: str, uses: int = 1) -> str:
    (word,) = await redis.run("invites/redeem", keys=["invite"], args=[ticket, uses, FAR_MS])
    return str(word)


async def test_one_use_is_for_one_ticket_and_for_that_as_often_as_it_asks(redis: ScriptRunner) -> None:
    words = [await redeem(redis, ticket) for ticket in ("a", "b", "a", "b")]

    assert words == ["redeemed", "used", "redeemed", "used"]
    assert await redis.client.pttl("invite") > 0


async def test_of_many_at_once_as_many_get_in_as_may(redis: ScriptRunner) -> None:
    words = await asyncio.gather(*[redeem(redis, f"t{number}", 3) for number in range(20)])

    assert words.count("redeemed") == 3
