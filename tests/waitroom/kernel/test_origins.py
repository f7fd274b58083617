"""Who sent a request, as far as a browser says."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from waitroom.kernel.origins import came_from, is_from_elsewhere


def says(*headers: tuple[str, str]) -> bool:
    return is_from_elsewhere(make_mocked_request("POST", "/", CIMultiDict([("Host", "shop.example:8080"), *headers])))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("Origin", "http://shop.example:8080"),),
        (("Origin", "https://SHOP.example:8080"),),
        (("Sec-Fetch-Site", "same-origin"), ("Origin", "http://shop.example:8080")),
        (("Sec-Fetch-Site", "none"),),
    ],
)
def test_our_own_page_and_a_program_are_not_from_elsewhere(headers: tuple[tuple[str, str], ...]) -> None:
    assert not says(*headers)


@pytest.mark.parametrize(
    "headers",
    [
        (("Origin", "https://evil.example"),),
        (("Origin", "http://shop.example"),),
        (("Origin", "http://shop.example:8080.evil.example"),),
        (("Origin", "http://evil.example/http://shop.example:8080"),),
        (("Origin", "null"),),
        (("Origin", ""),),
        (("Origin", "http://["),),
        (("Origin", "http://shop.example:8080"), ("Origin", "https://evil.example")),
        (("Sec-Fetch-Site", "cross-site"),),
        (("Sec-Fetch-Site", "same-site"), ("Origin", "http://shop.example:8080")),
        (("Sec-Fetch-Site", "anything"),),
    ],
)
def test_every_other_page_is_from_elsewhere(headers: tuple[tuple[str, str], ...]) -> None:
    assert says(*headers)


@pytest.mark.parametrize(
    ("referer", "path"),
    [
        ("http://shop.example:8080/drop/?size=42#top", "/drop/?size=42"),
        ("http://shop.example:8080/", "/"),
        ("http://shop.example:8080", ""),
        ("http://evil.example/drop/", ""),
        ("", ""),
    ],
)
def test_only_a_page_of_this_host_is_one_to_go_back_to(referer: str, path: str) -> None:
    request = make_mocked_request("POST", "/", CIMultiDict([("Host", "shop.example:8080"), ("Referer", referer)]))

    assert came_from(request) == path
