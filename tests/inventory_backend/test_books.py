"""Ops add up the books, of a till that runs and of one that does not."""

import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy import text

from inventory_backend.books import main
from tests.inventory_backend.test_main import start
from tests.till import Shop, config, gateway, ledger_url, shop


def file_of(folder: Path, redis_url: str, gateway_url: str) -> Path:
    """Write the settings that `tests.till.config` makes into a file, as ops have them."""
    file = folder / "inventory.toml"
    file.write_text(f"""
        ledger = {{ url = "{ledger_url(folder)}" }}
        redis = {{ url = "{redis_url}" }}
        payments = {{ url = "{gateway_url}", timeout = "1s" }}
        [[sales]]
        name = "drop"
        limit_per_shopper = 2
        skus = [
            {{ sku = "laces", name = "Laces", price = 500, total = 10 }},
            {{ sku = "sneaker", name = "Sneaker", price = 12900, total = 10 }},
        ]
        """)
    return file


async def run(file: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await start("inventory_backend", "books", "-c", str(file), *arguments)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def sold(drop: Shop) -> None:
    """Sell a sneaker to alice, decline bob's card, and let carol hold two pairs of laces."""
    for name, card, sku in (("alice", "card_ok", "sneaker"), ("bob", "card_declined", "sneaker")):
        shopper = drop.shopper(name)
        placed = await shopper.commit((await shopper.reserve(sku=sku)).body["reservation_id"], card)
        await shopper.settled(placed.body["order_id"])
    await drop.shopper("carol").reserve(2, sku="laces")
    async with asyncio.timeout(60):
        drop.till.jobs.checkout._counter._tell()
        while drop.till.jobs.checkout._counter._errands._tasks:  # holds that Redis is still told of
            await asyncio.sleep(0.01)


async def test_a_sale_balances_and_says_so(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as drop:
        await sold(drop)
        status, out, err = await run(file_of(tmp_path, redis_url, url), "--json")

    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["balanced"] is True
    assert [(one["sku"], one["sold"], one["held"], one["free"]) for one in found["skus"]] == [
        ("laces", 0, 2, 8),
        ("sneaker", 1, 1, 8),
    ]
    assert [one["free_in_redis"] for one in found["skus"]] == [8, 8]
    kept = {"captured": 12900, "refunded": 0, "kept": 12900}
    assert found["money"] == [{"currency": "EUR", "ledger": kept, "gateway": kept}]


async def test_people_read_tables(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as drop:
        await sold(drop)
        status, out, _ = await run(file_of(tmp_path, redis_url, url))

    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert status == 0
    assert "sale sku total allocated sold held aside free free in redis" in lines
    assert "drop sneaker 10 2 1 1 0 8 8" in lines
    assert {"EUR ledger €129.00 €0.00 €129.00", "EUR gateway €129.00 €0.00 €129.00"} <= set(lines)
    assert lines[-1] == "the books balance"


async def test_what_does_not_balance_is_told_and_is_status_1(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as drop:
        await sold(drop)
        gone = text("UPDATE payment SET amount = 100 WHERE state = 'captured'")
        await drop.till.jobs.ledger.write(lambda connection: connection.execute(gone).rowcount)
        status, out, _ = await run(file_of(tmp_path, redis_url, url))

    assert status == 1
    assert "does not balance: reservation " in out
    assert "captured in the ledger for 100, and 12900 EUR at the gateway" in out


async def test_a_gateway_that_is_away_is_status_2_and_a_redis_only_a_gap(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url)):
        away = await run(file_of(tmp_path, redis_url, "http://127.0.0.1:9"))
        gap = await run(file_of(tmp_path, "unix:///nowhere.sock", url), "--json")

    assert (away[0], away[1]) == (2, "")
    assert "asked at http://127.0.0.1:9; `waitroom serve` or `demo`" in away[2]
    assert "set WAITROOM_SIMULATED_GATEWAY_URL to that" in away[2]
    assert (gap[0], [one["free_in_redis"] for one in json.loads(gap[1])["skus"]]) == (0, [None, None])


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err
