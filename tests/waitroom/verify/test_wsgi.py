"""The check around a WSGI store; with Flask, and through the edge, in tests/journeys/test_stores_behind.py."""

from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from tests.stores import verifier
from tests.till import SIGNER
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.tokens import Pass
from waitroom.verify.wsgi import PassRequired, StartResponse, admitted


def store(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    found = admitted(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [found.session_id.encode() if found else b"nobody"]


def ask(**environ: str) -> tuple[str, bytes]:
    """Ask by the letter of PEP 3333."""
    asked: dict[str, Any] = dict(environ)
    setup_testing_defaults(asked)
    told: list[str] = []

    def start(status: str, _headers: object, _fault: object = None) -> Any:
        told.append(status)
        return lambda _written: None

    app = PassRequired(validator(store), {"drop": ["/shop/drop/"]}, verifier=verifier())
    answer = validator(app)(asked | {"QUERY_STRING": ""}, start)
    body = b"".join(answer)
    answer.close()  # type: ignore[attr-defined]  # the validator's own
    return told[0], body


def signed() -> str:
    return SIGNER.sign(Pass("drop", "alice", 0, SystemClock().now_ms() + 60_000))


def test_a_mounted_store_is_guarded_by_its_whole_path() -> None:
    assert ask(SCRIPT_NAME="/shop", PATH_INFO="/drop/")[0] == "403 Forbidden"
    assert ask(SCRIPT_NAME="/shop", PATH_INFO="/about") == ("200 OK", b"nobody")
    assert ask(SCRIPT_NAME="/shop", PATH_INFO="/drop/", HTTP_WAITROOM_PASS=signed()) == ("200 OK", b"alice")


def test_lines_that_a_server_joined_are_refused() -> None:
    joined = f"{signed()},{signed()}"

    assert ask(SCRIPT_NAME="/shop", PATH_INFO="/drop/", HTTP_WAITROOM_PASS=joined)[0] == "403 Forbidden"


def test_an_ambiguous_path_is_a_bad_request() -> None:
    app = PassRequired(store, {"drop": ["/drop/"], "vip": ["/vip/"]}, verifier=verifier())
    told: list[str] = []

    app({"PATH_INFO": "/drop/../vip/"}, lambda status, _headers: told.append(status))

    assert told == ["400 Bad Request"]


@pytest.mark.parametrize("value", ["alice", None])
def test_only_the_check_itself_says_who_was_admitted(value: object) -> None:
    assert admitted({"waitroom.pass": value}) is None
    assert admitted({}) is None
