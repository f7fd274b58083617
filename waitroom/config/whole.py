"""The configuration, whole: the parts, and what must hold between them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from waitroom.config.around import Backend, Edge, Ops, Redis, Route, Secrets, Upstream
from waitroom.config.rooms import Room
from waitroom.kernel.faults import Fault, entries, repeated
from waitroom.kernel.logs import Logs
from waitroom.kernel.settings import Many, Settings, load, parse


class Config(Settings):
    """Everything, whole."""

    edge: Edge = Field(Edge(), description="The front door that shoppers reach.")
    ops: Ops = Field(Ops(), description="The listener for operators.")
    redis: Redis = Field(Redis(), description="Where the state of the rooms lives.")
    secrets: Secrets = Field(Secrets(), description="Files that hold secrets.")
    upstreams: Annotated[Many[Upstream], Field(min_length=1)] = Field(description="The sites behind.")
    routes: Many[Route] = Field((), description="Which of them serves what no room guards; the first, where none fits.")
    rooms: Annotated[Many[Room], Field(min_length=1)] = Field(description="The waiting rooms.")
    logs: Logs = Field(Logs(), description="What is written down.")
    backend: Backend = Field(Backend(), description="The store backend.")

    @classmethod
    def cross_faults(cls, written: Mapping[str, Any]) -> Iterator[Fault]:
        """Yield names taken twice, upstreams that do not exist, and two listeners on one port."""
        yield from repeated(written, "rooms", "name")
        yield from repeated(written, "upstreams", "name")
        yield from _unknown_upstreams(written, "rooms")
        yield from _unknown_upstreams(written, "routes")
        yield from _same_places(written, "rooms", "guards")
        yield from _same_places(written, "routes", "leads")
        listens = [table.get("listen") for key in ("edge", "ops") if isinstance(table := written.get(key), Mapping)]
        if len(listens) == 2 and listens[0] == listens[1] is not None and not str(listens[0]).endswith(":0"):
            yield Fault(("ops", "listen"), "must differ from edge.listen")

    @property
    def state_file(self) -> Path | None:
        """Where the ops process writes down what it remembers of the rooms; None: nowhere."""
        folder = self.redis.folder
        return self.ops.state_file or (folder / "rooms.json" if folder else None)

    def upstream_of(self, room: Room | None) -> Upstream:
        """Return who serves `room`, or what lies outside every room: the first."""
        named = room.upstream if room else ""
        return next(upstream for upstream in self.upstreams if named in {"", upstream.name})


def _unknown_upstreams(written: Mapping[str, Any], table: str) -> Iterator[Fault]:
    known = dict.fromkeys(name for _, name in entries(written, "upstreams", "name"))
    for index, name in entries(written, table, "upstream"):
        if name and name not in known:
            there_are = ", ".join(known) or "none; add [[upstreams]]"
            yield Fault((table, index, "upstream"), f'no upstream is called "{name}"; there are: {there_are}')


def _same_places(written: Mapping[str, Any], table: str, does: str) -> Iterator[Fault]:
    first: dict[tuple[str, str], int] = {}
    rooms = written.get(table)
    for index, room in enumerate(rooms if isinstance(rooms, list | tuple) else ()):
        hosts = (room.get("hosts") or [""]) if isinstance(room, Mapping) else []
        paths = room.get("paths") if isinstance(room, Mapping) else None
        for host in hosts if isinstance(hosts, list) else ():
            for number, path in enumerate(paths if isinstance(paths, list) else ()):
                taken = first.setdefault((str(host), str(path)), index)
                if taken != index:
                    yield Fault((table, index, "paths", number), f'{table}[{taken}] {does} "{path}" already')


def read(path: Path, environment: Mapping[str, str], *, copy: Path | None = None) -> Config:
    """Return the configuration in `path`, or in a `copy` of it; REDIS_URL in the environment overrides redis.url.

    Raises:
        ConfigFault: it names every fault.
    """
    return overridden(load(path, Config, copy=copy), environment)


def build(written: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Return the configuration in a mapping that looks like the file, for who has no file.

    Raises:
        ConfigFault: it names every fault.
    """
    return overridden(parse(written, Config), environment)


def overridden(config: Config, environment: Mapping[str, str]) -> Config:
    """Return `config` with what the environment says instead."""
    url = environment.get("REDIS_URL", "")
    if not url:
        return config
    redis = parse({"url": url}, Redis)
    return config.model_copy(update={"redis": config.redis.model_copy(update={"url": redis.url})})
