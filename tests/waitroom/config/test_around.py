"""What stands around the rooms is safe by default."""

from waitroom.config import Backend, Edge, Ops, Redis, Secrets, Upstream


def test_nothing_is_open_to_other_machines_by_default() -> None:
    assert Edge().listen.is_loopback
    assert Ops().listen.is_loopback
    assert Edge().listen != Ops().listen


def test_nobody_is_believed_and_no_secret_is_known_by_default() -> None:
    assert Edge().trusted_proxies == ()
    assert Secrets().file is None
    assert Backend().config is None and not Backend().simulated_gateway


def test_cookies_are_secure_where_shoppers_come_by_https() -> None:
    assert Edge(public_origin="https://shop.example").is_https
    assert not Edge(public_origin="http://shop.example").is_https
    assert not Edge().is_https


def test_every_wait_on_the_network_has_an_end() -> None:
    store = Upstream(name="store", url="http://127.0.0.1:9000")

    assert 0 < store.connect_timeout_ms < store.first_byte_timeout_ms <= store.idle_timeout_ms
    assert 0 < Redis().timeout_ms < 1000
    assert 0 < Edge().keepalive_timeout_ms < 600_000
