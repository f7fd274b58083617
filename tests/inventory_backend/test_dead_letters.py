"""Ops see what was given up, and send it again."""

import re
from pathlib import Path

import pytest

from inventory_backend.catalogue import Catalogue
from inventory_backend.dead_letters import main
from inventory_backend.ledger import deliveries
from inventory_backend.ledger.ledger import LedgerSettings, opened
from inventory_backend.ledger.news import News
from tests.bookkeeping import NOW_MS
from tests.inventory_backend.ledger.test_deliveries import claim, news, spread
from tests.inventory_backend.test_main import settings, start
from tests.till import sale
from waitroom.kernel.clock import SystemClock


async def buried(folder: Path) -> tuple[Path, str]:
    """Return the settings of a till with one dead letter, and whose it is."""
    async with opened(LedgerSettings(f"sqlite:///{folder}/ledger.db"), SystemClock()) as ledger:
        await Catalogue(ledger, [sale()]).seed()
        rid = await news(ledger, News.PAID)
        await spread(ledger, **{"webhook:erp": frozenset(News)})
        [notice] = await claim(ledger, "webhook:erp")
        await ledger.write(lambda c: deliveries.bury(c, notice.serial, NOW_MS, "status 500"))
    return settings(folder, 0, 9), rid


async def run(file: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await start("inventory_backend", "dead-letters", "-c", str(file), *arguments)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_dead_letter_is_listed_and_sent_again_once(tmp_path: Path) -> None:
    file, rid = await buried(tmp_path)

    status, out, _ = await run(file)
    assert (status, out.split()) == (
        0,
        ["1", "2023-11-14T22:13:20Z", "webhook:erp", "order.paid", rid, "1", "try", "status", "500"],
    )
    assert (await run(file, "--retry", "1"))[:2] == (0, "1 is sent again\n")
    assert await run(file, "--retry", "1") == (1, "", "1 is no dead letter\n")
    assert (await run(file))[:2] == (0, "")


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(tmp_path / "none.toml")]) == 2
    assert re.search("none.toml", capsys.readouterr().err)
