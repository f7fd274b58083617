"""A real SMTP server for tests: it keeps what arrives, and refuses what a test tells it to."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class Postbox:
    """The mails that arrived, with whom they were for."""

    port: int = 0
    refusal: str = ""
    """What to say to a recipient, such as "550 no such mailbox"; empty takes them."""
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    is_encrypted: list[bool] = field(default_factory=list)
    signed_in: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append((envelope.rcpt_tos, found))
        self.is_encrypted.append(session.ssl is not None)
        self.arrived.set()
        return "250 OK"

    def sign_in(self, _server: SMTP, _session: Session, _envelope: Envelope, _kind: str, given: object) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.signed_in.append(f"{given.login.decode()}:{given.password.decode()}")
        return AuthResult(success=given.password == b"right", handled=False)


@asynccontextmanager
async def postbox(tls: ssl.SSLContext | None = None, refusal: str = "") -> AsyncIterator[Postbox]:
    """Serve while the block lasts; with `tls`, nothing is taken before STARTTLS."""
    box = Postbox(refusal=refusal)

    def speaker() -> SMTP:
        return SMTP(
            box,
            hostname="localhost",
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=box.sign_in,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(speaker, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()
