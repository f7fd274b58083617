"""What the simulated gateway has answered, it still knows when it is started again."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from inventory_backend.payments.simulated_books import Books, Keyed, Refund, Reply
from inventory_backend.payments.simulated_cards import Card, PaymentIntent
from tests.inventory_backend.payments.test_simulated_server import FORM

MODULE = "inventory_backend.payments.simulated_psp"


def charge(ref: str) -> PaymentIntent:
    return PaymentIntent(100, "eur", Card.LATE, 1000, None, {"rid": ref}, ref)


def test_what_was_committed_is_there_again_in_its_order(tmp_path: Path) -> None:
    books = Books(tmp_path / "made" / "books.db")
    first, second = charge("pi_z"), charge("pi_a")
    books.note(first)
    books.note(second)
    books.commit()
    first.captured = 100
    books.note(first)
    books.note_refund(Refund("re_1", 40, "pi_z"))
    books.note_answer("k", Keyed("asked", 1000, Reply(402, {"error": {"code": "card_declined"}})))
    books.commit()
    books.close()

    again = Books(tmp_path / "made" / "books.db")

    assert list(again.intents.values()) == [first, second]
    assert again.refunds == {"re_1": Refund("re_1", 40, "pi_z")}
    assert again.keyed == {"k": Keyed("asked", 1000, Reply(402, {"error": {"code": "card_declined"}}))}
    again.close()


def test_what_was_not_committed_is_not_there(tmp_path: Path) -> None:
    books = Books(tmp_path / "books.db")
    books.note(charge("pi_1"))
    books.close()

    again = Books(tmp_path / "books.db")

    assert again.intents == {}
    again.close()


def test_forgotten_keys_stay_forgotten(tmp_path: Path) -> None:
    books = Books(tmp_path / "books.db")
    for key, at_ms in (("old", 1000), ("new", 2000)):
        books.keyed[key] = Keyed("asked", at_ms, Reply(200, {}))
        books.note_answer(key, books.keyed[key])
    books.commit()

    books.forget_keys(before_ms=2000)
    books.close()
    again = Books(tmp_path / "books.db")

    assert list(again.keyed) == ["new"]
    again.close()


async def test_a_gateway_killed_in_mid_flight_charges_once_and_refunds_once(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    port = unused_tcp_port_factory()
    url = f"http://127.0.0.1:{port}/v1"

    async def started() -> asyncio.subprocess.Process:
        given = ("--listen", f"127.0.0.1:{port}", "--file", str(tmp_path / "books.db"))
        return await asyncio.create_subprocess_exec(sys.executable, "-m", MODULE, *given)

    async def asked(session: aiohttp.ClientSession, path: str, form: dict[str, str], key: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                with suppress(aiohttp.ClientError):
                    headers = {"Idempotency-Key": key}
                    async with session.post(url + path, data=form, headers=headers) as answer:
                        return dict(await answer.json())
                await asyncio.sleep(0.05)

    async def killed(process: asyncio.subprocess.Process) -> None:
        process.kill()
        await process.wait()

    async with aiohttp.ClientSession() as session:
        process = await started()
        made = await asked(session, "/payment_intents", FORM, "pay")
        await killed(process)
        process = await started()
        assert await asked(session, "/payment_intents", FORM, "pay") == made
        taken = await asked(session, f"/payment_intents/{made['id']}/capture", {}, "cap")
        back = await asked(session, "/refunds", {"payment_intent": made["id"]}, "rf")
        await killed(process)
        process = await started()
        try:
            assert await asked(session, "/refunds", {"payment_intent": made["id"]}, "rf") == back
            assert (await asked(session, "/refunds", {"payment_intent": made["id"]}, "rf-2"))["error"]["param"]
            async with session.get(f"{url}/payment_intents") as answer:
                assert (await answer.json())["data"] == [taken]
        finally:
            await killed(process)
