"""Hosts that an edge answers for, and those that look like them."""

import pytest

from waitroom.rules.hosts import AllowedHosts

SOME = AllowedHosts(["shop.example", "*.cdn.example"])


@pytest.mark.parametrize(
    "host", ["shop.example", "SHOP.example", "shop.example.", "shop.example:8443", "a.cdn.example", "a.b.CDN.example:1"]
)
def test_a_host_in_any_spelling(host: str) -> None:
    assert SOME.has(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "shop.example.evil.example",
        "evilshop.example",
        "a.shop.example",
        "cdn.example",
        "evilcdn.example",
        "127.0.0.1",
        "[::1]",
        "evil.example:shop.example",
    ],
)
def test_a_host_that_only_looks_like_one(host: str) -> None:
    assert not SOME.has(host)
    assert AllowedHosts([]).has(host)
