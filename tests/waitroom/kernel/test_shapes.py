"""Names, paths, hosts and addresses of other machines hold the shape that the rest of the program counts on."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from waitroom.kernel.shapes import (
    Host,
    Name,
    Network,
    OptionalPathOfSite,
    Origin,
    PathPrefix,
    RedisUrl,
    SiteUrl,
    UpstreamUrl,
)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (Name, "drop-2"),
        (PathPrefix, "/"),
        (PathPrefix, "/.well-known/x"),
        (OptionalPathOfSite, ""),
        (OptionalPathOfSite, "/healthy"),
        (Host, "shop.example"),
        (Network, "10.0.0.0/8"),
        (Network, "::1"),
        (Origin, ""),
        (Origin, "http://[::1]:8080"),
        (SiteUrl, "https://shop.example:8443"),
        (UpstreamUrl, "https://shop.example:8443"),
        (UpstreamUrl, "unix:/run/store.sock"),
        (RedisUrl, ""),
        (RedisUrl, "unix:///run/valkey.sock"),
    ],
)
def test_what_has_the_shape_is_kept(shape: Any, text: str) -> None:
    assert TypeAdapter(shape).validate_python(text) == text


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (Name, ""),
        (Name, "a" * 33),
        (Name, "Drop"),
        (Name, "drop\n"),
        (PathPrefix, "drop/"),
        (PathPrefix, "//drop"),
        (OptionalPathOfSite, "healthy"),
        (OptionalPathOfSite, "/.waitroom/x"),
        (PathPrefix, "/a/../b"),
        (PathPrefix, "/a/."),
        (PathPrefix, "/%2e/"),
        (PathPrefix, "/a?b"),
        (PathPrefix, "/.waitroom"),
        (Host, "Shop.example"),
        (Host, "shop.example:80"),
        (Host, "*.shop.example"),
        (Network, "10.0.0.1/8"),
        (Origin, "shop.example"),
        (Origin, "https://shop.example/"),
        (SiteUrl, "ftp://shop.example"),
        (SiteUrl, "unix:/run/store.sock"),
        (UpstreamUrl, "unix:run/store.sock"),
        (UpstreamUrl, "unix:"),
        (UpstreamUrl, "unix:/run/st ore"),
        (UpstreamUrl, "http://shop.example/path"),
        (SiteUrl, "http://user:word@shop.example"),
        (SiteUrl, "http://shop.example/path"),
        (RedisUrl, "localhost:6379"),
    ],
)
def test_what_has_not_is_refused(shape: Any, text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(shape).validate_python(text)


def test_the_slash_behind_a_site_is_dropped() -> None:
    assert TypeAdapter(SiteUrl).validate_python("http://127.0.0.1:9000/") == "http://127.0.0.1:9000"
