"""Ops look at stock and change it, from a terminal, while the till sells."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from inventory_backend.ledger.schema import stock_change
from inventory_backend.stocktaking import main
from tests.till import config, shop
from waitroom.kernel.redis import ScriptRunner

FOUND = ("--why", "a box was found", "--by", "ada")


@pytest.fixture
def file(tmp_path: Path, ledger_url: str) -> str:
    found = tmp_path / "till.toml"
    skus = '[{ sku = "sneaker", name = "Sneaker", price = 1, total = 10 }]'
    found.write_text(f'[ledger]\nurl = "{ledger_url}"\n[[sales]]\nname = "drop"\nskus = {skus}\n')
    return str(found)


async def stock(file: str, *arguments: str) -> int:
    """Run the command beside the till: it has an event loop of its own."""
    return await asyncio.to_thread(main, ["-c", file, *arguments])


async def test_stock_is_raised_and_lowered_while_the_till_sells(
    tmp_path: Path, redis_url: str, redis: ScriptRunner, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def avail() -> int:
        return int(await redis.client.hget("inv:{drop:sneaker}:st", "avail") or 0)

    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:
        for n in range(4):
            assert (await drop.shopper(f"s{n}").reserve(2)).status == 201

        assert await stock(file, "drop", "sneaker", "--add", "5", *FOUND) == 0
        assert capsys.readouterr().out == "drop sneaker: total 15, free 7, held 8, sold 0\n"
        await drop.till.jobs.restock.step()
        assert (await drop.available(), await avail()) == (7, 7)

        assert await stock(file, "drop", "sneaker", "--set", "7", *FOUND) == 1
        assert "total 15, free 7, held 8, sold 0; what is held or sold" in capsys.readouterr().err
        assert await drop.available() == 7

        assert await stock(file, "drop", "sneaker", "--set", "8", *FOUND) == 0
        await drop.till.jobs.restock.step()
        assert (await drop.available(), await avail()) == (0, 0)
        assert (await drop.shopper("late").reserve()).kind == "sold-out"

    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:
        assert await drop.available() == 0, "the next start does not undo it"


async def test_every_change_is_on_record_with_who_and_why(
    tmp_path: Path, redis_url: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:
        assert await stock(file, "drop", "sneaker", "--add=-3", *FOUND) == 0
        rows = await drop.till.jobs.ledger.read(lambda c: c.execute(select(stock_change)).all())
    capsys.readouterr()

    assert [(row.delta, row.origin, row.actor, row.why) for row in rows][-1] == (-3, "ops", "ada", "a box was found")
    assert await stock(file, "drop", "sneaker") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "drop sneaker: total 7, free 7, held 0, sold 0"
    assert [line.split("  ")[2:] for line in shown[1:]] == [
        ["+10", "configuration by configuration: as written"],
        ["-3", "ops by ada: a box was found"],
    ]
    assert await stock(file) == 0
    assert capsys.readouterr().out.splitlines() == [
        "drop laces: total 10, free 10, held 0, sold 0",
        "drop sneaker: total 7, free 7, held 0, sold 0",
    ]


async def test_a_split_sku_is_one_to_ops_who_see_where_its_units_went(
    tmp_path: Path, redis_url: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with shop(config(tmp_path, redis_url, shards=2), with_jobs=False) as drop:
        assert (await drop.shopper().reserve(2)).status == 201
        assert await stock(file, "drop", "sneaker", "--set", "2", *FOUND) == 0
        assert capsys.readouterr().out == "drop sneaker: total 2, free 0, held 2, sold 0\n"
        assert await stock(file, "drop", "sneaker#1", "--add", "1", *FOUND) == 1, "a shard is no sku"
        assert "there is no sneaker#1" in capsys.readouterr().err

    assert await stock(file, "drop", "sneaker") == 0
    assert [line.split("  ")[2:] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["+5", "configuration by configuration: as written"],
        ["+5 on sneaker#1", "configuration by configuration: as written"],
        ["-3", "ops by ada: a box was found"],
        ["-5 on sneaker#1", "ops by ada: a box was found"],
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("drop", "sneaker", "--add", "5"),
        ("drop", "sneaker", "--add", "5", "--why", ""),
        ("drop", "sneaker", "--add", "5", "--why", "a\nb"),
        ("drop", "sneaker", "--add", "5", "--why", "w" * 201),
        ("drop", "sneaker", "--add", "5", "--set", "5", "--why", "w"),
        ("drop", "sneaker", "--add", "many", "--why", "w"),
        ("drop", "sneaker", "--set", "1000000001", "--why", "w"),
        ("drop", "--add", "5", "--why", "w"),
        ("drop",),
        ("--add", "5", "--why", "w"),
    ],
)
def test_a_slip_of_the_finger_is_told_and_changes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["-c", str(tmp_path / "none.toml"), *arguments])
    assert refused.value.code == 2
    assert "error" in capsys.readouterr().err


async def test_stock_that_is_not_there_and_files_that_are_not_are_told(
    tmp_path: Path, redis_url: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with shop(config(tmp_path, redis_url), with_jobs=False):
        assert await stock(file, "drop", "gold", "--add", "5", *FOUND) == 1
        assert await stock(file, "drop", "sneaker", "--set", "-1", *FOUND) == 1
    assert await stock(str(tmp_path / "none.toml")) == 2
    told = capsys.readouterr().err
    assert "there is no gold in a sale drop" in told
    assert "refused: drop sneaker: total 10" in told
    assert "none.toml" in told
