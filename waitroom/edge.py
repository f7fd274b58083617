"""Build every part of the edge once, and join the routes: the composition root of a worker."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network

from aiohttp import web

from waitroom.config import Config, Room, room_rules
from waitroom.gate.cookies import Cookies
from waitroom.gate.door import Door, OnHead
from waitroom.gate.entries import Entries
from waitroom.gate.events import Events
from waitroom.gate.followers import Followers
from waitroom.gate.forward_auth import ForwardAuth
from waitroom.gate.front_prompt import FrontPrompt
from waitroom.gate.inside import Inside
from waitroom.gate.join_prompt import JoinPrompt
from waitroom.gate.joining import Joining, Posing
from waitroom.gate.judge import Judge
from waitroom.gate.line import Line
from waitroom.gate.looks import look
from waitroom.gate.misdirected import other_hosts_are_refused
from waitroom.gate.probes import Probes
from waitroom.gate.problem_pages import ProblemPages
from waitroom.gate.prompt import Places, Prompt
from waitroom.gate.proof_page import ProofPage
from waitroom.gate.proofs import Proofs
from waitroom.gate.pulses import Pulses
from waitroom.gate.queueing import Queueing
from waitroom.gate.stock_reports import StockReports
from waitroom.gate.waiting import WaitingPage
from waitroom.gate.waiting_pages import WaitingPages
from waitroom.gate.websocket import WebSockets
from waitroom.jobs.beacon import BeaconWatch
from waitroom.jobs.health import HealthFeedback
from waitroom.jobs.roster import RosterKeeper
from waitroom.jobs.tick import Ticker
from waitroom.jobs.touch import Toucher
from waitroom.kernel.answers import errors_become_answers
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused
from waitroom.kernel.pages import Pages
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tasks import Errands
from waitroom.kernel.tokens import Keys, PassSigner, TicketSigner, UpstreamPassSigner
from waitroom.proxy.behind import all_connected, ways
from waitroom.proxy.forward import Forwarder
from waitroom.proxy.headers import identify
from waitroom.proxy.strict import odd_requests_are_refused
from waitroom.proxy.upstream import Upstream
from waitroom.proxy.watched import WatchedUpstream
from waitroom.rules.challenges import Terms
from waitroom.rules.hosts import AllowedHosts
from waitroom.rules.posing import challenge_keys
from waitroom.rules.routes import Route, Routes
from waitroom.rules.watch import Watch
from waitroom.store.admissions import AdmissionLog
from waitroom.store.board import Board
from waitroom.store.draws import Draws
from waitroom.store.health import HealthReports
from waitroom.store.limits import Limits
from waitroom.store.rooms import Rooms
from waitroom.store.sessions import Sessions
from waitroom.store.stock import Stocks
from waitroom.store.wheels import Wheels
from waitroom.wire.fast_lane import FastLane
from waitroom.wire.reception import Reception
from waitroom.wire.seated import foregone
from waitroom.wire.serving import Served
from waitroom.wire.stream import Streams


class Edge:
    """One worker's parts, put together."""

    def __init__(
        self, config: Config, keys: Keys, runner: ScriptRunner, upstreams: Mapping[str, Upstream], clock: Clock
    ) -> None:
        """Build each part once; nothing runs yet."""
        rules = [room_rules(room) for room in config.rooms]
        self._config = config
        self._clock = clock
        self.errands = Errands()
        self.board = Board(clock)
        self.rooms = Rooms(runner, rules, keys, clock)
        self.sessions = Sessions(runner)
        self.ticker = Ticker(self.rooms, self.board, self.sessions)
        self.toucher = Toucher(self.rooms, self.sessions)
        cookies = Cookies(TicketSigner(keys), PassSigner(keys), is_https=config.edge.is_https)
        self._line = Line(self.rooms, self.sessions, self.board, cookies)
        self._trusted = [ip_network(text) for text in map(str, config.edge.trusted_proxies)]
        limits = Limits(runner)
        per_minute = {room.name: room.direct_entries_per_minute for room in config.rooms}
        self._entries = Entries(limits, per_minute, self._trusted)
        self._joining = Joining(self._line, _posing(config, keys), self._trusted)
        self._queueing = Queueing(self._line, limits, self._joining)
        self._upstream_passes = UpstreamPassSigner(keys)
        self._stock_reports = StockReports(self.rooms, Stocks(runner), self._upstream_passes.reports)
        self._watches = watches = {room.name: Watch(room.health) for room in rules if room.health}
        self._build_proxy(upstreams)
        draws = Draws(runner, secrets.token_hex(6))
        wheels, admissions = Wheels(draws, self.errands, clock), AdmissionLog(draws, self.errands, clock)
        self._proofs = Proofs(self.rooms, self.board, admissions, wheels, self.errands, clock)
        self.roster = RosterKeeper(self.rooms, self.board, draws, wheels)
        self.beacon = BeaconWatch(self.rooms, self.board, draws, {room.name: room.beacon.urls for room in config.rooms})
        self.health = HealthFeedback(self.rooms, HealthReports(runner), watches, self._try, clock=clock)
        self._build_doors()

    def _build_proxy(self, upstreams: Mapping[str, Upstream]) -> None:
        """Build what carries requests; a room whose upstream is watched has a way to it of its own."""
        config, clock = self._config, self._clock
        self._ways = ways(config)
        self._upstreams = {
            _behind(room.name): upstreams[config.upstream_of(room).name]
            for room in config.rooms
            if room.name in self._watches
        } | dict(upstreams)
        self._watched = {
            name: WatchedUpstream(self._upstreams[_behind(name)], watch, clock=clock)
            for name, watch in self._watches.items()
        }
        self._forwarders = {name: Forwarder(upstream) for name, upstream in upstreams.items()}
        self._forwarders |= {_behind(name): Forwarder(watched) for name, watched in self._watched.items()}

    def _build_doors(self) -> None:
        """Build what visitors meet."""
        config, templates = self._config, Pages()
        statuses = {room.name: room.queueing_status_code for room in config.rooms}
        looks = {room.name: look(room.title or room.name, room.accent) for room in config.rooms}
        self.pages = WaitingPages(WaitingPage(templates, looks), self._line, statuses, self._clock)
        self.followers = Followers(Pulses(self.rooms, self.board), config.edge.max_streams, self._clock)
        self._proof_page = ProofPage(self.rooms, templates, looks, self._clock)
        self._problems = problems = ProblemPages(templates, next(iter(looks.values())))
        routes = Routes([self._route(room) for room in config.rooms])
        self._judge = judge = Judge(self._line, routes, self._upstream_passes, self._entries)
        self._inside = Inside(judge, self.errands)
        self._hosts = hosts = AllowedHosts(config.edge.allowed_hosts)
        trusted, origin, passes = self._trusted, config.edge.public_origin, self._upstream_passes
        scheme, clock = "https" if config.edge.is_https else "http", self._clock
        watches = {_behind(name): watch for name, watch in self._watches.items()}
        self.lane = FastLane(self._upstreams, watches, self._inside, trusted=trusted, scheme=scheme, clock=clock)
        self._auth = ForwardAuth(judge, problems, passes, trusted=trusted, public_origin=origin, hosts=hosts)

    @property
    def served(self) -> Served:
        """What shoppers reach: the application, and before it what is prepared."""
        if not self._config.edge.hot_path:
            return Served(self.application)
        fronts = FrontPrompt(self._auth.verdicts, hosts=self._hosts, trusted=tuple(self._trusted))
        places = Places(self._hosts, self._ways)
        prompt = Prompt(self._judge, self.followers.pulses, self.pages, self._problems, fronts, places)
        joins = JoinPrompt(self._line, self._joining, self._hosts, self._clock)
        stay, receive = Streams(self.followers).follow, Reception(joins).receive
        return Served(self.application, prompt, self.lane.carry, stay, receive)

    @property
    def application(self) -> web.Application:
        """The application behind all that is prepared."""
        door = Door(self._judge, self._inside, self.pages, self._carry)
        probes, queueing = Probes(self.rooms, self.board), self._queueing
        refusing = [odd_requests_are_refused, other_hosts_are_refused(self._hosts)]
        app = web.Application(middlewares=[self._problems.people_get_pages, errors_become_answers, *refusing])
        own = "/.waitroom/{room}"
        app.add_routes(
            [
                web.get("/.waitroom/healthz", probes.healthz),
                web.get("/.waitroom/readyz", probes.readyz),
                *self._auth.routes(),
                web.get(f"{own}/pulse", self.followers.pulses.answer),
                web.get(f"{own}/events", Events(self.followers, self._config.edge.write_timeout_ms / 1000).answer),
                web.get(f"{own}/ws", WebSockets(self.followers, self._clock).answer, allow_head=False),
                web.get(f"{own}/proof", self._proofs.answer),
                web.get(f"{own}/proof.html", self._proof_page.answer),
                web.get(f"{own}/wait", door.wait),
                web.post(f"{own}/stock", self._stock_reports.hear),
                web.post(f"{own}/challenge", queueing.challenge),
                web.post(f"{own}/queue/register", queueing.register),
                web.post(f"{own}/queue/slow", queueing.slow),
                web.get(f"{own}/queue/status", queueing.status),
                web.post(f"{own}/queue/claim", queueing.claim),
                web.post(f"{own}/queue/leave", queueing.leave),
                web.route("*", "/.waitroom/{tail:(?s:.*)}", _nothing_here),
                web.route("*", "/{tail:(?s:.*)}", door.visit, expect_handler=_ask_for_the_body_later),
            ]
        )
        app.on_response_prepare.append(_name_no_software)
        app.on_shutdown.append(self._say_goodbye)
        return app

    def _route(self, room: Room) -> Route:
        """Return what `room` guards; a room whose upstream is watched has a forwarder of its own."""
        name = _behind(room.name) if room.name in self._watched else self._config.upstream_of(room).name
        return Route(room.name, room.hosts, room.paths, room.exempt_paths, name)

    async def pour(self) -> None:
        """Add to the metrics what was counted in plain numbers."""
        self._judge.pour()
        self._joining.tally.pour()
        self.followers.pour()
        for upstream in self._upstreams.values():
            upstream.tally.pour()

    async def _try(self, room: str, path: str) -> None:
        """Ask the upstream of `room` for its health path; the watch sees what comes of it."""
        hosts = next(one.hosts for one in self._config.rooms if one.name == room)
        await self._watched[room].probe(path, hosts[0] if hosts else None)

    async def _say_goodbye(self, _app: web.Application) -> None:
        """Tell every websocket and stream to come back to another worker, so that none holds up the drain."""
        for forwarder in self._forwarders.values():
            forwarder.leave()
        await self.followers.close()

    async def _carry(
        self, request: web.Request, upstream: str, waitroom_pass: str | None, on_head: OnHead | None
    ) -> web.StreamResponse:
        """Hand a request to the proxy, which knows nothing of rooms."""
        if (fault := foregone(request)) is not None:
            raise fault
        forwarder = self._forwarders[upstream or self._ways.upstream(request.headers.get("Host", ""), request.raw_path)]
        scheme = "https" if self._config.edge.is_https else "http"
        identity = identify(
            request.remote or "", request.raw_headers, self._trusted, scheme=scheme, waitroom_pass=waitroom_pass
        )
        return await forwarder.forward(request, identity, on_head)


