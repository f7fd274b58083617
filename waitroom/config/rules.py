"""What the configuration of a room says, in the words of the rules."""

from math import inf

from waitroom.config.rooms import Room
from waitroom.rules.beacons import Beacon
from waitroom.rules.health import HealthRules
from waitroom.rules.lanes import LaneTerms
from waitroom.rules.rooms import Polling, Queueing, RoomRules, Schedule
from waitroom.rules.stock import StockRules


def room_rules(room: Room) -> RoomRules:
    """Return what `room` is to its queue."""
    return RoomRules(
        name=room.name,
        queueing=Queueing(room.queueing_method),
        fifo_head=room.fifo_head,
        total_active_users=room.total_active_users,
        new_users_per_minute=room.new_users_per_minute,
        rate_ceiling_per_minute=room.new_users_per_minute_ceiling or inf,
        max_waiting=room.max_waiting,
        session_duration_ms=room.session_duration_ms,
        renews_sessions=not room.disable_session_renewal,
        claim_window_ms=room.claim_window_ms,
        ticket_lifetime_ms=room.ticket_lifetime_ms,
        slow_dwell_ms=room.challenge.slow_dwell_ms,
        polling=Polling(room.poll.floor_ms, room.poll.ceiling_ms, room.poll.divisor),
        lanes=LaneTerms(room.lanes.priority_weight, room.lanes.slow_share),
        events=tuple(
            Schedule(event.name, event.prequeue_start_time_ms, event.event_start_time_ms, event.event_end_time_ms)
            for event in room.events
        ),
        health=_health(room),
        beacon=_beacon(room),
        stock=StockRules(room.stock.report_lifetime_ms, room.stock.decision_time_ms),
    )


def _health(room: Room) -> HealthRules | None:
    return HealthRules(**room.health.model_dump()) if room.health.target_ttfb_ms else None


def _beacon(room: Room) -> Beacon:
    told = room.beacon
    return Beacon(
        told.kind,
        told.chain_hash,
        told.genesis_ms,
        told.period_ms,
        delay_ms=told.delay_ms,
        timeout_ms=told.beacon_timeout_ms,
    )
