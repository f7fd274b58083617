"""The gateway that the operator chose is the one that is asked."""

import importlib.util
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest

from inventory_backend.paying import API_KEY_VARIABLE, Payments
from inventory_backend.payments.opening import gateway
from inventory_backend.payments.payments import ChargeStatus
from tests import till
from tests.fakes import FakeClock
from tests.inventory_backend.payments.test_payments import intent
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import parse


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


@pytest.mark.parametrize("provider", ["simulated", "stripe"])
async def test_each_provider_is_asked_at_its_address_and_marked_with_the_shop(
    session: aiohttp.ClientSession, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "sk_test_1")
    async with till.gateway(clock) as url:
        chosen = parse({"provider": provider, "url": url}, Payments)
        psp = gateway(chosen, session, "shop-1", clock)

        assert (await psp.authorise(intent(), key="k")).status is ChargeStatus.AUTHORISED
        assert [one.shop async for one in psp.listed(0)] == ["shop-1"]


async def test_stripe_without_its_library_is_told_how_to_get_it(
    session: aiohttp.ClientSession, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert importlib.util.find_spec("stripe")
    monkeypatch.setenv(API_KEY_VARIABLE, "sk_test_1")
    monkeypatch.setitem(sys.modules, "stripe", None)
    monkeypatch.delitem(sys.modules, "inventory_backend.payments.stripe_gateway", raising=False)

    with pytest.raises(ConfigFault, match=r"waitroom\[stripe\]"):
        gateway(parse({"provider": "stripe"}, Payments), session, "shop-1", clock)


async def test_stripe_without_a_key_does_not_start(
    session: aiohttp.ClientSession, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)

    with pytest.raises(ConfigFault, match="api_key_file"):
        gateway(parse({"provider": "stripe"}, Payments), session, "shop-1", clock)
