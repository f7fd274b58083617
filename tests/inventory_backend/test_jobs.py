"""The jobs of the till are all there, and each can take a step."""

from pathlib import Path

from inventory_backend.ledger.idempotency import LIFETIME_MS
from tests.fakes import FakeClock
from tests.till import config, gateway, shop


async def test_every_job_takes_a_step(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url), with_jobs=False) as drop:
        loops = drop.till.jobs.loops()
        for loop in loops:
            await loop.step()

    assert {loop.name for loop in loops} == {
        "rebuild",
        "reconcile",
        "restock",
        "catalogue",
        "expire",
        "waitlist",
        "outbox",
        "payments",
        "gateway",
        "time",
        "forget",
        "spread",
        "count deliveries",
    }
    assert max(loop.period_s for loop in loops if loop.name == "catalogue") <= 0.25


async def test_answers_are_forgotten_after_a_day(tmp_path: Path, redis_url: str, clock: FakeClock) -> None:
    async with shop(config(tmp_path, redis_url, hold="24h"), clock=clock, with_jobs=False) as drop:
        alice = drop.shopper()
        await alice.reserve()
        await clock.advance(LIFETIME_MS / 1000 + 1)
        await drop.till.jobs.forget()

        again = await alice.reserve()

        assert (again.status, again.kind) == (422, "idempotency-key-reused"), "its hold is still on record"
