"""Every way out that is written down is made; what is wrong with them is told at once."""

import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from inventory_backend.confirmations.opening import sinks
from inventory_backend.ledger.ledger import Ledger
from tests.receivers import secret_file
from tests.till import config
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault

HOOK = {"name": "erp", "url": "https://erp.example/"}
MAIL = {"host": "mail.example", "sender": "shop@example.com"}
KAFKA = {"servers": ["broker-1.example:9093", "[::1]:9093"]}


async def names(folder: Path, ledger: Ledger, **tables: Any) -> list[str]:
    async with AsyncExitStack() as stack:
        return [one.name for one in await sinks(config(folder, "", tables=tables), stack, ledger, SystemClock())]


async def faults(folder: Path, ledger: Ledger, **tables: Any) -> list[str]:
    with pytest.raises(ConfigFault) as refused:
        await names(folder, ledger, **tables)
    return refused.value.faults


async def test_nobody_is_told_unless_they_are_written_down(tmp_path: Path, ledger: Ledger) -> None:
    assert await names(tmp_path, ledger) == []


async def test_each_sink_has_its_name_in_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    hook = HOOK | {"secret_file": str(secret_file(tmp_path))}

    assert await names(tmp_path, ledger, webhooks=[hook], mail=MAIL, kafka=KAFKA) == ["webhook:erp", "mail", "kafka"]


async def test_all_faults_are_told_together(tmp_path: Path, ledger: Ledger) -> None:
    missing = str(tmp_path / "missing")
    hook, mail = HOOK | {"secret_file": missing}, MAIL | {"ca_file": missing}

    found = await faults(tmp_path, ledger, webhooks=[hook], mail=mail, kafka=KAFKA | {"ca_file": missing})

    assert found == [
        f"{missing}: cannot be read: No such file or directory",
        "mail.ca_file: cannot be read: No such file or directory",
        "kafka.ca_file: cannot be read: No such file or directory",
    ]


async def test_who_signs_in_to_kafka_needs_a_password(tmp_path: Path, ledger: Ledger) -> None:
    (fault,) = await faults(tmp_path, ledger, kafka=KAFKA | {"username": "till"})

    assert fault.startswith("kafka.password_file: put the password into WAITROOM_KAFKA_PASSWORD")


async def test_without_its_library_kafka_says_what_to_install(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "inventory_backend.confirmations.kafka", raising=False)
    monkeypatch.setitem(sys.modules, "aiokafka", None)

    assert await faults(tmp_path, ledger, kafka=KAFKA) == [
        "kafka.servers: Kafka needs its library: pip install 'waitroom[kafka]'"
    ]
    assert await names(tmp_path, ledger) == [], "and without Kafka nobody misses it"
