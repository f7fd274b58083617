"""The till counts what became of requests, payments and stock."""

from pathlib import Path

from prometheus_client import REGISTRY

from tests.till import config, gateway, shop
from waitroom.kernel.redis import ScriptRunner


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_holds_and_payments_are_counted_by_outcome(tmp_path: Path, redis_url: str) -> None:
    outcomes = ("held", "replayed", "limit-reached", "unknown-sku")
    before = {outcome: value("waitroom_till_holds_total", outcome=outcome) for outcome in outcomes}
    paid = value("waitroom_till_payments_total", state="captured")
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as drop:
        alice = drop.shopper()
        held = await alice.reserve(2)
        await alice.reserve(2)
        await alice.reserve(key="more")
        await alice.reserve(key="other", sku="gold")
        await alice.settled((await alice.commit(held.body["reservation_id"])).body["order_id"])

    after = {outcome: value("waitroom_till_holds_total", outcome=outcome) for outcome in outcomes}
    assert {outcome: after[outcome] - before[outcome] for outcome in outcomes} == dict.fromkeys(outcomes, 1.0)
    assert value("waitroom_till_payments_total", state="captured") - paid == 1


async def test_drift_is_shown_until_it_is_mended(tmp_path: Path, redis_url: str, redis: ScriptRunner) -> None:
    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:
        await redis.client.hincrby("inv:{drop:laces}:st", "avail", 3)

        await drop.till.jobs.reconciler.step()
        assert value("waitroom_till_drift_units", sale="drop", sku="laces") == 3
        await drop.till.jobs.reconciler.step()
        assert value("waitroom_till_drift_units", sale="drop", sku="laces") == 0
