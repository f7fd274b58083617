"""Which room a request belongs to: clean paths exactly, odd paths always somewhere."""

import re
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitroom.kernel.errors import Refused
from waitroom.rules.routes import Route, Routes

DROP = Route("drop", (), ("/drop/", "/checkout/"), ("/drop/static/", "/drop/health"), "store")
ONE = Routes([DROP])


def room(routes: Routes, path: str, host: str = "shop.example") -> str | None:
    found = routes.match(host, path)
    return found.room if found else None


@pytest.mark.parametrize(
    "path",
    [
        "/drop/",
        "/drop/shoe",
        "/drop",
        "/drop?x=1",
        "/drop/?x=/../public",
        "/checkout/reserve",
        "/drop.json",
        "/drop/a.js",
    ],
)
def test_a_path_under_a_room_belongs_to_it(path: str) -> None:
    assert room(ONE, path) == "drop"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/dropout",
        "/public/drop/",
        "/?next=//drop/",
        "/drop-2/",
        "/caf%C3%A9/a",
        "/a%20b/c",
        "/a,b/c:d@e!$&'()*+=~_-.x",
    ],
)
def test_a_clean_path_elsewhere_is_outside(path: str) -> None:
    assert room(ONE, path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/%64rop/",
        "/DROP/",
        "/Drop",
        "/%44%52%4f%50/x",
        "/%64%72%6F%70",
        "/dro%70.json",
        "/dr%EF%BD%8Fp/",
        "/CHECKOUT/reserve",
    ],
)
def test_another_spelling_is_the_same_path(path: str) -> None:
    assert room(ONE, path) == "drop"


ODD = [
    "/public/%2e%2e/drop/",
    "/public/%2E%2E/drop/",
    "/public/.%2e/drop/",
    "/public/..%2fdrop/",
    "/public%2f..%2fdrop/",
    "/public/../drop/",
    "/./drop/",
    "/public/.",
    "/public/..",
    "//drop/",
    "/public//drop/",
    "/%2fdrop/",
    "/\\drop\\",
    "/public\\..\\drop",
    "/public/..%5cdrop/",
    "/;/drop/",
    "/drop;v=1/shoe",
    "/public;/../drop/",
    "/public/..;/drop/",
    "/public%3b/../drop",
    "/%25%36%34rop/",
    "/public/%252e%252e/drop/",
    "/public/%25252e%25252e/drop/",
    "/public/%25%32%65%25%32%65/drop/",
    "/public%00/../drop/",
    "/drop%00",
    "/drop%3fx",
    "/drop%23x",
    "/drop#x",
    "/drop%20",
    "/drop.",
    "/drop./x",
    "/drop%20/x",
    "/drop%09/",
    "/public/%c0%ae%c0%ae/drop/",
    "/public/%e0%80%ae/drop/",
    "/public%c0%afdrop",
    "/public/%EF%BC%8E%EF%BC%8E/drop/",
    "/%EF%BC%8Fdrop/",
    "/%u0064rop/",
    "/%zz/drop",
    "/dr%6",
    "/drop\xe9",
    "/caf\xe9",
    "/a b",
    "drop/",
    "*",
    "",
    "/..",
    "/\t/drop/",
    "/public/...//drop",
]


@pytest.mark.parametrize("path", [path for path in ODD if path])
def test_an_odd_path_is_never_outside_the_room(path: str) -> None:
    assert room(ONE, path) == "drop"


@pytest.mark.parametrize(
    "path", ["/drop/static/app.css", "/drop/static/", "/drop/static/a/b.png?v=1", "/drop/health", "/drop/health?x"]
)
def test_what_is_exempt_is_outside(path: str) -> None:
    assert room(ONE, path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/drop/static",
        "/drop/staticx",
        "/drop/STATIC/app.css",
        "/DROP/static/app.css",
        "/drop/%73tatic/app.css",
        "/drop/health/",
        "/drop/health/x",
        "/drop/health.json",
        "/drop/Health",
        "/drop/static/../shoe",
        "/drop/static/..%2fshoe",
        "/drop/static/%2e%2e/shoe",
        "/drop/static/..;/shoe",
        "/drop/static;/../shoe",
        "/drop/static/..\\shoe",
        "/drop/static/%5c..%5cshoe",
        "/drop/static//shoe",
        "/drop/static/%252e%252e/shoe",
        "/drop/static/%00/../shoe",
        "/drop/static/x%00",
        "/drop/static/.",
        "/drop/static/x;y",
        "//drop/static/app.css",
        "/drop/static/%c0%ae%c0%ae/shoe",
        "/drop/static/\xe9",
    ],
)
def test_an_exemption_holds_only_for_its_exact_spelling(path: str) -> None:
    assert room(ONE, path) == "drop"


def test_an_exempt_path_still_has_the_upstream_of_its_room() -> None:
    assert ONE.upstream("shop.example", "/drop/static/app.css") == "store"
    assert ONE.upstream("shop.example", "/public//x") == "store"
    assert ONE.upstream("shop.example", "/public/") is None


HOSTS = Routes(
    [
        Route("a", ("shop.example",), ("/",), (), "one"),
        Route("b", ("tickets.example", "www.tickets.example"), ("/buy/",), (), "two"),
    ]
)


