"""Mails arrive at a real SMTP server: encrypted where asked, once more after a fault, never after a refusal."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inventory_backend.confirmations.letters import Letters
from inventory_backend.confirmations.mail import MailSink, Server
from inventory_backend.confirmations.sinks import SENT, Fate, Outcome
from inventory_backend.ledger import contacts, holds
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import contact
from tests.bookkeeping import NOW_MS, wanted
from tests.certificate import made
from tests.inventory_backend.confirmations.test_webhooks import NOTICE
from tests.postbox import Postbox, postbox
from tests.till import config, gateway, shop
from waitroom.kernel.pages import Pages

ALICE = "alice@example.com"


def server(box: Postbox, **terms: Any) -> Server:
    plain = Server("127.0.0.1", box.port, "none", "shop@example.com", "", "", None, 30_000)
    return replace(plain, **terms)


async def sent(ledger: Ledger, to: Server, email: str | None = ALICE) -> Outcome:
    """Try to send a notice of a hold with this address."""
    one = wanted("alice", ("sneaker", 1))
    await ledger.write_together(holds.take, one)
    if email is not None:
        await ledger.write(lambda c: contacts.keep(c, one.rid, email, NOW_MS))
    sink = MailSink(to, Letters({}, to.sender, "", Pages()), ledger)
    return await sink.send(replace(NOTICE, rid=one.rid))


async def test_a_mail_arrives_at_the_address_that_was_left(ledger: Ledger) -> None:
    async with postbox() as box:
        assert await sent(ledger, server(box)) == SENT

    [(to, mail)] = box.mails
    assert (to, mail["Message-ID"]) == ([ALICE], "<msg_1@example.com>")
    assert mail.get_content_type() == "multipart/alternative"


async def test_who_left_no_address_is_told_nothing(ledger: Ledger) -> None:
    async with postbox() as box:
        assert await sent(ledger, server(box), email=None) == SENT
    assert box.mails == []


async def test_a_mailbox_that_is_not_there_is_not_tried_again_and_one_that_is_full_is(ledger: Ledger) -> None:
    async with postbox(refusal=f"550 no {ALICE} here") as box:
        assert await sent(ledger, server(box)) == Outcome(Fate.REFUSED, "recipient refused: code 550")
    async with postbox(refusal="452 full") as box:
        assert await sent(ledger, server(box)) == Outcome(Fate.LATER, "recipient refused: code 452")


async def test_starttls_encrypts_and_signs_in_only_then(ledger: Ledger, tmp_path: Path) -> None:
    pair = made(tmp_path)
    async with postbox(pair.serving()) as box:
        safe = server(box, security="starttls", ca_file=pair.certificate, username="shop", password="right")
        assert await sent(ledger, safe) == SENT
        assert (box.is_encrypted, box.signed_in) == ([True], ["shop:right"])

        wrong = await sent(ledger, replace(safe, password="wrong"))
        stranger = await sent(ledger, replace(safe, ca_file=None))
        plain = await sent(ledger, replace(safe, security="none", username=""))
    assert wrong == Outcome(Fate.LATER, "SMTPAuthenticationError: code 535")
    assert {stranger.fate, plain.fate} == {Fate.LATER}
    assert len(box.mails) == 1


async def test_a_server_without_starttls_gets_nothing_in_the_clear(ledger: Ledger) -> None:
    async with postbox() as box:
        assert (await sent(ledger, server(box, security="starttls"))).fate is Fate.LATER
    assert box.mails == []


async def test_a_server_that_is_not_there_or_says_nothing_is_tried_again(ledger: Ledger, unused_tcp_port: int) -> None:
    assert (await sent(ledger, server(Postbox(port=unused_tcp_port)))).fate is Fate.LATER

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()

    silent = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        assert (await sent(ledger, server(Postbox(port=port), timeout_ms=200))).fate is Fate.LATER


async def test_from_the_checkout_to_the_mailbox(
    tmp_path: Path, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with postbox() as box, gateway() as url:
        mail = {"host": "127.0.0.1", "port": box.port, "security": "none", "sender": "shop@example.com"}
        async with shop(config(tmp_path, redis_url, url, tables={"mail": mail})) as drop:
            alice = drop.shopper()
            rid = (await alice.reserve()).body["reservation_id"]
            bad = await alice.commit(rid, email="alice@example.com\r\nBcc: x@evil.example")
            assert (bad.status, "evil" in str(bad.body)) == (422, False)
            order = (await alice.commit(rid, email=ALICE)).body["order_id"]
            async with asyncio.timeout(60):
                await box.arrived.wait()

    [(to, mail_found)] = box.mails
    assert to == [ALICE]
    body = mail_found.get_body(("plain",))
    assert body is not None
    assert order in body.get_content()
    ours = [one for one in caplog.records if one.name.startswith(("inventory_backend", "waitroom"))]
    assert not [one for one in ours if ALICE in str(vars(one))]


async def test_without_a_server_no_address_is_kept(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as drop:
        alice = drop.shopper()
        held = await alice.reserve()
        placed = await alice.commit(held.body["reservation_id"], email=ALICE)

        assert placed.status == 202
        assert await drop.till.jobs.ledger.read(lambda c: c.execute(contact.select()).all()) == []
