"""The rooms as Prometheus sees them."""

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.snapshots import snapshot
from waitroom.console.metrics import RoomsCollector
from waitroom.rules.health import Circuit, Health
from waitroom.rules.rooms import LaneState, Phase
from waitroom.rules.stock import Stock

ROOM = replace(
    snapshot(phase=Phase.PAUSED, rate_per_minute=0.2),
    lanes={"main": LaneState(0.5, 40, 100), "slow": LaneState(None, 2, 20)},
    total_active_users=50,
    sessions=7,
    outstanding=3,
    admitted=33,
    lapsed=2,
    show_up_ratio=0.75,
)

STATES = {"waitroom_phase", "waitroom_circuit"}


def told(collector: RoomsCollector) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(collector)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_every_figure_of_a_room_is_told() -> None:
    found = told(RoomsCollector([ROOM], store_is_up=True))

    assert {name: value for name, value in found.items() if name[0] not in STATES} == {
        ("waitroom_redis_up",): 1,
        ("waitroom_waiting", "drop"): 120,
        ("waitroom_outstanding_calls", "drop"): 3,
        ("waitroom_sessions", "drop"): 7,
        ("waitroom_total_active_users", "drop"): 50,
        ("waitroom_rate_per_minute", "drop"): 0.2,
        ("waitroom_effective_rate_per_minute", "drop"): 0.2,
        ("waitroom_health_ratio", "drop"): 1,
        ("waitroom_called_total", "drop"): 42,
        ("waitroom_lane_waiting", "drop", "main"): 100,
        ("waitroom_lane_waiting", "drop", "slow"): 20,
        ("waitroom_lane_called_total", "drop", "main"): 40,
        ("waitroom_lane_called_total", "drop", "slow"): 2,
        ("waitroom_admitted_total", "drop"): 33,
        ("waitroom_lapsed_total", "drop"): 2,
        ("waitroom_show_up_ratio", "drop"): 0.75,
    }


def test_exactly_one_phase_holds() -> None:
    found = told(RoomsCollector([ROOM], store_is_up=True))

    phases = {name: value for name, value in found.items() if name[0] == "waitroom_phase"}
    assert len(phases) == len(Phase)
    assert [name for name, value in phases.items() if value] == [("waitroom_phase", "drop", "paused")]


def test_a_stock_is_told_where_the_store_says_it() -> None:
    found = told(RoomsCollector([replace(ROOM, stock=Stock(40, 3, 12)), replace(ROOM, room="other")], store_is_up=True))

    assert {name: value for name, value in found.items() if "stock" in name[0]} == {
        ("waitroom_stock_left", "drop"): 40,
        ("waitroom_stock_held", "drop"): 3,
    }


def test_without_redis_there_is_no_figure_that_could_be_taken_for_one() -> None:
    assert told(RoomsCollector([], store_is_up=False)) == {("waitroom_redis_up",): 0}


def test_a_store_that_suffers_has_its_own_metrics() -> None:
    slowed = replace(ROOM, rate_per_minute=600.0, health=Health(0.25, Circuit.HALF_OPEN, 0, 150.0))
    found = told(RoomsCollector([slowed], store_is_up=True))

    assert found["waitroom_rate_per_minute", "drop"] == 600
    assert found["waitroom_effective_rate_per_minute", "drop"] == 150
    assert found["waitroom_health_ratio", "drop"] == 0.25
    states = {word: found["waitroom_circuit", *sorted(["drop", word])] for word in ("closed", "open", "half_open")}
    assert states == {"closed": 0, "open": 0, "half_open": 1}
