"""Make the gateway that the operator chose."""

import aiohttp

from inventory_backend.paying import Payments
from inventory_backend.payments.pace import Paced
from inventory_backend.payments.payments import Gateway
from inventory_backend.payments.simulated_gateway import SimulatedGateway
from inventory_backend.payments.stripe_shapes import Marks
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault

_BESIDE_THE_SAGA = 4
"""Calls that are no payment's: a reconciliation, an operator's."""


def gateway(chosen: Payments, session: aiohttp.ClientSession, shop: str, clock: Clock) -> Gateway:
    """Return the gateway of `chosen`, at a pace that it bears; `shop` is the name of the ledger.

    Raises:
        ConfigFault: the library or the key that it needs is missing.
    """
    marks = Marks(shop, chosen.return_url)
    return Paced(_real(chosen, session, marks), clock, most=chosen.concurrency + _BESIDE_THE_SAGA)


def _real(chosen: Payments, session: aiohttp.ClientSession, marks: Marks) -> Gateway:
    if chosen.provider == "simulated":
        return SimulatedGateway(session, chosen.address, timeout_ms=chosen.timeout_ms, marks=marks)
    key = chosen.api_key()
    try:
        from inventory_backend.payments.stripe_gateway import StripeGateway
    except ImportError as fault:
        raise ConfigFault(["payments.provider: Stripe needs its library: pip install 'waitroom[stripe]'"]) from fault
    return StripeGateway(session, key, chosen.address, timeout_ms=chosen.timeout_ms, marks=marks)