@asynccontextmanager
async def edge_built(config: Config, keys: Keys, runner: ScriptRunner, clock: Clock) -> AsyncIterator[Edge]:
    """Give a worker's parts, connected to the upstreams, while the block lasts."""
    async with AsyncExitStack() as stack:
        upstreams = await stack.enter_async_context(all_connected(config, clock))
        edge = Edge(config, keys, runner, upstreams, clock)
        stack.push_async_callback(edge.health.close)
        stack.push_async_callback(edge.lane.close)
        yield edge


async def _name_no_software(_request: web.Request, answer: web.StreamResponse) -> None:
    """Drop the header by which aiohttp tells its version; what the store's answers say is the store's."""
    answer.headers.popall("Server", None)


async def _nothing_here(_request: web.Request) -> web.StreamResponse:
    raise Refused(404, "not-found", "There is nothing at this address.")


async def _ask_for_the_body_later(_request: web.Request) -> web.StreamResponse | None:
    """Send no 100 yet: who has to wait shall not upload in vain; the proxy sends it when it forwards."""
    return None


def _posing(config: Config, keys: Keys) -> Posing:
    terms = {room.name: _terms(room) for room in config.rooms}
    return Posing(challenge_keys(keys), terms, bind_key=keys.derive("client-tag")[-1])


def _terms(room: Room) -> Terms:
    asked = room.challenge
    return Terms(asked.steps, asked.difficulty, asked.lifetime_ms // 1000)


def _behind(room: str) -> str:
    """Return the name of the forwarder that `room` has for itself; no upstream can be called so."""
    return f"behind {room}"
