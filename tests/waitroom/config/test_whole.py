"""The configuration: what is sound is read, what is not is named, and the shipped file says the defaults."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from waitroom.config import Config, Room, Upstream, build, read
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.units import Address
from waitroom.rules.rooms import Queueing

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "config" / "waitroom.toml"
GOOD = sorted((ROOT / "tests/config/good").glob("*.toml"))
BAD = sorted((ROOT / "tests/config/bad").glob("*.toml"))


def faults_of(path: Path) -> list[str]:
    with pytest.raises(ConfigFault) as refused:
        read(path, {})
    return refused.value.faults


def slug(fault: str) -> str:
    """Return a fault as it can stand in the name of a file: `rooms[0].name--must-be-1-to-32-of`."""
    at, _, text = fault.partition(": ")
    return "--".join("-".join(re.findall(r"[a-z0-9._\[\]]+", part.lower())) for part in (at, text))


def tables(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield `model` and every model below it."""
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from tables(part)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_sound_file_is_read(path: Path) -> None:
    assert read(path, {}).rooms


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_the_one_fault_it_is_named_after(path: Path) -> None:
    faults = [fault.removeprefix(f"{path}: ") for fault in faults_of(path)]

    assert len(faults) == 1, faults
    assert slug(faults[0]).startswith(path.stem), faults[0]


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "waitroom.toml"
    path.write_text(
        """
        [edge]
        listen = "8080"
        [[rooms]]
        name = "drop"
        paths = ["/drop/"]
        upstream = "shop"
        total_active_users = 0
        poll = { floor = "1m" }
        [[rooms]]
        name = "drop"
        """
    )

    assert [fault.partition(": ")[0] for fault in faults_of(path)] == [
        "edge.listen",
        "upstreams",
        "rooms[0].total_active_users",
        "rooms[0].poll.floor",
        "rooms[1].paths",
        "rooms[1].name",
        "rooms[0].upstream",
    ]


def test_the_shipped_file_says_the_defaults() -> None:
    shipped = read(SHIPPED, {})

    room = Room(name="drop", paths=("/drop/", "/checkout/"))
    store = Upstream(name="store", url="http://127.0.0.1:9000")
    assert shipped == Config(rooms=(room,), upstreams=(store,))


def test_the_shipped_file_names_every_setting_with_a_comment() -> None:
    lines = SHIPPED.read_text().splitlines()

    for table in tables(Config):
        for name, field in table.model_fields.items():
            key = field.validation_alias
            said = [line for line in lines if re.match(rf"(# )?({key} *=|\[\[?(rooms\.)?{key}\]\]?)", line)]
            assert said, f"{table.__name__}.{name} is not in the file"
            assert all(line.startswith(("[", "# [")) or "  # " in line or " # " in line for line in said), said


def test_every_setting_does_something() -> None:
    folder = ROOT / "waitroom"
    modules = [path for path in folder.rglob("*.py") if path.parent.name != "config"] + [folder / "config" / "rules.py"]
    program = "\n".join(path.read_text() for path in modules if path.name != "check.py")

    unread = [name for table in tables(Config) for name in table.model_fields if f".{name}" not in program]
    assert unread == []


def test_the_examples_in_the_documents_are_sound(tmp_path: Path) -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    examples = [(path, text) for path in documents for text in re.findall(r"```toml\n(.*?)```", path.read_text(), re.S)]
    assert examples
    for document, text in examples:
        path = tmp_path / "waitroom.toml"
        path.write_text(text)
        assert read(path, {}).rooms, document


def test_every_setting_says_what_it_does_in_one_sentence() -> None:
    for table in tables(Config):
        for name, field in table.model_fields.items():
            assert field.description and field.description.endswith("."), f"{table.__name__}.{name}"


def test_values_arrive_in_the_units_of_their_names() -> None:
    config = read(ROOT / "tests/config/good/two-rooms.toml", {})

    drop, tickets = config.rooms
    early, late = drop.events
    assert config.edge.listen == Address("::1", 0)
    assert config.edge.max_body_bytes == 65536
    assert config.edge.is_https
    assert drop.session_duration_ms == 5_400_000
    assert drop.new_users_per_minute == 0.2
    assert drop.queueing_method is Queueing.HYBRID
    assert early.event_start_time_ms - early.prequeue_start_time_ms == 3_600_000
    assert early.event_end_time_ms == late.prequeue_start_time_ms == late.event_start_time_ms == 1_795_863_600_000
    assert late.event_end_time_ms % 1000 == 250
    assert config.upstreams[0].url == "https://store.internal:8443"
    assert tickets.queueing_status_code == 503
    assert config.upstreams[2].url == "unix:/run/blog.sock"
    assert config.upstreams[2].connection_lifetime_ms == 10_000
    assert config.routes[0].paths == ("/blog/", "/news/")


def test_a_room_without_an_upstream_goes_to_the_first() -> None:
    config = read(ROOT / "tests/config/good/two-rooms.toml", {})

    drop, tickets = config.rooms
    assert config.upstream_of(None) == config.upstream_of(drop) == config.upstreams[0]
    assert config.upstream_of(tickets) == config.upstreams[1]


def test_the_environment_says_where_redis_is() -> None:
    store = {"name": "store", "url": "http://127.0.0.1:9000"}
    written = {
        "redis": {"url": "redis://file"},
        "upstreams": [store],
        "rooms": [{"name": "drop", "paths": ["/"]}],
    }

    assert build(written, {}).redis.url == "redis://file"
    assert build(written, {"REDIS_URL": "redis://environment"}).redis.url == "redis://environment"
    with pytest.raises(ConfigFault, match="redis://"):
        build(written, {"REDIS_URL": "http://environment"})


def test_files_are_looked_for_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "waitroom.toml"
    smallest = (ROOT / "tests/config/good/smallest.toml").read_text()
    path.write_text('secrets = { file = "secret" }\n' + smallest)

    assert read(path, {}).secrets.file == tmp_path / "secret"


KEYS = sorted({str(field.validation_alias) for table in tables(Config) for field in table.model_fields.values()})
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.datetimes(),
    st.sampled_from(["5m", "1MiB", "drop", "/", "127.0.0.1:80", "[::1]:80", "http://store", "2026-11-28T10:00:00Z"]),
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
)


@settings(deadline=None)  # a busy machine is no fault
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6))
def test_whatever_stands_in_the_file_is_read_or_refused_with_faults(written: dict[str, object]) -> None:
    with suppress(ConfigFault):
        build(written, {})
