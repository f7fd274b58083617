"""What an operator may set: one TOML file, every fault at once, secrets never in it."""

from waitroom.config.around import Backend, Edge, Ops, Redis, Route, Secrets, Upstream
from waitroom.config.draws import Beacon
from waitroom.config.rooms import Challenge, Event, Poll, Room
from waitroom.config.rules import room_rules
from waitroom.config.whole import Config, build, read
from waitroom.kernel.logs import Logs

__all__ = [
    "Backend",
    "Beacon",
    "Challenge",
    "Config",
    "Edge",
    "Event",
    "Logs",
    "Ops",
    "Poll",
    "Redis",
    "Room",
    "Route",
    "Secrets",
    "Upstream",
    "build",
    "read",
    "room_rules",
]
