"""What ctl prints is what the listener told."""

from typing import Any

import pytest
from rich.console import Console

from waitroom.cli import ctl_tables
from waitroom.cli.ctl_tables import changed, duration, number, outcome


def room(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "room": "drop",
        "phase": "open",
        "waiting": 1200,
        "outstanding": 3,
        "sessions": 40,
        "total_active_users": 500,
        "admitted": 77,
        "rate_per_minute": 600.0,
        "message": "",
        "figures": {"admitted_last_minute": 9, "limit": "rate", "through_at_rate_s": 120},
    }
    return told | changes


def everything(*rooms: dict[str, Any], is_up: bool = True, workers: int | None = 2) -> dict[str, Any]:
    return {"rooms": list(rooms), "redis": {"is_up": is_up}, "edge": {"workers": workers}}


def printed(table: Any) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_a_room_stands_in_one_row() -> None:
    row = printed(ctl_tables.rooms(everything(room()))).splitlines()[1]

    assert " ".join(row.split()) == "drop open 1,200 3 40 of 500 77 9 600 2 min the rate"


def test_markup_in_a_message_is_printed_as_it_is() -> None:
    assert "[red]now[/red]" in printed(ctl_tables.rooms(everything(room(message="[red]now[/red]"))))


def test_what_is_wrong_stands_first() -> None:
    lines = printed(ctl_tables.rooms(everything(room(), is_up=False, workers=0))).splitlines()

    assert lines[0].startswith("Redis does not answer")
    assert lines[1].startswith("no worker")


def test_the_audit_says_when_who_what_and_why() -> None:
    entry = {"at_ms": 0, "who": "Ada", "what": "rate", "value": "900.0", "before": "600.0", "why": "air"}

    told = printed(ctl_tables.audit({"room": "drop", "entries": [entry]}))

    assert told.splitlines()[1].split("  ") == ["1970-01-01 00:00:00", "Ada", "rate 600 → 900", "air"]
    assert "nobody has changed drop" in printed(ctl_tables.audit({"room": "drop", "entries": []}))


@pytest.mark.parametrize(
    ("what", "value", "before", "told"),
    [
        ("cap", "400", "500", "cap 500 → 400"),
        ("rate", "0.2", "", "rate 0.2"),
        ("message", "hello", "", "message: hello"),
        ("message", "", "hello", "message taken away"),
        ("pause", "", "running", "pause"),
    ],
)
def test_a_change_is_told_in_words(what: str, value: str, before: str, told: str) -> None:
    assert changed({"what": what, "value": value, "before": before}) == told


@pytest.mark.parametrize(
    ("what", "after", "told"),
    [
        ("rate", {"rate_per_minute": 0.2}, "drop: rate 600 → 0.2 a minute, 1,200 waiting, through in 2 min"),
        ("cap", {"total_active_users": 1000}, "drop: cap 500 → 1,000, 40 inside"),
        ("pause", {"phase": "paused"}, "drop: open → paused, 1,200 waiting"),
        ("message", {"message": "hello"}, "drop: 1,200 waiting read: hello"),
        ("message", {}, "drop: message taken away"),
    ],
)
def test_an_outcome_is_one_line(what: str, after: dict[str, Any], told: str) -> None:
    assert outcome(what, room(), room(**after)) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, "-"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (3600, "1 h"), (4830, "1 h 21 min")],
)
def test_a_time_is_told_as_people_say_it(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


def test_a_number_has_its_thousands_apart() -> None:
    assert [number(value) for value in (0.2, 600.0, 1234567)] == ["0.2", "600", "1,234,567"]


@pytest.mark.parametrize(
    ("circuit", "line"),
    [
        ("closed", "drop: the shop is slow; 150 a minute are let in for now"),
        ("open", "drop: the shop does not answer; nobody is let in until it does"),
        ("half_open", "drop: the shop answers again and is tried with a few"),
    ],
)
def test_a_shop_that_suffers_has_a_line_of_its_own(circuit: str, line: str) -> None:
    told = room(health={"ratio": 0.25, "circuit": circuit}, effective_rate_per_minute=150.0)

    assert line in printed(ctl_tables.rooms(everything(told)))


def test_each_lane_has_a_row_where_there_is_more_than_one() -> None:
    lanes = {"main": {"waiting": 1_100}, "slow": {"waiting": 100}}
    one = printed(ctl_tables.rooms(everything(room(lanes={"main": {"waiting": 1_200}}))))
    several = printed(ctl_tables.rooms(everything(room(lanes=lanes))))

    assert "main" not in one
    assert [line.split() for line in several.splitlines() if "main" in line or "slow" in line] == [
        ["main", "1,100"],
        ["slow", "100"],
    ]


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (
            1,
            "1 dead letter: a confirmation that the till has given up; `python -m inventory_backend dead-letters` ",
        ),
        (1200, "1,200 dead letters: confirmations that the till has given up; "),
    ],
)
def test_what_the_till_has_given_up_stands_below(count: int, line: str) -> None:
    told = everything(room())

    assert "dead letter" not in printed(ctl_tables.rooms(told))
    told["edge"]["dead_letters"] = count
    assert line in printed(ctl_tables.rooms(told))


def test_an_outage_is_told_in_words() -> None:
    entry = {"what": "circuit", "value": "open", "before": "closed"}

    assert changed(entry) == "shop is down"
    assert changed(entry | {"value": "closed"}) == "shop is back"


def test_where_many_stay_away_a_line_says_that_more_are_called() -> None:
    line = "drop: 62% of those called come in; so many more are called"

    assert line in printed(ctl_tables.rooms(everything(room(show_up_ratio=0.62))))
    assert line not in printed(ctl_tables.rooms(everything(room(show_up_ratio=0.999))))


def test_what_the_shop_has_left_stands_below() -> None:
    line = "drop: the shop has 1,040 left, and 3 that may come back"
    figures = {"admitted_last_minute": 9, "limit": "stock", "through_at_rate_s": None}
    short = printed(ctl_tables.rooms(everything(room(stock={"left": 1040, "held": 3}, figures=figures))))

    assert line in short
    assert "the stock: it may be gone" in short
    assert "the shop has" not in printed(ctl_tables.rooms(everything(room(stock=None))))
