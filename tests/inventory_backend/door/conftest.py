"""The doors know nothing of the database behind them: their tests run on SQLite, and in the soak on both."""

import os
from pathlib import Path

import pytest

from tests import postgresql
from tests.till import LEDGER_URL


@pytest.fixture(params=["sqlite", "postgresql"] if "EVERY_LEDGER" in os.environ else ["sqlite"])
async def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty ledger, and leave it in the test's folder."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    if request.param == "postgresql":
        url = await postgresql.new_database(request.getfixturevalue("postgresql_folder"))
    (tmp_path / LEDGER_URL).write_text(url)
    return url
