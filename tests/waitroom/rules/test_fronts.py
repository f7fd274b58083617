"""What a front says of a request: read when it is clear, refused when it is not."""

import pytest

from waitroom.kernel.errors import Refused
from waitroom.rules.fronts import LONGEST_TARGET, Asked, asked_by_headers, asked_by_path

TOLD = {
    "x-forwarded-method": ["GET"],
    "x-forwarded-proto": ["https"],
    "x-forwarded-host": ["shop.example"],
    "x-forwarded-uri": ["/drop/a%2Fb?x=1&y=//"],
}


def test_a_question_is_read_byte_for_byte() -> None:
    asked = asked_by_headers(TOLD)

    assert asked == Asked("GET", "https", "shop.example", "/drop/a%2Fb?x=1&y=//")
    assert asked.origin == "https://shop.example"


def test_the_names_of_nginx_do_as_well_and_may_say_the_same_twice() -> None:
    others = {"x-original-method": ["GET"], "x-original-uri": TOLD["x-forwarded-uri"]}
    bare = {name: TOLD[name] for name in ("x-forwarded-proto", "x-forwarded-host")}

    assert asked_by_headers({**bare, **others}) == asked_by_headers(TOLD) == asked_by_headers({**TOLD, **others})


def test_the_scheme_of_a_websocket_is_that_of_its_site() -> None:
    assert asked_by_headers({**TOLD, "x-forwarded-proto": ["wss"]}).origin == "https://shop.example"


@pytest.mark.parametrize("name", TOLD)
def test_what_is_missing_is_not_guessed(name: str) -> None:
    with pytest.raises(Refused) as refused:
        asked_by_headers({key: value for key, value in TOLD.items() if key != name})

    assert (refused.value.status, refused.value.kind) == (400, "front-headers")
    assert f"{name} is missing" in refused.value.public


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({"x-forwarded-uri": ["/drop/", "/free/"]}, 400),
        ({"x-original-uri": ["/free/"]}, 400),
        ({"x-original-method": ["POST"]}, 400),
        ({"x-forwarded-host": ["shop.example", "other.example"]}, 400),
        ({"x-forwarded-host": ["shop.example, other.example"]}, 400),
        ({"x-forwarded-host": ["shop.example/evil"]}, 400),
        ({"x-forwarded-host": ["user@evil.example"]}, 400),
        ({"x-forwarded-host": [""]}, 400),
        ({"x-forwarded-proto": ["javascript"]}, 400),
        ({"x-forwarded-proto": ["https, http"]}, 400),
        ({"x-forwarded-method": ["get"]}, 400),
        ({"x-forwarded-method": ["GET\r\nX: y"]}, 400),
        ({"x-forwarded-method": ["TRACE"]}, 405),
        ({"x-forwarded-method": ["CONNECT"]}, 405),
        ({"x-forwarded-uri": ["drop/"]}, 400),
        ({"x-forwarded-uri": ["*"]}, 400),
        ({"x-forwarded-uri": ["https://shop.example/drop/"]}, 400),
        ({"x-forwarded-uri": ["/drop/ HTTP/1.1"]}, 400),
        ({"x-forwarded-uri": ["/drop/\r\nWaitroom-Pass: x"]}, 400),
        ({"x-forwarded-uri": ["/drop/#/free/"]}, 400),
        ({"x-forwarded-uri": ["/dröp/"]}, 400),
        ({"x-forwarded-uri": ["/" + "a" * LONGEST_TARGET]}, 414),
        ({"waitroom-pass": ["forged"]}, 400),
        ({"waitroom_pass": ["forged"]}, 400),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(header: dict[str, list[str]], status: int) -> None:
    with pytest.raises(Refused) as refused:
        asked_by_headers({**TOLD, **header})

    assert refused.value.status == status


def test_a_front_may_ask_under_the_path_itself_and_may_not_contradict_it() -> None:
    proto = {"x-forwarded-proto": ["https"]}

    asked = asked_by_path(proto, "POST", "shop.example", "/drop/?a=1")
    assert asked == Asked("POST", "https", "shop.example", "/drop/?a=1")
    for odd in ("", "drop/", "?x=1"):
        with pytest.raises(Refused):
            asked_by_path(proto, "GET", "shop.example", odd)
    with pytest.raises(Refused):
        asked_by_path({**proto, "x-forwarded-uri": ["/free/"]}, "GET", "shop.example", "/drop/")
