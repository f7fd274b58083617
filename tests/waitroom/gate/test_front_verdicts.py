"""What a verdict becomes for somebody else's proxy."""

import pytest

from waitroom.gate.front_verdicts import Allowed, back, own_page
from waitroom.gate.line import Issued
from waitroom.kernel.tokens import Pass
from waitroom.rules.fronts import Asked


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/drop/shoe?size=42&x=a%2Fb", "/drop/shoe?size=42&x=a%2Fb"),
        ("/drop/?" + "x" * 4000, "/drop/"),
        ("/" + "x" * 4000, "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/.waitroom/drop/wait", "/"),
    ],
)
def test_a_visitor_comes_back_to_what_they_wanted_on_this_site(target: str, expected: str) -> None:
    assert back(Asked("GET", "https", "shop.example", target)) == expected


def test_the_way_back_is_one_value_of_the_query() -> None:
    assert (
        own_page("drop", "wait", "/drop/?a=1&b=%2F#") == "/.waitroom/drop/wait?return_to=/drop/%3Fa%3D1%26b%3D%252F%23"
    )


def test_what_may_pass_says_only_what_there_is_to_say() -> None:
    issued = Issued(Pass("drop", "one", 1, 2), "token", "wr_drop_pass=token; Path=/")

    assert Allowed().headers == {"Cache-Control": "no-store"}
    assert Allowed("signed", issued, others="a=1").headers == {
        "Cache-Control": "no-store",
        "Waitroom-Pass": "signed",
        "Cookie": "a=1",
        "Set-Cookie": issued.cookie,
    }
    assert Allowed("signed", issued, is_app=True).headers["Waitroom-Token"] == "token"
