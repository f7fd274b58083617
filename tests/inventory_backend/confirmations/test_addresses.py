"""A name that leads inside is refused where it is looked up."""

import socket

import pytest

from inventory_backend.confirmations.addresses import GuardedResolver


@pytest.mark.parametrize("name", ["localhost", "127.1", "0x7f000001"])
async def test_this_machine_is_reached_only_where_the_operator_allows_it(name: str) -> None:
    guarded, allowed = GuardedResolver(is_private_allowed=False), GuardedResolver(is_private_allowed=True)

    with pytest.raises(OSError, match="private network"):
        await guarded.resolve(name, 80, socket.AF_INET)
    assert [one["host"] for one in await allowed.resolve(name, 80, socket.AF_INET)] == ["127.0.0.1"]
    for resolver in (guarded, allowed):
        await resolver.close()
