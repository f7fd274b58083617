"""The payment gateway, as the operator writes it down: which, where, and the files that hold its secrets."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.faults import Fault, Faults
from waitroom.kernel.settings import DurationMs, OptionalPath, Settings, between, read_private
from waitroom.kernel.shapes import SiteUrl
from waitroom.kernel.units import duration_ms

API_KEY_VARIABLE = "WAITROOM_STRIPE_API_KEY"
WEBHOOK_SECRET_VARIABLE = "WAITROOM_PAYMENTS_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable, not what is in it
SIMULATED_SECRET_VARIABLE = "WAITROOM_SIMULATED_GATEWAY_SECRET"  # noqa: S105 - as above

_USUAL = {"simulated": "http://127.0.0.1:9100", "stripe": "https://api.stripe.com"}
_API_KEY = re.compile(r"(sk|rk)_(test|live)_[A-Za-z0-9_]{1,240}", re.ASCII)
_SHORTEST_SECRET = 16


def _return_url(found: str) -> str:
    if found and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+/[!-~]{0,500}", found):
        raise ValueError('must be an address such as "https://shop.example/drop/orders/{order_id}"')
    return found


class Payments(Settings):
    """The payment gateway, and how long a payment may take."""

    provider: Literal["simulated", "stripe"] = Field(
        "simulated", description="simulated: the gateway that moves no money; stripe: pip install 'waitroom[stripe]'."
    )
    url: SiteUrl | Literal[""] = Field(
        "", description="Where the gateway is; empty takes the provider's usual address."
    )
    api_key_file: OptionalPath = Field(
        None, description="A file (mode 0600) with Stripe's secret key; WAITROOM_STRIPE_API_KEY overrides it."
    )
    webhook_secret_file: OptionalPath = Field(
        None,
        description="A file (mode 0600) with the secret of the gateway's webhooks, or two while one follows the other;"
        " WAITROOM_PAYMENTS_WEBHOOK_SECRET overrides it; without one the till asks and is not told.",
    )
    return_url: Annotated[str, AfterValidator(_return_url)] = Field(
        "", description='Where a shopper comes back to from their bank; "{order_id}" is filled in.'
    )
    timeout_ms: Annotated[DurationMs, between("100ms", "1m")] = Field(
        duration_ms("5s"), description="How long the gateway may take to answer one call, before it is asked again."
    )
    window_ms: Annotated[DurationMs, between("1s", "1h")] = Field(
        duration_ms("1m"), description="How long a payment may take at least, even where the hold ends before."
    )
    grace_ms: Annotated[DurationMs, between("0s", "10m")] = Field(
        duration_ms("10s"), description="After that the hold still stands for so long, while the payment is called off."
    )
    poll_ms: Annotated[DurationMs, between("50ms", "1m")] = Field(
        duration_ms("500ms"), description="How soon a payment that is under way is looked at again."
    )
    concurrency: int = Field(64, ge=1, le=1000, description="Payments carried at the same time.")

    @model_validator(mode="after")
    def _keeps_the_key_secret(self) -> Self:
        parts = urlsplit(self.url)
        if self.provider == "stripe" and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            raise Faults([Fault(("url",), 'must begin with "https://": the secret key goes there')])
        return self

    @property
    def address(self) -> str:
        """Where the gateway is, with the default filled in."""
        return self.url or _USUAL[self.provider]

    def api_key(self, environment: Mapping[str, str] = os.environ) -> str:
        """Return Stripe's secret key.

        Raises:
            ConfigFault: there is none, it is none of Stripe's, or others may read its file.
        """
        found = environment.get(API_KEY_VARIABLE, "")
        if not found and self.api_key_file is not None:
            found = read_private(self.api_key_file)
        if not _API_KEY.fullmatch(found):
            told = f"put Stripe's secret key (sk_… or rk_…) into {API_KEY_VARIABLE}, or into the file that this names"
            raise ConfigFault([f"payments.api_key_file: {told}"])
        return found

    def webhook_secrets(self, environment: Mapping[str, str] = os.environ) -> tuple[bytes, ...]:
        """Return the secrets by which the gateway signs; none where it tells us nothing.

        A simulated gateway that `waitroom serve` started beside us signs with what it was given at that start.

        Raises:
            ConfigFault: they cannot be read, others may read them, they are too short, or too many.
        """
        given = environment.get(SIMULATED_SECRET_VARIABLE, "") if self.provider == "simulated" else ""
        given = given or environment.get(WEBHOOK_SECRET_VARIABLE, "")
        if not given and self.webhook_secret_file is not None:
            given = read_private(self.webhook_secret_file) or "-"
        found = [part for part in re.split(r"[,\s]+", given) if part]
        if len(found) > 2 or any(len(part) < _SHORTEST_SECRET for part in found):
            told = f"give one or two secrets of at least {_SHORTEST_SECRET} characters"
            raise ConfigFault([f"payments.webhook_secret_file: {told}"])
        return tuple(part.encode() for part in found)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
