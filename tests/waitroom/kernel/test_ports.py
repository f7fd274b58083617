"""Ports are taken once, for processes to share; one that somebody has is refused with words."""

import errno
import secrets
import socket

import pytest

from waitroom.kernel import ports
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.ports import Place, free_loopback, listening
from waitroom.kernel.units import Address


def test_nobody_else_takes_a_part_of_a_port_that_is_ours() -> None:
    address = free_loopback()
    (ours,) = listening(address, setting="edge.listen")
    with ours, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

        with pytest.raises(OSError, match="in use"):
            other.bind((address.host, address.port))


def test_a_process_serves_where_it_was_told_else_on_a_port_of_its_own() -> None:
    address = free_loopback()
    with socket.socket() as given:
        assert Place((given,)).listening(address, setting="edge.listen") == (given,)
    (own,) = Place().listening(address, setting="edge.listen")
    with own:
        assert own.getsockname() == (address.host, address.port)


@pytest.mark.parametrize("is_shared", [False, True], ids=["alone", "by one who shares"])
def test_a_taken_port_is_refused_with_its_setting(is_shared: bool) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(is_shared))
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = Address("127.0.0.1", other.getsockname()[1])

        with pytest.raises(ConfigFault, match=rf"^edge\.listen: {address} is taken by another program; stop that one"):
            listening(address, setting="edge.listen")


def test_a_free_port_is_given_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given, draw = free_loopback().port, secrets.randbelow
    again = [given - ports._LOWEST] * 3
    monkeypatch.setattr(secrets, "randbelow", lambda most: again.pop() if again else draw(most))

    assert free_loopback().port != given
    assert again == []


def test_whom_a_free_port_is_for_can_have_it_again_and_again() -> None:
    address = free_loopback()
    for _ in range(2):
        with socket.socket() as client:
            assert client.connect_ex((address.host, address.port)) == errno.ECONNREFUSED
        (server,) = listening(address, setting="edge.listen")
        with server, socket.create_connection((address.host, address.port)):
            pass


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigFault, match="is not an address of this machine"):
        listening(Address("192.0.2.1", 8080), setting="ops.listen")


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigFault, match=r"no-such-host\.invalid is no address"):
        listening(Address("no-such-host.invalid", 8080), setting="ops.listen")
