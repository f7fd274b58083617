"""A plain head and a whole request are asked alike."""

from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from waitroom.kernel.asking import Asking
from waitroom.rules.heads import plain_head

COOKIE, OTHER = "a=1; b=2", "text/html"


def told(request: Asking) -> list[object]:
    """Return everything that may be asked."""
    headers = request.headers
    return [
        headers.get("Cookie", ""),
        headers.get("Authorization", "none"),
        headers.getall("Cookie", []),
        headers.getall("If-None-Match", ["none"]),
        "Accept" in headers,
        "Sec-Fetch-Mode" in headers,
    ]


def test_both_kinds_of_request_say_the_same() -> None:
    whole = make_mocked_request("GET", "/", headers=CIMultiDict({"Host": "a", "cookie": COOKIE, "ACCEPT": OTHER}))
    head = plain_head(f"GET / HTTP/1.1\r\nHost: a\r\ncookie: {COOKIE}\r\nACCEPT: {OTHER}\r\n\r\n".encode())
    assert head is not None

    assert told(head) == told(whole) == [COOKIE, "none", [COOKIE], ["none"], True, False]
