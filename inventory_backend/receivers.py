"""Who is told of orders, as the operator writes it down: receivers of webhooks, and how often they are tried."""

import os
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.faults import Fault, Faults
from waitroom.kernel.settings import DurationMs, Listen, Many, OptionalPath, Settings, between, read_private
from waitroom.kernel.shapes import Name
from waitroom.kernel.units import duration_ms

KAFKA_PASSWORD_VARIABLE = "WAITROOM_KAFKA_PASSWORD"  # noqa: S105 - the name of a variable, not what is in it

_TRANSLATED = ip_network("64:ff9b::/96")
_SECRET_BYTES = range(24, 65)
_LONGEST_ADDRESS = 254
_LOCAL = re.compile(r"(?=.{1,64}$)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_DOMAIN = re.compile(
    r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])", re.ASCII
)

Event = Literal["order.paid", "order.refunded", "reservation.expired", "waitlist.offered"]
EVENTS: tuple[Event, ...] = ("order.paid", "order.refunded", "reservation.expired", "waitlist.offered")


def _hook_url(found: str) -> str:
    try:
        parts = urlsplit(found)
        is_sound = parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
        is_sound = is_sound and parts.username is None and not parts.fragment
    except ValueError:
        is_sound = False
    if not is_sound or not re.fullmatch("[!-~]{1,2000}", found):
        raise ValueError('must be "https://host/path", without a user and without a fragment')
    return found


def mail_address(found: str) -> str:
    """Return a mail address as it is; what could be more than one address, or a header, is none.

    Raises:
        ValueError: it is not one. It is not repeated in the message.
    """
    local, _, domain = found.rpartition("@")
    if len(found) > _LONGEST_ADDRESS or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise ValueError("must be a mail address in ASCII, such as name@example.com")
    return found


def _optional_address(found: str) -> str:
    return mail_address(found) if found else found


class Confirmations(Settings):
    """How often a confirmation is tried before ops have to look."""

    attempts: int = Field(14, ge=1, le=50, description="Tries before a confirmation becomes a dead letter.")
    first_wait_ms: Annotated[DurationMs, between("100ms", "1h")] = Field(
        duration_ms("5s"), description="The wait after the first try; doubled after each further one."
    )
    longest_wait_ms: Annotated[DurationMs, between("100ms", "24h")] = Field(
        duration_ms("6h"), description="The longest wait between two tries."
    )


