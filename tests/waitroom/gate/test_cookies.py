"""Cookies: named and marked by the scheme, read tolerant of neighbours."""

import pytest
from aiohttp.test_utils import make_mocked_request

from waitroom.gate.cookies import Cookies
from waitroom.kernel.tokens import Keys, Pass, PassSigner, Ticket, TicketSigner

TICKET = Ticket("drop", "opening", "main", "t" * 20, 1, 0.5)


def cookies(keys: Keys, *, is_https: bool = False) -> Cookies:
    return Cookies(TicketSigner(keys), PassSigner(keys), is_https=is_https)


def test_on_https_they_are_secure_and_bound_to_the_host(keys: Keys) -> None:
    cookie = cookies(keys, is_https=True).pass_cookie("drop", "x", 60)

    assert cookie == "__Host-wr_drop_pass=x; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"


def test_on_http_they_have_no_prefix(keys: Keys) -> None:
    assert cookies(keys).ticket_cookie("drop", "x", 60) == (
        "wr_drop_ticket=x; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"
    )


def test_an_empty_one_takes_it_away(keys: Keys) -> None:
    assert cookies(keys).no_pass("drop").startswith("wr_drop_pass=; Max-Age=0;")
    assert cookies(keys).no_ticket("drop").startswith("wr_drop_ticket=; Max-Age=0;")


@pytest.mark.parametrize("before", ["", "wr_drop_ticket=junk; ", "a=b; wr_drop_ticket=; c; "])
def test_a_ticket_is_found_behind_junk(keys: Keys, before: str) -> None:
    jar = cookies(keys)
    request = make_mocked_request("GET", "/", headers={"Cookie": f"{before}wr_drop_ticket={jar.sign_ticket(TICKET)}"})

    assert jar.ticket(request, "drop", "opening") == TICKET


def test_an_app_sends_the_same_token_in_a_header(keys: Keys) -> None:
    jar = cookies(keys)
    pass_ = Pass("drop", "s", 1, 1000)
    request = make_mocked_request("GET", "/", headers={"Authorization": f"waitroom {jar.sign_pass(pass_)}"})

    assert jar.pass_(request, "drop", 999) == pass_
    assert jar.pass_(request, "drop", 1000) is None


def test_a_flood_of_junk_is_not_read_to_its_end(keys: Keys) -> None:
    jar = cookies(keys)
    foreign = TicketSigner(Keys([b"another-secret-of-32-bytes-or-more!!"])).sign(TICKET)
    junk = f"wr_drop_ticket={foreign}; " * 20
    request = make_mocked_request("GET", "/", headers={"Cookie": f"{junk}wr_drop_ticket={jar.sign_ticket(TICKET)}"})

    assert jar.ticket(request, "drop", "opening") is None
