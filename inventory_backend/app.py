"""Put the till together: every part made once, each closed in reverse when it ends."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from inventory_backend.catalogue import Catalogue
from inventory_backend.checkout import Checkout, Terms
from inventory_backend.config import Config
from inventory_backend.confirmations.courier import Courier, Retries
from inventory_backend.confirmations.opening import sinks
from inventory_backend.door.callbacks import Callbacks
from inventory_backend.door.front_door import TillRunner
from inventory_backend.door.guard import Guard
from inventory_backend.door.live import Live, affordable
from inventory_backend.door.ops import Ops
from inventory_backend.door.probes import Probes
from inventory_backend.door.prompt import Prompt
from inventory_backend.door.shop import Shop
from inventory_backend.door.views import Views
from inventory_backend.identities import Identities, secrets_of
from inventory_backend.jobs import Jobs
from inventory_backend.ledger.ledger import LedgerSettings, opened
from inventory_backend.ledger.leftovers import leftovers
from inventory_backend.ledger.own_name import own_name
from inventory_backend.money_back import MoneyBack
from inventory_backend.outbox import Outbox
from inventory_backend.payments import opening
from inventory_backend.payments.listener import Listener
from inventory_backend.payments.reconciliation import Account, Reconciliation
from inventory_backend.payments.saga import Saga, SagaSettings
from inventory_backend.stock.counter import Counter
from inventory_backend.stock.fence import Fence
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.reconciler import Reconciler
from inventory_backend.stock.restock import Restock
from inventory_backend.stock.shards import Shards
from inventory_backend.stock.stock import Stock
from inventory_backend.stock_reports import StockReports, Way, way
from inventory_backend.waitlist import Waitlist
from waitroom.kernel.answers import errors_become_answers
from waitroom.kernel.clock import Clock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.pages import Pages
from waitroom.kernel.ports import listening
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tasks import running
from waitroom.kernel.tokens import UpstreamPassSigner

log = logging.getLogger(__name__)

_BACKLOG = 2048
"""Connections the system may keep for us while a crowd arrives."""
_MAX_LINE_BYTES, _MAX_FIELD_BYTES = 16_384, 32_768
"""As much as the room's edge takes, and hands on."""
_YOUNG = 20_000
"""Objects made before the collector looks for rings among them: a thousand requests at once are no garbage."""


@dataclass(frozen=True, slots=True)
class Till:
    """The till, put together: `app` serves, and before it what `prompt` knows; `jobs` run beside it."""

    app: web.Application
    jobs: Jobs
    prompt: Prompt | None

    def runner(self, *, drain_s: float) -> web.AppRunner:
        """Return what serves; requests in flight have `drain_s` seconds to end."""
        return TillRunner(
            self.app,
            self.prompt,
            access_log=None,
            shutdown_timeout=drain_s,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_FIELD_BYTES,
        )


@asynccontextmanager
async def built(config: Config, signer: UpstreamPassSigner, clock: Clock) -> AsyncIterator[Till]:
    """Give the till while the block lasts; its jobs do not run yet.

    Raises:
        ConfigFault: the ledger or Redis cannot be used as they are configured.
    """
    sales = [one.as_rules() for one in config.sales]
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(opened(ledger_settings(config), clock))
        fence = Fence()
        scripts = await stack.enter_async_context(_scripts(config, fence))
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        stock = Stock(scripts, fence=fence)
        rebuild = Rebuild(ledger, stock, sales)
        catalogue = Catalogue(ledger, sales)
        counter = Counter(stock, rebuild, shards := Shards(ledger, stock, rebuild, sales))
        provider, name = config.payments.provider, await ledger.write(own_name)
        gateway = opening.gateway(config.payments, session, name, clock)
        saga = Saga(ledger, {provider: gateway}, _saga_settings(config))
        checkout = Checkout(ledger, counter, catalogue, saga, terms := _terms(config))
        waitlist = Waitlist(ledger, catalogue, terms.identities)
        stack.push_async_callback(shards.close)
        stack.push_async_callback(counter.close)
        stack.push_async_callback(saga.close)
        guard = Guard(signer, (one.room for one in sales), clock)
        app = _guarded(guard)
        for part in (
            views := Views(checkout, waitlist, catalogue),
            Probes(rebuild, catalogue),
            Callbacks(
                provider, config.payments.webhook_secrets(), Listener(ledger, {provider: gateway}, saga), ledger.now_ms
            ),
            Shop(checkout, waitlist, catalogue, guard, Pages(), clock),
            Ops(MoneyBack(ledger, saga), config.secrets.ops_token_hash()),
        ):
            part.add_to(app.router)
        Live(catalogue, clock, most=affordable(config.server.max_streams)).add_to(app)
        courier = Courier(ledger, await sinks(config, stack, ledger, clock), _retries(config))
        stack.push_async_callback(courier.close)
        jobs = Jobs(
            ledger=ledger,
            rebuild=rebuild,
            reconciler=Reconciler(ledger, stock, rebuild, sales),
            restock=Restock(ledger, stock, rebuild, sales),
            shards=shards,
            catalogue=catalogue,
            checkout=checkout,
            waitlist=waitlist,
            saga=saga,
            reconciliation=Reconciliation(ledger, Account(provider, gateway, name), saga.start),
            outbox=Outbox(ledger, stock, rebuild),
            courier=courier,
            stock_reports=StockReports(ledger, sales, signer.reports, session, _way(config), clock),
            leftovers=leftovers(keep_ms=config.ledger.keep_ms, keep_addresses_ms=config.mail.keep_ms),
        )
        await catalogue.seed()
        await catalogue.refresh()
        await _load_stock(scripts, rebuild)
        yield Till(app, jobs, Prompt(views, catalogue, guard, clock) if config.server.hot_path else None)


