"""Nobody comes round the gate."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from inventory_backend.door.guard import Guard, admitted
from tests.bookkeeping import NOW_MS
from tests.fakes import FakeClock
from tests.till import KEYS, SIGNER
from waitroom.kernel.errors import Refused
from waitroom.kernel.tokens import Keys, Pass, PassSigner, UpstreamPassSigner

GOOD = Pass("drop", "alice", NOW_MS, NOW_MS + 60_000)


@pytest.fixture
def guard(clock: FakeClock) -> Guard:
    return Guard(SIGNER, ["drop", "other", "drop"], clock)


def asks(text: str | None, path: str = "/checkout/reserve") -> web.Request:
    return make_mocked_request("POST", path, headers={"Waitroom-Pass": text} if text is not None else {})


async def passed(request: web.Request) -> web.Response:
    return web.Response(text=admitted(request).session_id)


@pytest.mark.parametrize("room", ["drop", "other"])
async def test_a_valid_pass_says_who_the_shopper_is(guard: Guard, room: str) -> None:
    answer = await guard.middleware(asks(SIGNER.sign(Pass(room, "alice", 0, NOW_MS + 1))), passed)

    assert isinstance(answer, web.Response)
    assert answer.text == "alice"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "junk",
        SIGNER.sign(GOOD)[:-1],
        SIGNER.sign(Pass("drop", "alice", 0, NOW_MS)),
        SIGNER.sign(Pass("elsewhere", "alice", 0, NOW_MS + 1)),
        PassSigner(KEYS).sign(GOOD),
        UpstreamPassSigner(Keys([b"another-secret-that-is-32-bytes-long"])).sign(GOOD),
        "caf\u00e9",
        "x" * 100_000,
    ],
)
@pytest.mark.parametrize("path", ["/checkout/reserve", "/checkout/orders/1", "/checkout/no-such-thing"])
async def test_anything_else_is_refused(guard: Guard, text: str | None, path: str) -> None:
    with pytest.raises(Refused) as refused:
        await guard.middleware(asks(text, path), passed)
    assert (refused.value.status, refused.value.kind) == (403, "no-pass")


@pytest.mark.parametrize("name", ["Waitroom-Pass", "waitroom_pass"])
async def test_a_request_with_two_passes_is_refused(guard: Guard, name: str) -> None:
    said = CIMultiDict([("Waitroom-Pass", SIGNER.sign(GOOD)), (name, SIGNER.sign(GOOD))])

    with pytest.raises(Refused, match="no-pass"):
        await guard.middleware(make_mocked_request("POST", "/checkout/reserve", headers=said), passed)


async def test_the_catalogue_is_open(guard: Guard) -> None:
    async def open_to_all(_request: web.Request) -> web.Response:
        return web.Response()

    assert (await guard.middleware(asks(None, "/sales/drop"), open_to_all)).status == 200


def test_a_handler_that_the_guard_did_not_watch_lets_nobody_in() -> None:
    with pytest.raises(Refused, match="no-pass"):
        admitted(asks(SIGNER.sign(GOOD)))
