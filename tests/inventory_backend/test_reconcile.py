"""Ops see where the books differ, as a table, and have what is safe repaired beside a till that runs."""

from pathlib import Path

import pytest

from inventory_backend.reconcile import main
from tests.inventory_backend.test_main import start
from tests.till import Shop, config, gateway, shop


def file_for(folder: Path, ledger_url: str, redis_url: str, gateway_url: str) -> Path:
    """Return the settings by which a command finds what the till uses."""
    path = folder / "till.toml"
    skus = ", ".join(f'{{ sku = "{name}", name = "S", price = 1, total = 10 }}' for name in ("sneaker", "laces"))
    path.write_text(
        f'[ledger]\nurl = "{ledger_url}"\n[redis]\nurl = "{redis_url}"\n[payments]\nurl = "{gateway_url}"\n'
        f'[[sales]]\nname = "drop"\nskus = [{skus}]\n'
    )
    return path


async def run(file: Path, *arguments: str) -> tuple[int | None, list[str], str]:
    process = await start("inventory_backend", "reconcile", "-c", str(file), *arguments)
    out, err = await process.communicate()
    return process.returncode, out.decode().splitlines(), err.decode()


async def bought(till: Shop, name: str) -> str:
    shopper = till.shopper(name)
    rid = (await shopper.reserve()).body["reservation_id"]
    order: str = (await shopper.commit(rid)).body["order_id"]
    await shopper.settled(order, "paid")
    return order


async def test_differences_are_a_table_and_are_repaired_when_it_is_meant(
    tmp_path: Path, redis_url: str, ledger_url: str
) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as till:
        file = file_for(tmp_path, ledger_url, redis_url, url)
        order = await bought(till, "alice")
        await bought(till, "bob")
        assert await run(file) == (0, ["the books agree"], "")
        ref = (await till.charges())[1]["id"]
        await till.session.post(f"{url}/v1/refunds", data={"payment_intent": ref})

        status, out, _ = await run(file, "--dry-run")
        assert (status, out[0].split(), out[-1]) == (
            1,
            ["WHAT", "WHICH", "LEDGER", "ELSEWHERE", "REPAIR"],
            "1 differences, 0 repaired",
        )
        assert out[1].split()[:3] == ["refunded-at-gateway", ref, "captured"]
        assert (await till.shopper("alice").order(order))["status"] == "paid"

        status, out, _ = await run(file)
        assert (status, out[-1]) == (0, "1 differences, 1 repaired")
        await till.shopper("alice").settled(order, "refunded")
        assert await run(file) == (0, ["the books agree"], "")


async def test_without_redis_the_money_is_compared_all_the_same(
    tmp_path: Path, redis_url: str, ledger_url: str
) -> None:
    async with gateway() as url:
        status, out, err = await run(file_for(tmp_path, ledger_url, f"unix://{tmp_path}/none.sock", url))

    assert (status, out) == (2, ["the books agree"])
    assert "was not compared" in err
    assert "Traceback" not in err


async def test_without_its_gateway_it_says_so(tmp_path: Path, redis_url: str, ledger_url: str) -> None:
    status, out, err = await run(file_for(tmp_path, ledger_url, redis_url, "http://127.0.0.1:9"))

    assert (status, out) == (2, [])
    assert "gateway" in err
    assert "Traceback" not in err


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err
