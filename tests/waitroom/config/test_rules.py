"""What the configuration says reaches the rules."""

import pytest

from waitroom.config import build, room_rules
from waitroom.rules.beacons import NO_BEACON, Beacon, BeaconKind
from waitroom.rules.health import HealthRules
from waitroom.rules.rooms import Queueing, Schedule


@pytest.mark.parametrize("method", ["fifo", "random", "hybrid", "passthrough", "reject"])
def test_the_configuration_becomes_rules(method: str) -> None:
    event = {
        "name": "opening",
        "prequeue_start_time": "2026-11-28T09:00:00Z",
        "event_start_time": "2026-11-28T10:00:00Z",
        "event_end_time": "2026-11-28T12:00:00Z",
    }
    room = {"name": "drop", "paths": ["/"], "queueing_method": method, "session_duration": "7m", "events": [event]}
    config = build({"upstreams": [{"name": "s", "url": "http://127.0.0.1:9"}], "rooms": [room]}, {})

    rules = room_rules(config.rooms[0])
    assert rules.queueing is Queueing(method)
    assert rules.session_duration_ms == 420_000
    assert rules.renews_sessions
    start = 1_795_860_000_000
    assert rules.events == (Schedule("opening", start - 3_600_000, start, start + 7_200_000),)


def test_health_feedback_is_off_until_it_has_a_target() -> None:
    room = {"name": "drop", "paths": ["/"]}
    upstreams = [{"name": "s", "url": "http://127.0.0.1:9"}]
    told = {"target_ttfb": "400ms", "window": "20s", "rate_floor_per_minute": 3.0, "health_path": "/healthy"}

    assert room_rules(build({"upstreams": upstreams, "rooms": [room]}, {}).rooms[0]).health is None
    watched = room_rules(build({"upstreams": upstreams, "rooms": [room | {"health": told}]}, {}).rooms[0])
    assert watched.health == HealthRules(400, window_ms=20_000, rate_floor_per_minute=3.0, health_path="/healthy")


def test_a_draw_rests_on_its_seed_until_a_beacon_is_named() -> None:
    room = {"name": "drop", "paths": ["/"], "queueing_method": "random"}
    upstreams = [{"name": "s", "url": "http://127.0.0.1:9"}]
    told = {"kind": "drand", "period": "30s", "beacon_timeout": "2m", "delay": "0s"}

    plain = room_rules(build({"upstreams": upstreams, "rooms": [room]}, {}).rooms[0]).beacon
    assert plain.kind is BeaconKind.NONE
    assert plain.awaited_until_ms(5) == NO_BEACON.awaited_until_ms(5)
    turned = room_rules(build({"upstreams": upstreams, "rooms": [room | {"beacon": told}]}, {}).rooms[0]).beacon
    chain = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
    assert turned == Beacon(BeaconKind.DRAND, chain, 1_692_803_367_000, 30_000, delay_ms=0, timeout_ms=120_000)
