"""Every script we ship can be loaded, and the loader says so when one cannot."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from waitroom.kernel import scripts
from waitroom.kernel.assets import folder
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.scripts import load_script

LUA = Path(str(folder("lua")))
SHIPPED = sorted(
    path.relative_to(LUA).with_suffix("").as_posix() for path in LUA.rglob("*.lua") if path.parent.name != "shared"
)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder from which scripts are loaded instead of ours."""
    monkeypatch.setattr(scripts, "folder", lambda _: tmp_path)
    load_script.cache_clear()
    (tmp_path / "a").mkdir()
    yield tmp_path
    load_script.cache_clear()


def test_a_script_brings_its_header() -> None:
    script = load_script("limits/take")

    assert (script.name, script.keys, script.args) == ("limits/take", ("meter",), ("rate", "burst", "cost", "now"))


@pytest.mark.parametrize("name", SHIPPED)
async def test_every_script_is_one_that_redis_can_read(redis: ScriptRunner, name: str) -> None:
    script = load_script(name)

    assert await redis.client.script_load(script.source) == script.sha
    assert not re.search(r"^ *-- @include", script.source, re.MULTILINE)


@pytest.mark.parametrize("name", SHIPPED)
def test_no_local_of_a_script_is_defined_twice_by_its_includes(name: str) -> None:
    found = re.findall(r"^local function (\w+)", load_script(name).source, re.MULTILINE)

    assert len(found) == len(set(found))


def test_an_include_stands_where_it_was_asked_for(shelf: Path) -> None:
    (shelf / "a/one.lua").write_text("local x = 1\n-- @include a/two\nreturn x + y\n")
    (shelf / "a/two.lua").write_text("local y = 2")

    assert load_script("a/one").source == "local x = 1\nlocal y = 2\nreturn x + y\n"


def test_an_include_may_stand_in_a_block(shelf: Path) -> None:
    (shelf / "a/one.lua").write_text("if x then\n  -- @include a/two\n  y()\nend\n")
    (shelf / "a/two.lua").write_text("local function y() end\n")

    assert load_script("a/one").source == "if x then\nlocal function y() end\n  y()\nend\n"


def test_an_include_may_include_and_stands_once(shelf: Path) -> None:
    (shelf / "a/one.lua").write_text("-- @include a/two\n-- @include a/three\nreturn y + z\n")
    (shelf / "a/two.lua").write_text("-- @include a/three\nlocal y = z\n")
    (shelf / "a/three.lua").write_text("local z = 3\n")

    assert load_script("a/one").source.count("local z = 3") == 1


def test_a_ring_of_includes_ends(shelf: Path) -> None:
    (shelf / "a/one.lua").write_text("-- @include a/two\nreturn 1\n")
    (shelf / "a/two.lua").write_text("-- @include a/one\n")

    assert load_script("a/one").source.count("return 1") <= 2


@pytest.mark.parametrize("name", ["a/none", "a/asks"])
def test_what_is_missing_is_a_plain_fault(shelf: Path, name: str) -> None:
    (shelf / "a/asks.lua").write_text("-- @include a/none\n")

    with pytest.raises(FileNotFoundError):
        load_script(name)


def test_the_header_of_an_include_is_not_the_script_s(shelf: Path) -> None:
    (shelf / "a/one.lua").write_text("-- KEYS[1]  own  hash\n-- @include a/two\nreturn 1\n")
    (shelf / "a/two.lua").write_text("-- KEYS[2]  foreign  hash\n-- ARGV[1]  x  text\n")
    script = load_script("a/one")

    assert (script.keys, script.args) == (("own",), ())


@pytest.mark.parametrize(
    "header", ["-- KEYS[2]  a  hash\n", "-- KEYS[1]  a  hash\n-- KEYS[3]  b  hash\n", "-- ARGV[1]  a  ms\n" * 2]
)
def test_a_header_that_does_not_count_is_a_fault(shelf: Path, header: str) -> None:
    (shelf / "a/one.lua").write_text(f"{header}return 1\n")

    with pytest.raises(ValueError, match="a/one: the header numbers"):
        load_script("a/one")
