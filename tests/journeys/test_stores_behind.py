"""A store in every framework knows by the pass that nobody came round the gate; whoever did is refused."""

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.edges import Store, as_app, front
from tests.stores import STORES
from tests.till import KEYS
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Pass, PassSigner, UpstreamPassSigner

Said = list[tuple[str, str]]

FOREIGN = Keys([b"another-secret-that-is-32-bytes-long"])


@pytest.fixture(params=STORES, scope="module")
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def behind(framework: str) -> Iterator[str]:
    """Give the address of a running store."""
    with STORES[framework]() as url:
        yield url


def signed(room: str = "drop", *, for_s: float = 60, signer: PassSigner | None = None) -> str:
    now_ms = SystemClock().now_ms()
    return (signer or UpstreamPassSigner(KEYS)).sign(Pass(room, "alice", now_ms, now_ms + round(for_s * 1000)))


def ask(
    url: str, path: str = "/drop/shoe", said: Said | None = None, method: str = "GET"
) -> tuple[int, Mapping[str, str], bytes]:
    """Ask the store directly, with exactly these bytes as the path and these lines as headers."""
    parts = urlsplit(url)
    assert parts.hostname
    connection = HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in said or []:
        connection.putheader(name, value.encode("latin-1"))
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}, body


async def test_who_was_let_in_is_known_to_the_store(behind: str, redis: ScriptRunner) -> None:
    store = Store(url=behind)
    async with front(redis, KEYS, store, paths=["/drop/", "/checkout/"], queueing_method="fifo") as edge:
        answer = await edge.get("/drop/caf%C3%A9?size=9")
        document = await answer.json()
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        again = await edge.get("/checkout/", headers={"Cookie": cookie, "Waitroom-Pass": "forged"})
        outside = await edge.get("/about")
        known = await again.json()
        assert (await outside.json())["session"] is None

    assert answer.status == 200
    assert document["room"] == "drop"
    assert document["path"] == "/drop/café"
    assert known["session"] == document["session"], "the same shopper, and what they forged was dropped on the way"


async def test_an_app_is_known_by_its_ticket_id(behind: str, redis: ScriptRunner) -> None:
    async with front(redis, KEYS, Store(url=behind), queueing_method="fifo", opens_in_s=-60) as edge:
        joined = await edge.join()
        claimed = await edge.post("/.waitroom/drop/queue/claim", headers=as_app(joined["ticket"]))
        if claimed.status == 425:
            await edge.tick()
            claimed = await edge.post("/.waitroom/drop/queue/claim", headers=as_app(joined["ticket"]))
        answer = await edge.get("/drop/", headers=as_app((await claimed.json())["pass"]))
        document = await answer.json()

    assert document["session"] == joined["ticket_id"]


FORGED: dict[str, Said] = {
    "nothing": [],
    "empty": [("Waitroom-Pass", "")],
    "junk": [("Waitroom-Pass", "junk")],
    "not ascii": [("Waitroom-Pass", "\xff\xe9")],
    "long": [("Waitroom-Pass", "x" * 5000)],
    "ran out": [("Waitroom-Pass", signed(for_s=-3600))],
    "another room": [("Waitroom-Pass", signed("vip"))],
    "another installation": [("Waitroom-Pass", signed(signer=UpstreamPassSigner(FOREIGN)))],
    "the shopper's own pass": [("Waitroom-Pass", signed(signer=PassSigner(KEYS)))],
    "cut": [("Waitroom-Pass", signed()[:-1])],
    "as an app would": [("Authorization", f"Waitroom {signed()}")],
    "a good one and a forged one": [("Waitroom-Pass", signed()), ("Waitroom-Pass", "junk")],
    "a forged one and a good one": [("waitroom-pass", "junk"), ("Waitroom-Pass", signed())],
    "two good ones": [("Waitroom-Pass", signed()), ("WAITROOM-PASS", signed())],
    "two in one line": [("Waitroom-Pass", f"{signed()}, {signed()}")],
    "dots for dashes": [("Waitroom.Pass", signed())],
}


@pytest.mark.parametrize("said", FORGED.values(), ids=FORGED)
def test_whoever_comes_round_the_gate_is_refused(behind: str, said: Said) -> None:
    status, headers, body = ask(behind, "/drop/shoe", said)

    assert status == 403
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    document = json.loads(body)
    assert document.pop("detail")
    assert document == {"type": "urn:waitroom:problem:no-pass", "title": "Forbidden", "status": 403}


def test_the_name_must_be_spelt_as_the_edge_spells_it(behind: str, framework: str) -> None:
    """A server that tells `Waitroom_Pass` apart drops it, or shows it to the check; wsgiref cannot tell."""
    alone = ask(behind, "/drop/", [("Waitroom_Pass", signed())])[0]
    beside = ask(behind, "/drop/", [("Waitroom-Pass", signed()), ("Waitroom_Pass", "junk")])[0]

    assert alone == (200 if framework == "flask on wsgiref" else 403)
    assert beside in {200, 403}, "dropped before us, or refused by us; never a 500"
    assert ask(behind, "/drop/", [("Waitroom_Pass", "junk")])[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "//drop/shoe",
        "/drop//shoe",
        "/./drop/shoe",
        "/about/../drop/shoe",
        "/about/%2e%2e/drop/shoe",
        "/%64rop/shoe",
        "/DROP/shoe",
        "/drop",
        "/drop.json",
        "/drop;a=b/shoe",
        "/drop%2fshoe",
        "/drop%5cshoe",
        "/drop%252fshoe",
        "/drop%00",
        "/drop%0a",
        "/drop/notify/../shoe",
        "/drop/static/..%2fshoe",
        "/drop/NOTIFY",
        "/drop/%ff",
    ],
)
def test_no_trick_of_the_path_opens_a_room(behind: str, path: str) -> None:
    assert ask(behind, path)[0] != 200


def test_the_rest_of_the_store_is_open(behind: str) -> None:
    for path in ("/", "/about", "/dropped", "/drop/notify", "/drop/static/shoe.png?v=2", "/caf%C3%A9"):
        status, _, body = ask(behind, path, [("Waitroom-Pass", "forged")])

        assert status == 200, path
        assert json.loads(body)["session"] is None


def test_people_get_a_page_and_head_gets_no_body(behind: str) -> None:
    status, headers, body = ask(behind, "/drop/", [("Accept", "text/html,*/*"), ("Sec-Fetch-Mode", "navigate")])

    assert status == 403
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert b"waiting room" in body
    assert ask(behind, "/drop/", method="HEAD")[::2] == (403, b"")
    assert ask(behind, "/drop/", method="POST")[0] == 403
