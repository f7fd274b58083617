"""A port that somebody has is refused with words, before our workers would share it in silence."""

import socket

import pytest

from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.ports import check_free, free_loopback
from waitroom.kernel.units import Address


def test_a_free_port_passes_and_stays_free() -> None:
    address = free_loopback()

    check_free(address, setting="edge.listen")
    check_free(address, setting="edge.listen")


@pytest.mark.parametrize("is_shared", [False, True], ids=["alone", "by one who shares"])
def test_a_taken_port_is_refused_with_its_setting(is_shared: bool) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(is_shared))
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = Address("127.0.0.1", other.getsockname()[1])

        with pytest.raises(ConfigFault, match=rf"^edge\.listen: {address} is taken by another program; stop that one"):
            check_free(address, setting="edge.listen")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigFault, match="is not an address of this machine"):
        check_free(Address("192.0.2.1", 8080), setting="ops.listen")


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigFault, match=r"no-such-host\.invalid is no address"):
        check_free(Address("no-such-host.invalid", 8080), setting="ops.listen")
