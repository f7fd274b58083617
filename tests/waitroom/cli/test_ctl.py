"""`waitroom ctl`, against the real console on a real Valkey."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from tests.fakes import FakeClock
from waitroom.__main__ import main
from waitroom.console.door import Console
from waitroom.console.guard import Guard
from waitroom.console.sign_ins import Role
from waitroom.kernel.pages import Pages
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.beacons import Beacon, BeaconKind, manual
from waitroom.rules.rooms import Phase, Queueing, RoomRules, Schedule
from waitroom.store.audit import Audit
from waitroom.store.rooms import Rooms

Ctl = Callable[..., Awaitable[int]]
TOKEN = "the-operator-token"


@pytest.fixture
def rooms(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> Rooms:
    return Rooms(redis, [RoomRules("drop"), RoomRules("other")], keys, clock)


@pytest.fixture
async def url(redis: ScriptRunner, rooms: Rooms, keys: Keys, clock: FakeClock) -> AsyncIterator[str]:
    guard = Guard({Role.OPERATOR: TOKEN, Role.VIEWER: "the-viewer-token"}, keys, clock)
    async with TestServer(Console(rooms, Audit(redis), guard, Pages(), clock).application()) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def ctl(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ctl:
    """Run the command as somebody who has the token and stands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAITROOM_CONSOLE_TOKEN", TOKEN)
    monkeypatch.setenv("WAITROOM_OPS_URL", url)

    async def run(*words: str) -> int:
        return await asyncio.to_thread(main, ["ctl", *words])

    return run


async def test_status_shows_every_room_or_one(ctl: Ctl, capsys: pytest.CaptureFixture[str]) -> None:
    assert await ctl("status") == 0
    every = capsys.readouterr().out
    assert await ctl("status", "other") == 0
    one = capsys.readouterr().out

    assert "drop" in every
    assert "other" in every
    assert "drop" not in one


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rate", "drop", "90"], "drop: rate 600 → 90 a minute"),
        (["cap", "drop", "7", "--why", "slow till"], "drop: cap 500 → 7"),
        (["message", "drop", "hello"], "0 waiting read: hello"),
        (["pause", "drop"], "idle → paused"),
        (["resume", "drop"], "idle → idle"),
        (["end", "drop"], "idle → ended"),
        (["sold-out", "drop"], "idle → sold_out"),
        (["close", "drop"], "drop: closed to everybody"),
        (["open-all", "drop", "--until", "10m"], "drop: open to everybody"),
        (["revoke-all", "drop"], "drop: every pass revoked; 0 were inside"),
    ],
)
async def test_a_change_is_made_and_told(
    words: list[str], told: str, ctl: Ctl, capsys: pytest.CaptureFixture[str], redis: ScriptRunner
) -> None:
    assert await ctl(*words) == 0

    assert told in capsys.readouterr().out
    assert (await Audit(redis).read("drop"))[0].what == words[0]


async def test_invites_are_printed_one_a_line_and_are_good(
    ctl: Ctl, capsys: pytest.CaptureFixture[str], rooms: Rooms
) -> None:
    words = ["invite", "drop", "--event", "always", "--count", "3", "--until", "48h", "--why", "press"]
    assert await ctl(*words) == 0

    codes = capsys.readouterr().out.split()
    assert len(set(codes)) == 3
    assert {rooms.invites.read(code, room="drop", event="always").lane for code in codes} == {"priority"}


