"""Which requests need a pass, of which room; and what who has none is told."""

import json
from collections.abc import Mapping, Sequence

import pytest

from tests.till import KEYS
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import BadToken, ConfigFault, Refused, WaitroomError
from waitroom.kernel.tokens import Pass, UpstreamPassSigner
from waitroom.verify.checkpoint import Checkpoint, Refusal, as_sent, refusal
from waitroom.verify.passes import Verifier

SIGNER = UpstreamPassSigner(KEYS)


def checkpoint(rooms: Mapping[str, Sequence[str]], exempt: Sequence[str] = ()) -> Checkpoint:
    return Checkpoint(rooms, exempt=exempt, verifier=Verifier(SIGNER))


def passed(room: str) -> str:
    return SIGNER.sign(Pass(room, "alice", 0, SystemClock().now_ms() + 60_000))


def answer(fault: WaitroomError, accept: str = "*/*", mode: str | None = None, method: str = "GET") -> Refusal:
    return refusal(fault, method=method, accept=accept, fetch_mode=mode)


def test_each_room_opens_by_its_own_pass_only() -> None:
    rooms = checkpoint({"drop": ["/drop/"], "vip": ["/drop/vip/"]}, ["/drop/notify"])

    assert rooms.check("/about", []) is None
    assert rooms.check("/drop/notify", ["junk"]) is None
    found = rooms.check("/drop/vip/shoe", [passed("vip")])
    assert found
    assert found.room == "vip"
    for path, room in (("/drop/shoe", "vip"), ("/drop/vip/shoe", "drop")):
        with pytest.raises(BadToken):
            rooms.check(path, [passed(room)])


def test_a_path_that_reads_as_two_rooms_is_refused_with_or_without_a_pass() -> None:
    rooms = checkpoint({"drop": ["/drop/"], "vip": ["/vip/"]})

    with pytest.raises(Refused) as refused:
        rooms.check("/drop/../vip/shoe", [passed("drop")])
    told = json.loads(answer(refused.value).body)
    assert (told["status"], told["type"]) == (400, "urn:waitroom:problem:ambiguous-path")


@pytest.mark.parametrize("path", ["/a%2Fb", "/a/../drop", "/a;b", "/a\\b", "/a\0", "/a?b", "/\udcff"])
def test_what_was_hidden_in_a_path_stays_so_when_it_is_decoded(path: str) -> None:
    rooms = checkpoint({"drop": ["/drop/"]})

    with pytest.raises(BadToken):
        rooms.check(as_sent(path), [])


def test_a_plain_path_is_as_it_was() -> None:
    assert (
        as_sent("/drop/caf\u00e9 au lait")
        == as_sent("/drop/caf\u00e9 au lait".encode())
        == "/drop/caf%C3%A9%20au%20lait"
    )


@pytest.mark.parametrize("rooms", [{}, {"drop": []}, {"drop": "/drop/"}, {"drop": ["drop/"]}, {"drop": [""]}])
def test_rooms_without_paths_are_a_fault_of_the_settings(rooms: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigFault, match="rooms"):
        checkpoint(rooms)


def test_an_exempt_text_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigFault, match="exempt"):
        checkpoint({"drop": ["/drop/"]}, "/drop/notify")


def test_without_a_secret_no_store_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAITROOM_UPSTREAM_SECRET", raising=False)

    with pytest.raises(ConfigFault, match="WAITROOM_UPSTREAM_SECRET"):
        Checkpoint({"drop": ["/drop/"]})


def test_the_answer_says_nothing_of_which_check_failed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    refused = [answer(BadToken("pass has run out", kind=kind)) for kind in ("expired-pass", "bad-token")]

    assert refused[0] == refused[1]
    assert refused[0].status == 403
    assert b"run out" not in refused[0].body
    assert [record.__dict__["kind"] for record in caplog.records] == ["expired-pass", "bad-token"]


@pytest.mark.parametrize(
    ("accept", "mode", "is_page"),
    [
        ("text/html,*/*;q=0.8", None, True),
        ("application/json", None, False),
        ("*/*", "navigate", True),
        ("text/html", "cors", False),
    ],
)
def test_people_get_a_page_and_programs_a_problem(accept: str, mode: str | None, is_page: bool) -> None:
    headers = dict(answer(BadToken("none"), accept, mode).headers)

    assert headers["Content-Type"].startswith("text/html" if is_page else "application/problem+json")
    assert headers["Cache-Control"] == "no-store"


def test_an_answer_to_head_keeps_its_length_and_not_its_body() -> None:
    whole, head = answer(BadToken("none")), answer(BadToken("none"), method="HEAD")

    assert head.body == b""
    assert head.headers == whole.headers
    assert dict(whole.headers)["Content-Length"] == str(len(whole.body))
