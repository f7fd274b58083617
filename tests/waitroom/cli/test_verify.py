"""`waitroom verify` and the verifier of fifty lines: what they say, and how they end."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.draws import called_one_by_one, draw_of, service_of, tickets, wheel_of
from waitroom.__main__ import main
from waitroom.cli.verify import ticket_id_of
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.tokens import Keys, Ticket, TicketSigner
from waitroom.rules.beacons import Beacon, BeaconKind, SpinSource, manual, unspun
from waitroom.rules.proofs import proof_document, ticket_document

IDS = tickets(40)
WHEEL = wheel_of(IDS)
SOURCE = manual("3 17 28")
FIRST = service_of(IDS, SOURCE.spin)[0]
ALONE = Path(__file__).parents[3] / "docs" / "verify_draw.py"


def proof(source: SpinSource = SOURCE, ticket_id: str = FIRST) -> dict[str, Any]:
    found = ticket_document(draw_of(WHEEL, source), WHEEL, ticket_id, called_one_by_one(IDS, source.spin))
    assert found
    return found


def written(tmp_path: Path, document: object) -> str:
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_a_true_ticket_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--ticket", FIRST, "--proof", written(tmp_path, proof())]) == 0

    told = capsys.readouterr().out
    assert "the draw of drop, opening" in told
    assert "✓ commitment" in told
    assert "place 1 of the draw" in told
    assert told.endswith("Everything fits.\n")


def test_a_forged_proof_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, proof() | {"commitment": "00" * 32})

    assert main(["verify", "--ticket", FIRST, "--proof", path]) == 1
    told = capsys.readouterr().out
    assert "✗ commitment" in told
    assert "NOT what was promised" in told


def test_what_is_not_out_yet_is_not_called_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, proof_document(draw_of(WHEEL), []))

    assert main(["verify", "--ticket", FIRST, "--proof", path]) == 3
    assert "not everything is out yet" in capsys.readouterr().out


def test_a_script_reads_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--ticket", FIRST, "--proof", written(tmp_path, proof()), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert {check["outcome"] for check in told} == {"fits"}
    assert "call" in {check["check"] for check in told}


@pytest.mark.parametrize(
    "text", ["", "nothing", "[]", "{}", '{"room": 1}', json.dumps(proof() | {"seed": "xx"}), "[" * 5000]
)
def test_what_is_no_proof_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "proof.json"
    path.write_text(text)

    assert main(["verify", "--ticket", FIRST, "--proof", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("--proof: ")
    assert "Traceback" not in told


def test_a_file_that_is_not_there_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--ticket", FIRST, "--proof", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_ticket_itself_will_do(keys: Keys) -> None:
    signer = TicketSigner(keys)

    assert ticket_id_of(signer.sign(Ticket("drop", "opening", "main", FIRST, 1, None))) == FIRST
    assert ticket_id_of(signer.sign(Ticket("d" * 32, "o" * 32, "main", FIRST, 1, None))) == FIRST
    assert ticket_id_of(FIRST) == FIRST


@pytest.mark.parametrize("text", ["", "ä", "a.b", "..", ".x.y", "W10.x", "eyJhIjoxfQ.x"])
def test_what_is_no_ticket_is_refused(text: str) -> None:
    with pytest.raises(ConfigFault):
        ticket_id_of(text)


# Over HTTP


@pytest.fixture
async def served() -> AsyncIterator[tuple[str, list[str]]]:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query_string)
        ticket_id = request.query.get("ticket_id")
        if ticket_id is None:
            return web.json_response(proof_document(draw_of(WHEEL), []))
        return web.json_response(proof() if ticket_id == FIRST else {}, status=200 if ticket_id == FIRST else 404)

    app = web.Application()
    app.router.add_get("/proof", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("/proof")), asked


async def verified(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "waitroom", "verify", *arguments]
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told, _ = await child.communicate()
    return child.returncode or 0, told.decode()


async def test_from_a_url_the_ticket_is_asked_for(served: tuple[str, list[str]]) -> None:
    url, asked = served

    assert (await verified("--ticket", FIRST, "--proof", url))[0] == 0
    assert asked == [f"ticket_id={FIRST}"]


async def test_who_is_not_in_the_draw_sees_the_proof_of_everybody(served: tuple[str, list[str]]) -> None:
    url, asked = served

    assert (await verified("--ticket", "stranger", "--proof", url))[0] == 3
    assert asked == ["ticket_id=stranger", ""]
    code, told = await verified("--ticket", FIRST, "--proof", url.replace("/proof", "/nothing"))
    assert (code, "status 404" in told) == (2, True)
    code, told = await verified("--ticket", FIRST, "--proof", "http://127.0.0.1:9/proof")
    assert (code, "does not answer" in told) == (2, True)


# The one that needs nothing of ours


def alone(path: str, ticket_id: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-I", str(ALONE), path, ticket_id], capture_output=True, text=True, timeout=30
    )
    return ran.returncode, ran.stdout


@pytest.mark.parametrize("source", [SOURCE, unspun(Beacon(BeaconKind.DRAND, "ab"), 0)])
def test_fifty_lines_accept_a_true_ticket(tmp_path: Path, source: SpinSource) -> None:
    for ticket_id in IDS[:3]:
        code, told = alone(written(tmp_path, proof(source, ticket_id)), ticket_id)
        assert (code, told.count("ok"), told.count("WRONG")) == (0, 8, 0), told


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "11" * 32},
        {"spin": 0.25},
        {"spin": 0.0, "spin_source": SpinSource(BeaconKind.DRAND).document()},
        {"roster": {"count": 40, "merkle_root": "00" * 32}},
        {"ticket": proof()["ticket"] | {"turn": 0.5}},
        {"ticket": proof()["ticket"] | {"called_at_ms": 7}},
        {"ticket": proof()["ticket"] | {"inclusion": {"index": 39, "path": WHEEL.path(39)}}},
        {"admissions": proof(ticket_id=IDS[3])["admissions"][::-1]},
    ],
)
def test_fifty_lines_find_a_forgery(tmp_path: Path, change: dict[str, object]) -> None:
    code, told = alone(written(tmp_path, proof() | change), FIRST)

    assert (code, "WRONG" in told) == (1, True)


def test_it_stays_short_enough_to_be_read() -> None:
    assert len(ALONE.read_text().splitlines()) <= 80
