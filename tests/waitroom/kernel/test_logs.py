"""What stands in the log, and what cannot be made to stand there."""

import json
import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from waitroom.kernel import logs
from waitroom.kernel.logs import mask_address, request_id, setup

log = logging.getLogger("waitroom.test")


@pytest.fixture(autouse=True)
def _give_the_root_logger_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("aiohttp.access", "aiokafka"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def written(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_a_machine_reads_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    setup("INFO", as_json=True)
    held = request_id.set("abc")
    log.info("visitor admitted", extra={"room": "drop", "path": "/a\nb"})
    request_id.reset(held)

    [line] = written(capsys).splitlines()
    facts = json.loads(line)

    assert (facts["message"], facts["room"], facts["path"]) == ("visitor admitted", "drop", "/a\nb")
    assert (facts["level"], facts["logger"], facts["request_id"]) == ("INFO", "waitroom.test", "abc")
    assert facts["at"].endswith("Z")


def test_a_person_reads_words(capsys: pytest.CaptureFixture[str]) -> None:
    setup("INFO")
    held = request_id.set("abc")
    log.info("visitor admitted", extra={"room": "drop"})
    request_id.reset(held)
    log.info("room paused")

    first, second = written(capsys).splitlines()

    assert first.endswith("INFO    waitroom.test: visitor admitted request_id=abc room=drop")
    assert second.endswith("waitroom.test: room paused")


@pytest.mark.parametrize(
    "evil", ["x\n2026-01-01T00:00:00Z ERROR   root: forged", "\x1b[31mred", "a\rb", "\x00", "\u2028"]
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_visitor_cannot_forge_a_line(evil: str, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    setup("INFO", as_json=as_json)
    log.info("request refused", extra={"path": evil})

    text = written(capsys)

    assert len(text.splitlines()) == 1
    assert text.rstrip("\n").isprintable()


def test_a_fact_cannot_pose_as_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    setup("INFO", as_json=True)
    log.info("room paused", extra={"level": "DEBUG", "request_id": "forged", "at": "never"})

    facts = json.loads(written(capsys))

    assert (facts["level"], facts["request_id"], facts["at"] == "never") == ("INFO", "-", False)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bug_brings_its_traceback(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    setup("INFO", as_json=as_json)
    try:
        [].pop()
    except IndexError:
        log.exception("request failed", extra={"reason": object()})

    assert "IndexError: pop from empty list" in written(capsys)


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    setup("WARNING")
    log.info("room paused")

    assert written(capsys) == ""


def test_the_access_log_with_its_full_addresses_stays_off(capsys: pytest.CaptureFixture[str]) -> None:
    setup("DEBUG")
    logging.getLogger("aiohttp.access").info("203.0.113.9 GET /")

    assert written(capsys) == ""


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("", "unknown"),
        ("/run/nginx.sock", "unknown"),
        ("203.0.113.9, 10.0.0.1", "unknown"),
        ("203.0.113.9:4711", "unknown"),
        ("\udcff", "unknown"),
    ],
)
def test_an_address_names_nobody(address: str, masked: str) -> None:
    assert mask_address(address) == masked


def test_outside_a_request_the_id_is_a_dash() -> None:
    assert logs.request_id.get() == "-"


def test_what_goes_into_the_ledger_is_never_written(capsys: pytest.CaptureFixture[str]) -> None:
    setup("DEBUG")

    with create_engine("sqlite://").connect() as connection:
        connection.execute(text("SELECT :address"), {"address": "a@b.example"}).all()

    assert "a@b.example" not in written(capsys)


def test_a_library_that_looks_for_a_broker_again_and_again_says_nothing_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup("INFO")

    logging.getLogger("aiokafka.producer.sender").error("Unable connect to node with id 1")

    assert written(capsys) == ""
