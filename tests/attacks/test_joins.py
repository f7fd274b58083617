"""Attacks on the way into the line, at the front door itself."""

from typing import Any

from tests.waitroom.gate.test_queueing import fault_of
from tests.waitroom.wire.test_reception import REGISTER, answered, post, register, site
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys


async def calls(redis: ScriptRunner) -> int:
    """Return how many commands of any kind Redis has run, but for asking it that."""
    stats: dict[str, Any] = await redis.client.info("commandstats")
    return sum(int(told["calls"]) for name, told in stats.items() if name != "cmdstat_info")


async def test_a_flood_of_solutions_that_are_none_costs_redis_nothing_at_the_front_door(
    redis: ScriptRunner, keys: Keys
) -> None:
    async with site(redis, keys) as shop:
        sent = await shop.solved()
        bad = [register(wrong) for wrong, _ in fault_of(sent["challenge"], sent["solution"])]
        bad += [post(REGISTER, b"[]", "Content-Type: application/json"), register(sent, "Origin: https://evil.example")]
        before = await calls(redis)
        heard = [answer for _ in range(25) for answer in await answered(shop.hot, *bad * 2)]
        after = await calls(redis)
        joined = await answered(shop.hot, register(sent))

    assert after == before
    assert {one[9:12] for one in heard} == {b"403", b"422"}
    assert shop.by_aiohttp == [], "nobody builds a request object for them"
    assert joined[0].startswith(b"HTTP/1.1 201 "), "and who did the work has lost nothing"


async def test_a_place_that_is_asked_for_again_and_again_at_once_is_one_place(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys) as shop:
        sent = await shop.solved()
        clients = [await shop.hot.open(register(sent) * 5) for _ in range(20)]
        heard = [await client.answer() for client in clients for _ in range(5)]
        await shop.edge.ticker.step()

        assert sorted(one[9:12] for one in heard) == [b"200"] * 99 + [b"201"]
        assert shop.edge.board.get("drop").main.waiting == 1  # type: ignore[union-attr]  # it was ticked