@pytest.mark.parametrize(
    "host", ["shop.example", "SHOP.example", "shop.example:8080", "shop.example.", "shop.example.:443"]
)
def test_a_host_has_one_spelling(host: str) -> None:
    assert room(HOSTS, "/x", host) == "a"


def test_a_room_guards_only_the_hosts_it_names() -> None:
    assert room(HOSTS, "/x", "tickets.example") is None
    assert room(HOSTS, "/buy/", "www.tickets.example") == "b"


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1:8080", "[::1]:8080", "shop.example@evil.example"])
def test_a_host_that_no_room_names_counts_as_all_of_them(host: str) -> None:
    assert room(HOSTS, "/buy/", host) == "b"
    assert room(HOSTS, "/x", host) == "a"


def test_an_absolute_target_brings_its_own_host() -> None:
    assert room(HOSTS, "http://tickets.example/buy/", "shop.example") == "b"
    assert room(HOSTS, "HTTP://Shop.Example:80?x", "tickets.example") == "a"
    assert room(HOSTS, "http://a@tickets.example/x", "shop.example") is None


def test_an_odd_target_belongs_to_the_first_room_of_its_host() -> None:
    assert room(HOSTS, "/x//y", "tickets.example") == "b"
    assert room(HOSTS, "*", "tickets.example") == "b"


NESTED = Routes([Route("all", (), ("/",), (), "one"), Route("vip", (), ("/vip/",), ("/vip/logo.png",), "one")])


def test_the_longest_path_wins() -> None:
    assert room(NESTED, "/vip/shoe") == "vip"
    assert room(NESTED, "/vips/") == "all"


def test_an_exemption_of_one_room_does_not_open_the_room_around_it() -> None:
    assert room(NESTED, "/vip/logo.png") == "all"


TWO = Routes([Route("a", (), ("/a/",), (), "one"), Route("b", (), ("/b/",), (), "one")])


@pytest.mark.parametrize("path", ["/a/..%2fb/x", "/a/%2e%2e/b/x", "/a/..;/b/", "/a/..%255cb/", "/a\\..\\b"])
def test_a_path_that_two_rooms_could_claim_is_refused(path: str) -> None:
    with pytest.raises(Refused) as refused:
        TWO.match("shop.example", path)

    assert refused.value.status == 400


@pytest.mark.parametrize("path", ["/b//x", "/b;v=1/x", "/b/x%2fy", "//b/x", "/b/x;y", "/B%2Fx"])
def test_an_odd_path_belongs_to_the_room_that_every_reading_leads_to(path: str) -> None:
    assert room(TWO, path) == "b"


def test_a_path_too_long_to_read_in_every_way_is_refused_where_it_matters() -> None:
    path = "/a/" + "x//" * 500

    with pytest.raises(Refused):
        TWO.match("shop.example", path)
    assert room(ONE, path) == "drop"  # there is but one room, so no reading matters


def test_without_rooms_nothing_is_guarded() -> None:
    assert Routes([]).match("shop.example", "/a//b") is None
    assert Routes([]).upstream("shop.example", "/") is None


def _merged(path: str) -> str:
    return re.sub(r"/+", "/", path)


def _walked(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        kept = kept[:-1] if segment == ".." else kept if segment == "." else [*kept, segment]
    return "/" + "/".join(kept)


def _without_parameters(path: str) -> str:
    return re.sub(r";[^/]*", "", path)


def _slashed(path: str) -> str:
    return path.replace("\\", "/")


HABITS = [unquote, unquote, _merged, _walked, _without_parameters, _slashed, str.lower]
PIECES = [
    "b",
    "%62",
    "drop",
    "DROP",
    "%64rop",
    "%2564rop",
    "static",
    "public",
    "..",
    "%2e%2e",
    ".%2e",
    "%252e%252e",
    ".",
    "",
    "a",
]
MARKS = ["/", "//", "%2f", "\\", "%5c", ";", ";x=1/", "%3b", "%252f", "/./", "%00", "?"]


TARGETS = st.lists(st.tuples(st.sampled_from(MARKS), st.sampled_from(PIECES)), min_size=1, max_size=5).map(
    lambda pieces: "/" + "".join(mark + piece for mark, piece in pieces).lstrip("/")
)
UPSTREAMS = st.lists(st.sampled_from(HABITS), max_size=7)


def _reached(path: str, habits: list[Callable[[str], str]]) -> str:
    reached = path.partition("?")[0]
    for habit in habits:
        reached = habit(reached)
    return reached


@given(TARGETS, UPSTREAMS)
@settings(max_examples=300, deadline=None)
def test_no_upstream_of_any_habits_is_reached_round_the_gate(path: str, habits: list[Callable[[str], str]]) -> None:
    reached = _reached(path, habits)

    leads_inside = reached == "/drop" or (reached.startswith("/drop/") and not reached.startswith("/drop/static/"))
    assert not leads_inside or room(ONE, path) == "drop"


@given(TARGETS, UPSTREAMS)
@settings(max_examples=300, deadline=None)
def test_no_pass_of_one_room_leads_into_another(path: str, habits: list[Callable[[str], str]]) -> None:
    reached = _reached(path, habits)

    with suppress(Refused):
        assert not reached.startswith("/b/") or room(TWO, path) == "b"
