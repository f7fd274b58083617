"""Tell Prometheus how every room stands at the instant of the scrape."""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from waitroom.console.figures import waiting
from waitroom.rules.health import Circuit
from waitroom.rules.rooms import LaneState, Phase, Snapshot

Figure = Callable[[Snapshot], float]
_Family = CounterMetricFamily | GaugeMetricFamily


class RoomsCollector(Collector):
    """The rooms as metrics; made for one scrape, out of snapshots taken for it."""

    def __init__(self, snapshots: Sequence[Snapshot], *, store_is_up: bool) -> None:
        """Take what one look at all rooms has found."""
        self._snapshots = snapshots
        self._store_is_up = store_is_up

    def collect(self) -> Iterator[Metric]:
        """Yield one family a figure, one sample a room."""
        yield GaugeMetricFamily("waitroom_redis_up", "Whether Redis answered this scrape.", float(self._store_is_up))
        yield self._gauge("waiting", "Visitors in line, not yet called.", waiting)
        yield self._gauge("outstanding_calls", "Visitors called who have not come in yet.", lambda s: s.outstanding)
        yield self._gauge("sessions", "Visitors inside.", lambda s: s.sessions)
        yield self._gauge("total_active_users", "Visitors inside at most.", lambda s: s.total_active_users)
        yield self._gauge("rate_per_minute", "Admissions a minute at most.", lambda s: s.rate_per_minute)
        yield self._gauge(
            "effective_rate_per_minute",
            "Admissions a minute at most, as the upstream is.",
            lambda s: s.effective_rate_per_minute,
        )
        yield self._gauge("health_ratio", "What health feedback leaves of the rate, 0 to 1.", lambda s: s.health.ratio)
        yield self._states("circuit", "1 for the state of the upstream's circuit.", Circuit, lambda s: s.health.circuit)
        told = "Visitors in a lane, not yet called."
        yield self._lanes(GaugeMetricFamily, "lane_waiting", told, lambda lane: lane.waiting)
        yield self._counter("called", "Visitors called.", lambda s: sum(lane.called for lane in s.lanes.values()))
        yield self._lanes(CounterMetricFamily, "lane_called", "Visitors called in a lane.", lambda lane: lane.called)
        yield self._counter("admitted", "Visitors admitted.", lambda s: s.admitted)
        yield self._counter("lapsed", "Calls that nobody answered in time.", lambda s: s.lapsed)
        yield self._gauge(
            "show_up_ratio", "Share of those called in lane main who come in, as measured.", lambda s: s.show_up_ratio
        )
        yield from self._stock()
        yield self._states("phase", "1 for the phase the room is in, 0 for others.", Phase, lambda s: s.phase)

    def _gauge(self, name: str, told: str, figure: Figure) -> Metric:
        family = GaugeMetricFamily(f"waitroom_{name}", told, labels=["room"])
        for snapshot in self._snapshots:
            family.add_metric([snapshot.room], figure(snapshot))
        return family

    def _counter(self, name: str, told: str, figure: Figure) -> Metric:
        family = CounterMetricFamily(f"waitroom_{name}", told, labels=["room"])
        for snapshot in self._snapshots:
            family.add_metric([snapshot.room], figure(snapshot))
        return family

    def _stock(self) -> Iterator[Metric]:
        """Yield what the stores behind have left; where a store does not say, there is no sample."""
        left = GaugeMetricFamily("waitroom_stock_left", "Units the store has left, as it says.", labels=["room"])
        held = GaugeMetricFamily("waitroom_stock_held", "Units set aside that may come back.", labels=["room"])
        for snapshot in self._snapshots:
            if snapshot.stock is not None:
                left.add_metric([snapshot.room], snapshot.stock.left)
                held.add_metric([snapshot.room], snapshot.stock.held)
        yield left
        yield held

    def _lanes(self, kind: type[_Family], name: str, told: str, figure: Callable[[LaneState], float]) -> Metric:
        family = kind(f"waitroom_{name}", told, labels=["room", "lane"])
        for snapshot in self._snapshots:
            for lane, state in snapshot.lanes.items():
                family.add_metric([snapshot.room, lane], figure(state))
        return family

    def _states(self, name: str, told: str, words: type[StrEnum], state: Callable[[Snapshot], StrEnum]) -> Metric:
        family = GaugeMetricFamily(f"waitroom_{name}", told, labels=["room", name])
        for snapshot in self._snapshots:
            for word in words:
                family.add_metric([snapshot.room, word.value], float(state(snapshot) is word))
        return family
