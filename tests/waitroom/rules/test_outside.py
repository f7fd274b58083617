"""Which upstream serves what no room guards."""

import pytest

from waitroom.rules.outside import Way, Ways

WAYS = Ways(
    [
        Way((), ("/blog/", "/news/"), "blog"),
        Way((), ("/blog/shop/",), "shop"),
        Way(("help.example",), ("/",), "help"),
        Way(("help.example",), ("/blog/",), "help-blog"),
    ],
    "store",
)


@pytest.mark.parametrize(
    ("host", "path", "upstream"),
    [
        ("shop.example", "/", "store"),
        ("shop.example", "/blog", "blog"),
        ("shop.example", "/blog/x?/blog/shop/", "blog"),
        ("shop.example", "/news/", "blog"),
        ("shop.example", "/blogs/", "store"),
        ("shop.example", "/Blog/", "store"),
        ("shop.example", "/x/../blog/", "store"),
        ("shop.example", "/blog/shop/1", "shop"),
        ("HELP.example:8080", "/x", "help"),
        ("help.example", "/news/x", "blog"),
        ("help.example", "/blog/x", "help-blog"),
        ("shop.example", "http://help.example/x", "help"),
        ("", "/x", "store"),
    ],
)
def test_the_longest_path_wins_then_who_names_the_host(host: str, path: str, upstream: str) -> None:
    assert WAYS.upstream(host, path) == upstream


def test_without_any_way_all_goes_to_one() -> None:
    assert Ways([], "store").upstream("shop.example", "/x") == "store"