class Mail(Settings):
    """The server that takes mails to shoppers."""

    host: str = Field("", pattern=r"^[A-Za-z0-9.:-]*$", description="The SMTP server; empty sends no mail.")
    port: int = Field(587, ge=1, le=65535, description="Where it listens.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="starttls: encrypt first, or send nothing; tls: from the first byte (port 465); none."
    )
    sender: Annotated[str, AfterValidator(_optional_address)] = Field("", description="The address mails come from.")
    sender_name: str = Field("", max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$", description="The name beside it.")
    username: str = Field("", max_length=254, description="Who signs in; empty signs in nobody.")
    password_file: OptionalPath = Field(None, description="A file (mode 0600) with the password.")
    ca_file: OptionalPath = Field(None, description="Who vouches for the server; empty takes those the system trusts.")
    timeout_ms: Annotated[DurationMs, between("100ms", "2m")] = Field(
        duration_ms("30s"), description="How long handing in one mail may take."
    )
    keep_ms: Annotated[DurationMs, between("1h", "90d")] = Field(
        duration_ms("14d"), description="How long a shopper's address is kept, for a refund that may follow."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = list[Fault]()
        if self.host and not self.sender:
            faults.append(Fault(("sender",), "is missing: mails come from somebody"))
        if self.username and self.password_file is None:
            faults.append(Fault(("password_file",), "is missing for this username"))
        if self.username and self.security == "none":
            faults.append(Fault(("security",), "must be starttls or tls where a password is sent"))
        if faults:
            raise Faults(faults)
        return self

    def password(self) -> str:
        """Return the password in the file.

        Raises:
            ConfigFault: it cannot be read, or others may read it.
        """
        return read_private(self.password_file) if self.password_file is not None else ""


class Webhook(Settings):
    """A receiver of signed webhooks."""

    name: Name = Field(description="Stands in the ledger: under another name it is another receiver.")
    url: Annotated[str, AfterValidator(_hook_url)] = Field(description="Where it listens.")
    secret_file: OptionalPath = Field(
        None, description='A file (mode 0600) with the signing secret "whsec_…", or two while one follows the other.'
    )
    events: Annotated[Many[Event], Field(min_length=1)] = Field(EVENTS, description="What it is told of.")
    timeout_ms: Annotated[DurationMs, between("100ms", "1m")] = Field(
        duration_ms("10s"), description="How long it may take to answer."
    )
    allow_private: bool = Field(
        False, description="Also call this machine and private networks, and without TLS: for receivers of your own."
    )

    @model_validator(mode="after")
    def _is_outside(self) -> Self:
        parts, faults = urlsplit(self.url), list[Fault]()
        if not self.allow_private and parts.scheme != "https":
            faults.append(Fault(("url",), 'must begin with "https://", or set allow_private'))
        if not self.allow_private and not _is_public_host(parts.hostname or ""):
            faults.append(Fault(("url",), "leads into a private network; set allow_private if it is yours"))
        if self.secret_file is None:
            faults.append(Fault(("secret_file",), "is missing: without a secret nobody can tell it is us"))
        if faults:
            raise Faults(faults)
        return self

    def secrets(self) -> tuple[bytes, ...]:
        """Return the secrets in the file.

        Raises:
            ConfigFault: it cannot be read, others may read it, or it has no sound secret.
        """
        assert self.secret_file is not None, "checked when it was read"
        found = re.split(r"[,\s]+", read_private(self.secret_file))
        try:
            secrets = tuple(b64decode(one.removeprefix("whsec_"), validate=True) for one in found)
        except NotBase64:
            secrets = ()
        is_sound = all(one.startswith("whsec_") for one in found) and all(len(one) in _SECRET_BYTES for one in secrets)
        if not is_sound or not 1 <= len(secrets) <= 2:
            raise ConfigFault(
                [f'{self.secret_file}: give one or two secrets, each "whsec_" and 24 to 64 bytes in base64']
            )
        return secrets


class Kafka(Settings):
    """A topic of Kafka that is told."""

    servers: Many[Listen] = Field((), description="Brokers to begin with, each host:port; none tells no Kafka.")
    topic: str = Field("orders", pattern=r"^[A-Za-z0-9._-]{1,249}$", description="Where it is told; it must be there.")
    events: Annotated[Many[Event], Field(min_length=1)] = Field(EVENTS, description="What it is told of.")
    security: Literal["tls", "none"] = Field("tls", description="tls, or none: on a network of your own.")
    ca_file: OptionalPath = Field(None, description="Who vouches for the brokers; empty takes those the system trusts.")
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="How who signs in does so: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN."
    )
    username: str = Field("", max_length=254, description="Who signs in; empty signs in nobody.")
    password_file: OptionalPath = Field(
        None, description="A file (mode 0600) with the password; WAITROOM_KAFKA_PASSWORD overrides it."
    )
    timeout_ms: Annotated[DurationMs, between("1s", "2m")] = Field(
        duration_ms("30s"), description="How long one try may take, with the brokers being found."
    )

    @model_validator(mode="after")
    def _keeps_the_password_secret(self) -> Self:
        if self.username and self.security == "none":
            raise Faults([Fault(("security",), "must be tls where a password is sent")])
        return self

    def password(self, environment: Mapping[str, str] = os.environ) -> str:
        """Return the password of who signs in.

        Raises:
            ConfigFault: there is none, or others may read its file.
        """
        if not self.username:
            return ""
        found = environment.get(KAFKA_PASSWORD_VARIABLE, "")
        if not found and self.password_file is not None:
            found = read_private(self.password_file)
        if not found:
            told = f"put the password into {KAFKA_PASSWORD_VARIABLE}, or into the file that this names"
            raise ConfigFault([f"kafka.password_file: {told}"])
        return found


def is_public(address: str) -> bool:
    """Tell whether `address` is one of the open network, also behind every dress that IPv6 has for IPv4."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.sixtofour or found.teredo:
            return False
        if found in _TRANSLATED:
            found = IPv4Address(int(found) & 0xFFFFFFFF)
        elif found.ipv4_mapped is not None:
            found = found.ipv4_mapped
    return found.is_global and not found.is_multicast


def _is_public_host(host: str) -> bool:
    """Tell whether `host`, if it is an address, may be called; names are looked at when they are looked up."""
    try:
        return is_public(host)
    except ValueError:
        return host.lower().rstrip(".") != "localhost"
