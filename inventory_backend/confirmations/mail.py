"""Tell shoppers by mail, through an SMTP server, where they left an address."""

import asyncio
import ssl
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from inventory_backend.confirmations.letters import TOLD_BY_MAIL, Letters
from inventory_backend.confirmations.sinks import SENT, Fate, Outcome
from inventory_backend.ledger import contacts
from inventory_backend.ledger.deliveries import Notice
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.news import News
from waitroom.kernel.errors import StoreUnavailable

_FOR_EVER = 500


@dataclass(frozen=True, slots=True)
class Server:
    """Where mails are handed in; `security` is starttls, tls or none."""

    host: str
    port: int
    security: str
    sender: str
    username: str
    password: str
    ca_file: Path | None
    timeout_ms: int


class MailSink:
    """The way out by mail."""

    name = "mail"
    kinds: frozenset[News] = TOLD_BY_MAIL

    def __init__(self, server: Server, letters: Letters, ledger: Ledger) -> None:
        """Hand in at `server` what `letters` writes, to the addresses in `ledger`."""
        self._server = server
        self._letters = letters
        self._ledger = ledger
        self._tls = None
        if server.security != "none":
            self._tls = ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)

    @property
    def timeout_ms(self) -> int:
        """How long one try may take."""
        return self._server.timeout_ms

    async def send(self, notice: Notice) -> Outcome:
        """Send `notice`; who left no address, or whose address is forgotten, is told nothing."""
        try:
            address = await self._ledger.read(partial(contacts.address_of, rid=notice.rid))
            if address is not None:
                async with asyncio.timeout(self.timeout_ms / 1000):
                    await self._hand_in(notice, address)
        except SMTPRecipientsRefused as fault:
            return _refusal("recipient", max(one.code for one in fault.recipients))
        except SMTPDataError as fault:
            return _refusal("letter", fault.code)
        except SMTPResponseException as fault:  # ours to mend, such as a wrong password: no letter is lost for it
            return Outcome(Fate.LATER, f"{type(fault).__name__}: code {fault.code}")
        except (SMTPException, StoreUnavailable, OSError) as fault:  # their texts hold addresses
            return Outcome(Fate.LATER, type(fault).__name__)
        return SENT

    async def _hand_in(self, notice: Notice, address: str) -> None:
        server = self._server
        await aiosmtplib.send(
            self._letters.letter(notice, address),
            sender=server.sender,
            recipients=[address],
            hostname=server.host,
            port=server.port,
            local_hostname=server.sender.rpartition("@")[2],  # the default asks DNS, and blocks
            username=server.username or None,
            password=server.password or None,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=self._tls,
            timeout=self.timeout_ms / 1000,
        )


def _refusal(what: str, code: int) -> Outcome:
    """Return what a refusal means: from 500 on it stays one."""
    return Outcome(Fate.REFUSED if code >= _FOR_EVER else Fate.LATER, f"{what} refused: code {code}")