async def run(config: Config, signer: UpstreamPassSigner, clock: Clock) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight.

    Who comes while the till starts waits for it: its port is taken first, before it touches stock or ledger.

    Raises:
        ConfigFault: its port is taken, or the till cannot do what is configured.
    """
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    drain_s = config.server.drain_timeout_ms / 1000
    async with AsyncExitStack() as stack:
        listen = config.server.listen
        sockets = [stack.enter_context(one) for one in listening(listen, setting="server.listen")]
        till = await stack.enter_async_context(built(config, signer, clock))
        await stack.enter_async_context(running(*till.jobs.loops(), clock=clock))
        runner = till.runner(drain_s=drain_s)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        for one in sockets:
            await web.SockSite(runner, one, backlog=_BACKLOG).start()
        _spare_the_collector()
        log.info("till open", extra={"at": str(listen), "sales": [one.name for one in config.sales]})
        await asked_to_stop.wait()
        log.info("till closing")


def _guarded(guard: Guard) -> web.Application:
    app = web.Application(middlewares=[errors_become_answers, guard.middleware])
    app.on_response_prepare.append(_name_no_software)
    return app


async def _name_no_software(_request: web.Request, answer: web.StreamResponse) -> None:
    """Drop the header by which aiohttp tells its version."""
    answer.headers.popall("Server", None)


def _spare_the_collector() -> None:
    """Keep what was made by now, and lives as long as the till, out of every collection to come."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


async def _load_stock(scripts: ScriptRunner, rebuild: Rebuild) -> None:
    """Load once before serving; where Redis is not there yet, the till opens as soon as it is."""
    try:
        await scripts.check()
        await rebuild.step()
    except StoreUnavailable as fault:
        log.warning("redis is not there yet", extra={"fault": str(fault)})


@asynccontextmanager
async def _scripts(config: Config, fence: Fence) -> AsyncIterator[ScriptRunner]:
    async with AsyncExitStack() as stack:
        url = config.redis.url
        if not url:
            server = EmbeddedServer(config.redis.folder or Path("inventory-data"))
            await server.start()
            stack.push_async_callback(server.stop)
            url = server.url
        settings = RedisSettings(url, config.redis.max_connections, config.redis.timeout_ms)
        yield await stack.enter_async_context(connected(settings, fence.admits))


def ledger_settings(config: Config) -> LedgerSettings:
    """Return where the ledger is, and how it groups its writes."""
    chosen = config.ledger
    return LedgerSettings(
        url=config.ledger_url,
        group_rows=chosen.group_rows,
        group_delay_ms=chosen.group_delay_ms,
        timeout_ms=chosen.timeout_ms,
        readers=chosen.readers,
    )


def _saga_settings(config: Config) -> SagaSettings:
    chosen = config.payments
    return SagaSettings(
        chosen.concurrency, chosen.poll_ms, call_ms=chosen.timeout_ms, write_ms=config.ledger.timeout_ms
    )


def _terms(config: Config) -> Terms:
    chosen = config.payments
    identities = Identities(secrets_of(config))
    return Terms(chosen.window_ms, chosen.grace_ms, frozenset({chosen.provider}), bool(config.mail.host), identities)


def _way(config: Config) -> Way:
    return way(config.room.url, config.room.timeout_ms, config.room.ca_file)


def _retries(config: Config) -> Retries:
    chosen = config.confirmations
    return Retries(chosen.attempts, chosen.first_wait_ms, chosen.longest_wait_ms)
