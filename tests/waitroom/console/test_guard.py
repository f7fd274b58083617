"""Who is let in, as what, and from which page."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from aiohttp.typedefs import LooseHeaders

from tests.fakes import FakeClock
from waitroom.console.guard import COOKIE, Guard, Operator, is_local, require_own_page, tidy_name
from waitroom.console.sign_ins import Role
from waitroom.kernel.errors import ConfigFault, Refused
from waitroom.kernel.tokens import Keys


class Peer:
    """The far end of a connection, as aiohttp asks for it."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 50_000) if name == "peername" else default


def request(headers: LooseHeaders, *, method: str = "GET", address: str = "192.0.2.7") -> web.Request:
    return make_mocked_request(method, "/", headers=headers, transport=Peer(address))


async def let_in(_request: web.Request, operator: Operator) -> web.StreamResponse:
    return web.Response(text=operator.who)


def cookie_of(guard: Guard, token: str, name: str = "Ada") -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={guard.sign_in(request({}), token, name)}", "Host": "ops.example:8081"}


@pytest.mark.parametrize(
    ("tokens", "fault"),
    [
        ({}, "none is set"),
        ({Role.OPERATOR: ""}, "none is set"),
        ({Role.OPERATOR: "short"}, "at least 16"),
        ({Role.OPERATOR: "the-same-for-both", Role.VIEWER: "the-same-for-both"}, "different"),
    ],
)
def test_a_token_that_protects_nothing_is_refused_at_the_start(
    tokens: dict[Role, str], fault: str, keys: Keys, clock: FakeClock
) -> None:
    with pytest.raises(ConfigFault, match=fault):
        Guard(tokens, keys, clock)


def test_a_bearer_token_opens_its_role_and_gives_a_tidy_name(guard: Guard, tokens: dict[Role, str]) -> None:
    headers = {"Authorization": f"Bearer {tokens[Role.OPERATOR]}", "X-Waitroom-Operator": " Ada\tL. "}

    operator = guard.identify(request(headers))

    assert operator is not None
    assert (operator.role, operator.who) == (Role.OPERATOR, "Ada L. (192.0.2.0/24)")


@pytest.mark.parametrize("credentials", ["Bearer wrong", "Bearer", "Basic dGhlLW9wZXJhdG9yLXRva2Vu", "Bearer ü"])
def test_other_credentials_open_nothing(credentials: str, guard: Guard) -> None:
    assert guard.identify(request({"Authorization": credentials})) is None


def test_a_wrong_bearer_token_is_not_helped_out_by_a_cookie(guard: Guard, tokens: dict[Role, str]) -> None:
    headers = {**cookie_of(guard, tokens[Role.OPERATOR]), "Authorization": "Bearer wrong"}

    assert guard.identify(request(headers)) is None


def test_who_keeps_guessing_bearer_tokens_is_told_to_wait_and_others_are_not(
    guard: Guard, tokens: dict[Role, str]
) -> None:
    for _ in range(30):
        assert guard.identify(request({"Authorization": "Bearer wrong"})) is None

    with pytest.raises(Refused) as refused:
        guard.identify(request({"Authorization": "Bearer wrong"}))

    assert (refused.value.status, refused.value.retry_after_s) == (429, 60)
    assert guard.identify(request({"Authorization": f"Bearer {tokens[Role.VIEWER]}"})) is not None


def test_the_sixth_wrong_sign_in_of_a_minute_is_not_heard_even_with_the_right_token(
    guard: Guard, tokens: dict[Role, str]
) -> None:
    for _ in range(5):
        with pytest.raises(Refused, match="wrong-token"):
            guard.sign_in(request({}), "wrong", "")

    with pytest.raises(Refused, match="too-many-tries"):
        guard.sign_in(request({}), tokens[Role.OPERATOR], "")
    assert guard.sign_in(request({}, address="198.51.100.1"), tokens[Role.OPERATOR], "")


def test_signing_out_ends_the_sign_in(guard: Guard, tokens: dict[Role, str]) -> None:
    headers = cookie_of(guard, tokens[Role.VIEWER])
    assert guard.identify(request(headers)) is not None

    guard.sign_out(request(headers))

    assert guard.identify(request(headers)) is None


async def test_a_viewer_looks_and_does_not_change(guard: Guard, tokens: dict[Role, str]) -> None:
    viewer = {"Authorization": f"Bearer {tokens[Role.VIEWER]}"}
    assert (await guard.needs(Role.VIEWER, let_in)(request(viewer))).status == 200

    with pytest.raises(Refused) as refused:
        await guard.needs(Role.OPERATOR, let_in)(request(viewer, method="POST"))

    assert (refused.value.status, refused.value.kind) == (403, "only-operators")


async def test_a_stranger_is_asked_to_sign_in(guard: Guard) -> None:
    with pytest.raises(Refused) as refused:
        await guard.needs(Role.VIEWER, let_in)(request({}))

    assert (refused.value.status, refused.value.kind) == (401, "not-signed-in")


async def test_a_browser_changes_from_our_own_page_only(guard: Guard, tokens: dict[Role, str]) -> None:
    cookie = cookie_of(guard, tokens[Role.OPERATOR])
    own = {"Origin": "http://ops.example:8081", "X-Waitroom-Console": "1"}
    change = guard.needs(Role.OPERATOR, let_in)
    assert (await change(request({**cookie, **own}, method="POST"))).status == 200

    for foreign in (
        {**own, "Origin": "http://ops.example:8080"},
        {"Origin": own["Origin"]},
        {"X-Waitroom-Console": "1"},
    ):
        with pytest.raises(Refused, match="foreign-page"):
            await change(request({**cookie, **foreign}, method="POST"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://ops.example:8080"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://ops.example:8081"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_what_another_page_sends_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Refused, match="foreign-page"):
        require_own_page(request({"Host": "ops.example:8081", **headers}, method="POST"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://ops.example:8081"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://OPS.example:8081"},
    ],
)
def test_what_our_page_sends_is_taken(headers: dict[str, str]) -> None:
    require_own_page(request({"Host": "ops.example:8081", **headers}, method="POST"))


@pytest.mark.parametrize(
    ("address", "headers", "local"),
    [
        ("127.0.0.1", {"Host": "127.0.0.1:8081"}, True),
        ("::1", {"Host": "[::1]:8081"}, True),
        ("127.0.0.1", {"Host": "localhost:8081"}, True),
        ("127.0.0.1", {"Host": "rebound.example:8081"}, False),
        ("127.0.0.1", {"Host": "127.0.0.1", "X-Forwarded-For": "203.0.113.5"}, False),
        ("192.0.2.7", {"Host": "127.0.0.1:8081"}, False),
    ],
)
def test_local_is_this_machine_and_no_page_that_pretends_to_be(
    address: str, headers: dict[str, str], local: bool
) -> None:
    assert is_local(request(headers, address=address)) is local


def test_a_name_is_one_short_printable_line() -> None:
    assert tidy_name("  Ada\r\n\x1b[31mLovelace " + "x" * 60) == "Ada [31mLovelace " + "x" * 23
