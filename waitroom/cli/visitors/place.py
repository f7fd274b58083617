"""What somebody who waits can tell of their own place, from the ticket and everybody's pulse."""

from collections.abc import Mapping
from typing import Any

from waitroom.cli.visitors.site import Answer
from waitroom.rules.scores import draw_score, turn


class Place:
    """What a member knows of its place: the ticket, and what everybody's pulse says."""

    def __init__(self, joined: Answer) -> None:
        """Keep what registering said; `score` is null while the draw is secret."""
        self._ticket_id = str(joined.get("ticket_id"))
        self._lane = str(joined.data.get("lane", "main"))
        self._score = joined.data.get("score")
        self._place = joined.data.get("place")
        self._generation: object = None

    def is_of_earlier_life(self, pulse: Mapping[str, Any]) -> bool:
        """Return whether the room has lost its memory since the last pulse: then a ticket is to be shown again."""
        before, self._generation = self._generation, pulse.get("generation")
        return before is not None and before != self._generation

    def is_called(self, pulse: Mapping[str, Any]) -> bool:
        """Return whether the serving threshold has reached the ticket."""
        lane = self._lane_of(pulse)
        if self._score is None and pulse.get("seed"):
            self._score = draw_score(bytes.fromhex(pulse["seed"]), self._ticket_id)
        if self._score is None or lane.get("serving") is None or pulse.get("phase") == "prequeue":
            return False
        return turn(float(self._score), float(pulse.get("spin") or 0)) <= float(lane["serving"])

    def next_poll_s(self, pulse: Mapping[str, Any], chance: float) -> float:
        """Return when to ask again, by the rule of the page: expected wait / divisor, within bounds, with jitter."""
        poll = pulse.get("poll") or {"floor_ms": 1000, "ceiling_ms": 20000, "divisor": 10}
        before_ms = (pulse.get("starts_ms") or 0) - pulse.get("server_ms", 0)
        is_before = pulse.get("phase") == "prequeue" and before_ms > 0
        wanted_ms = before_ms / poll["divisor"] if is_before else self._expected_ms(pulse) / poll["divisor"]
        next_ms = max(poll["floor_ms"], min(wanted_ms, poll["ceiling_ms"]) * (0.85 + 0.3 * chance))
        if is_before:
            next_ms = min(next_ms, before_ms + 2000 * chance)
        return float(next_ms) / 1000

    def _expected_ms(self, pulse: Mapping[str, Any]) -> float:
        lane, rate = self._lane_of(pulse), pulse.get("rate_per_minute") or 0
        if self._score is not None and 0 <= self._score < 1:
            moved = turn(float(self._score), float(pulse.get("spin") or 0)) * (lane["called"] + lane["waiting"])
            ahead = moved - lane["called"]
        else:
            ahead = self._place or lane["waiting"]
        return max(0.0, ahead) / rate * 60_000 if rate else float("inf")

    def _lane_of(self, pulse: Mapping[str, Any]) -> Mapping[str, Any]:
        lanes = pulse.get("lanes") or {}
        found: Mapping[str, Any] = lanes.get(self._lane) or {"serving": None, "called": 0, "waiting": 0}
        return found
