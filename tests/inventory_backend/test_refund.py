"""Ops send the money of an order back, beside a till that runs; it carries the refund on."""

from pathlib import Path

import pytest

from inventory_backend.refund import main
from tests.inventory_backend.test_main import start
from tests.till import config, gateway, shop

WHY = ("--why", "sent the wrong size")


def file_for(folder: Path, ledger_url: str) -> Path:
    """Return the settings that a command needs to find the ledger."""
    path = folder / "till.toml"
    skus = '[{ sku = "sneaker", name = "S", price = 1, total = 10 }]'
    path.write_text(f'[ledger]\nurl = "{ledger_url}"\n[[sales]]\nname = "drop"\nskus = {skus}\n')
    return path


async def run(file: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await start("inventory_backend", "refund", "-c", str(file), *arguments)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_refund_beside_a_running_till_goes_back_to_the_shopper(
    tmp_path: Path, redis_url: str, ledger_url: str
) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as till:
        alice = till.shopper()
        rid = (await alice.reserve()).body["reservation_id"]
        order = (await alice.commit(rid)).body["order_id"]
        await alice.settled(order, "paid")
        assert await till.available() == 9

        for told in ("the whole amount goes back", "was refunded before"):
            status, out, err = await run(file_for(tmp_path, ledger_url), order, *WHY, "--by", "ann")
            assert (status, err) == (0, "")
            assert told in out

        await alice.settled(order, "refunded")
        async with till.session.get(f"{url}/v1/refunds") as answer:
            assert [one["amount"] for one in (await answer.json())["data"]] == [12900]
        assert await till.available() == 10
        assert (await till.shopper("bob").reserve()).status == 201, "the unit is sold again while the sale is open"


async def test_what_is_no_paid_order_is_told(tmp_path: Path) -> None:
    file = file_for(tmp_path, f"sqlite:///{tmp_path}/ledger.db")

    assert await run(file, "nothing", *WHY) == (1, "", "nothing: is no order\n")


@pytest.mark.parametrize("why", ["", "  ", "x" * 201, "two\nlines"])
def test_without_a_reason_nothing_is_refunded(tmp_path: Path, why: str) -> None:
    with pytest.raises(SystemExit):
        main(["-c", str(tmp_path / "none.toml"), "o1", "--why", why])


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(tmp_path / "none.toml"), "o1", *WHY]) == 2
    assert "none.toml" in capsys.readouterr().err