async def test_the_draw_is_turned_before_a_witness_once(
    ctl: Ctl, capsys: pytest.CaptureFixture[str], redis: ScriptRunner, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    opened = Schedule("opening", 1, clock.now_ms() - 60_000, 2**52)
    beacon = Beacon(BeaconKind.MANUAL, timeout_ms=2**50)
    lots = Rooms(redis, [RoomRules("lots", queueing=Queueing.RANDOM, beacon=beacon, events=(opened,))], keys, clock)
    guard = Guard({Role.OPERATOR: TOKEN}, keys, clock)
    async with TestServer(Console(lots, Audit(redis), guard, Pages(), clock).application()) as server:
        monkeypatch.setenv("WAITROOM_OPS_URL", f"http://127.0.0.1:{server.port}")
        first = await ctl("spin", "lots", "3 17 28", "--why", "the notary was there")
        second = await ctl("spin", "lots", "4")
        await ctl("audit", "lots")
    told = capsys.readouterr()

    assert (first, second) == (0, 1)
    assert f"lots: the draw is turned by {manual('3 17 28').spin:.6f}" in told.out
    assert 'The draw goes on already, by "3 17 28"' in told.err
    assert "spin: 3 17 28" in told.out


async def test_what_ctl_changed_holds_for_who_asks_redis(ctl: Ctl, rooms: Rooms) -> None:
    await ctl("rate", "drop", "0.2")

    assert (await rooms.tick("drop")).rate_per_minute == 0.2


async def test_the_audit_names_who_and_why(ctl: Ctl, capsys: pytest.CaptureFixture[str]) -> None:
    await ctl("--name", "Ada", "pause", "drop", "--why", "slow till")
    capsys.readouterr()

    assert await ctl("audit", "drop") == 0

    told = capsys.readouterr().out
    assert "Ada (127.0.0.0/24)" in told
    assert "slow till" in told


async def test_json_is_for_scripts_before_or_after_the_verb(ctl: Ctl, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--json", "status"], ["status", "--json"]):
        assert await ctl(*words) == 0
        assert [room["room"] for room in json.loads(capsys.readouterr().out)["rooms"]] == ["drop", "other"]
    await ctl("cap", "drop", "7", "--json")
    assert json.loads(capsys.readouterr().out)["total_active_users"] == 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rate", "drop", "0"], "a number above 0"),
        (["rate", "drop", "nan"], "a number above 0"),
        (["cap", "drop", "-5"], "a whole number from 0"),
        (["pause", "nowhere"], "There are: drop, other"),
        (["spin", "drop", "3 17"], "Nobody turns the draw of drop by hand"),
        (["status", "nowhere"], "there are: drop, other"),
        (["--ops-url", "http://127.0.0.1:1", "status"], "cannot reach"),
    ],
)
async def test_a_refusal_is_told_in_words_and_nothing_is_changed(
    words: list[str], told: str, ctl: Ctl, capsys: pytest.CaptureFixture[str], redis: ScriptRunner
) -> None:
    assert await ctl(*words) == 1

    assert told in capsys.readouterr().err
    assert await Audit(redis).read("drop") == []


async def test_a_wrong_token_and_none_are_told_apart(
    ctl: Ctl, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITROOM_CONSOLE_TOKEN", "wrong")
    assert await ctl("status") == 1
    assert "does not take this token" in capsys.readouterr().err

    monkeypatch.delenv("WAITROOM_CONSOLE_TOKEN")
    assert await ctl("status") == 2
    assert "WAITROOM_CONSOLE_TOKEN" in capsys.readouterr().err


async def test_the_token_may_come_from_a_private_file_only(
    ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WAITROOM_CONSOLE_TOKEN")
    file = tmp_path / "console-token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o644)
    assert await ctl("status", "--token-file", str(file)) == 2
    assert "others may read it" in capsys.readouterr().err

    file.chmod(0o600)
    assert await ctl("status", "--token-file", str(file)) == 0


async def test_a_demo_in_this_folder_is_found_without_being_told(
    ctl: Ctl, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAITROOM_CONSOLE_TOKEN")
    monkeypatch.delenv("WAITROOM_OPS_URL")
    demo = tmp_path / ".demo"
    demo.mkdir()
    (demo / "console-token").write_text(TOKEN)
    (demo / "console-token").chmod(0o600)
    (demo / "waitroom.toml").write_text(
        f'[ops]\nlisten = "{url.removeprefix("http://")}"\n[secrets]\nconsole_token_file = "console-token"\n'
        '[[upstreams]]\nname = "shop"\nurl = "http://127.0.0.1:9000"\n[[rooms]]\nname = "drop"\npaths = ["/drop/"]\n'
    )

    assert await ctl("status") == 0
    assert await ctl("status", "-c", str(demo / "waitroom.toml")) == 0


async def test_the_token_of_a_demo_is_not_sent_to_another_machine(
    ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WAITROOM_CONSOLE_TOKEN")
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "console-token").write_text(TOKEN)
    (tmp_path / ".demo" / "console-token").chmod(0o600)

    assert await ctl("status", "--ops-url", "http://ops.example:8081") == 2
    assert "console token" in capsys.readouterr().err


async def test_an_address_that_is_none_is_refused_before_anything_is_sent(ctl: Ctl) -> None:
    assert await ctl("status", "--ops-url", "ftp://127.0.0.1") == 2


@pytest.mark.parametrize(("typed", "phase"), [("drop", Phase.ENDED), ("dorp", Phase.IDLE)])
async def test_a_person_is_asked_back_before_the_end(
    typed: str, phase: Phase, ctl: Ctl, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _asked: typed)

    await ctl("end", "drop")

    assert (await rooms.tick("drop")).phase is phase
