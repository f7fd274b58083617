"""What `waitroom ctl` prints: rooms and changes as tables, and each change in one line."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Told = dict[str, Any]
_STYLES = {"open": "green", "paused": "yellow", "prequeue": "cyan", "sold_out": "yellow", "ended": "dim"}
_LIMITS = {
    "rate": "the rate",
    "cap": "the cap: it is full",
    "health": "the shop: it is slow or down",
    "stock": "the stock: it may be gone",
    "nobody": "nobody is waiting",
    "closed": "nobody is called",
}


def rooms(told: Told) -> RenderableType:
    """Return all rooms as a table, with what is wrong above it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("room")
    table.add_column("phase")
    for name in ("waiting", "called", "inside", "admitted", "last min", "rate/min", "through in"):
        table.add_column(name, justify="right")
    table.add_column("held back by")
    for room in told["rooms"]:
        table.add_row(*_row(room))
        for name, lane in _lanes(room):
            table.add_row(Text(f"  {name}", style="dim"), "", f"{lane['waiting']:,}", style="dim")
    lines: list[RenderableType] = [*_troubles(told), table]
    lines += [Text(f"{room['room']} tells the line: {room['message']}") for room in told["rooms"] if room["message"]]
    lines += [Text(_suffering(room), style="yellow") for room in told["rooms"] if room.get("health")]
    lines += [Text(_left(room)) for room in told["rooms"] if room.get("stock")]
    lines += [Text(_staying_away(room)) for room in told["rooms"] if round(room.get("show_up_ratio", 1) * 100) < 100]
    return Group(*lines)


def audit(told: Told) -> RenderableType:
    """Return the changes of one room as a table, newest first."""
    if not told["entries"]:
        return Text(f"nobody has changed {told['room']} yet")
    table = Table("when (UTC)", "who", "what", "why", box=None, pad_edge=False, header_style="bold")
    for entry in told["entries"]:
        when = datetime.fromtimestamp(entry["at_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(when, *(Text(text) for text in (entry["who"], changed(entry), entry["why"])))
    return table


def changed(entry: Told) -> str:
    """Return one change in words."""
    match entry["what"]:
        case "rate" | "cap" as what:
            before = f"{number(float(entry['before']))} → " if entry["before"] else ""
            return f"{what} {before}{number(float(entry['value']))}"
        case "message":
            return f"message: {entry['value']}" if entry["value"] else "message taken away"
        case "circuit":
            return "shop is down" if entry["value"] == "open" else "shop is back"
        case "spin" | "revoke" as what:
            return f"{what}: {entry['value']}"
        case what:
            return str(what)


_SAID = {
    "close": "closed to everybody until it is resumed",
    "open-all": "open to everybody for that time, or until it is resumed",
    "revoke-all": "every pass revoked",
    "revoke": "that session is over",
}


def outcome(what: str, before: Told, after: Told) -> str:
    """Return in one line what a change did."""
    name, people = after["room"], f"{after['waiting']:,} waiting"
    match what:
        case "rate":
            rates = f"{number(before['rate_per_minute'])} → {number(after['rate_per_minute'])}"
            return f"{name}: rate {rates} a minute, {people}{_through(after)}"
        case "cap":
            caps = f"{number(before['total_active_users'])} → {number(after['total_active_users'])}"
            return f"{name}: cap {caps}, {after['sessions']:,} inside"
        case "message":
            return f"{name}: {people} read: {after['message']}" if after["message"] else f"{name}: message taken away"
        case "close" | "open-all" | "revoke-all":
            return f"{name}: {_SAID[what]}; {before['sessions']:,} were inside"
        case "spin":
            return f"{name}: the draw is turned by {after['spin']:.6f}, {people}"
        case _:
            return f"{name}: {before['phase']} → {after['phase']}, {people}"


def number(value: float) -> str:
    """Return a number as people write it: 1,200 or 0.2."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,g}"


def duration(seconds: float | None) -> str:
    """Return a time as people say it, in its two largest units at most."""
    if seconds is None:
        return "-"
    minutes, s = divmod(round(seconds), 60)
    if minutes < 2:
        return f"{round(seconds)} s"
    hours, m = divmod(minutes + (s >= 30), 60)
    return f"{m} min" if not hours else f"{hours} h {m} min" if m else f"{hours} h"


def _row(room: Told) -> list[RenderableType]:
    figures = room["figures"]
    through = duration(figures["through_at_rate_s"]) if room["waiting"] else "-"
    return [
        Text(room["room"], style="bold"),
        Text(room["phase"], style=_STYLES.get(room["phase"], "")),
        f"{room['waiting']:,}",
        f"{room['outstanding']:,}",
        f"{room['sessions']:,} of {room['total_active_users']:,}",
        f"{room['admitted']:,}",
        f"{figures['admitted_last_minute']:,}",
        number(room["rate_per_minute"]),
        through,
        Text(_LIMITS.get(figures["limit"], figures["limit"])),
    ]


def _left(room: Told) -> str:
    return (
        f"{room['room']}: the shop has {room['stock']['left']:,} left, and {room['stock']['held']:,} that may come back"
    )


def _staying_away(room: Told) -> str:
    return f"{room['room']}: {room['show_up_ratio']:.0%} of those called come in; so many more are called"


def _lanes(room: Told) -> list[tuple[str, Told]]:
    """Return the lanes of a room, where it has more of them than main."""
    lanes = list(room.get("lanes", {}).items())
    return lanes if len(lanes) > 1 else []


def _suffering(room: Told) -> str:
    match room["health"]["circuit"]:
        case "open":
            return f"{room['room']}: the shop does not answer; nobody is let in until it does"
        case "half_open":
            return f"{room['room']}: the shop answers again and is tried with a few"
        case _:
            now = number(round(room["effective_rate_per_minute"], 1))
            return f"{room['room']}: the shop is slow; {now} a minute are let in for now"


def _troubles(told: Told) -> list[Text]:
    troubles = []
    if not told["redis"]["is_up"]:
        troubles.append(Text("Redis does not answer: these are the last figures known", style="bold red"))
    if told["edge"].get("workers") == 0:
        troubles.append(Text("no worker is serving shoppers", style="bold red"))
    if dead := told["edge"].get("dead_letters", 0):
        letters = f"{dead:,} dead letters: confirmations" if dead > 1 else "1 dead letter: a confirmation"
        listing = "`python -m inventory_backend dead-letters`"
        troubles.append(Text(f"{letters} that the till has given up; {listing} lists them", style="bold red"))
    return troubles


def _through(room: Told) -> str:
    through_s = room["figures"]["through_at_rate_s"]
    return f", through in {duration(through_s)}" if room["waiting"] and through_s is not None else ""
