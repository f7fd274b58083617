"""The sites behind us, connected as the configuration says."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from waitroom.config import Config, Edge
from waitroom.config import Upstream as UpstreamSettings
from waitroom.kernel.clock import Clock
from waitroom.proxy.upstream import Upstream, UpstreamLimits, connected
from waitroom.rules.outside import Way, Ways


@asynccontextmanager
async def all_connected(config: Config, clock: Clock) -> AsyncIterator[dict[str, Upstream]]:
    """Give every upstream by its name while the block lasts.

    Raises:
        ConfigFault: a file of certificates that cannot be read.
    """
    async with AsyncExitStack() as stack:
        found = {}
        for settings in config.upstreams:
            limits = _limits(settings, config.edge)
            connecting = connected(settings.name, settings.url, limits, clock=clock, ca_file=settings.ca_file)
            found[settings.name] = await stack.enter_async_context(connecting)
        yield found


def ways(config: Config) -> Ways:
    """Return where requests go that no room guards."""
    named = [Way(route.hosts, route.paths, route.upstream) for route in config.routes]
    return Ways(named, config.upstream_of(None).name)


def _limits(settings: UpstreamSettings, edge: Edge) -> UpstreamLimits:
    return UpstreamLimits(
        connect_timeout_s=settings.connect_timeout_ms / 1000,
        first_byte_timeout_s=settings.first_byte_timeout_ms / 1000,
        idle_timeout_s=settings.idle_timeout_ms / 1000,
        keepalive_s=settings.keepalive_ms / 1000,
        connection_lifetime_s=settings.connection_lifetime_ms / 1000,
        max_connections=settings.max_connections,
        max_body_bytes=edge.max_body_bytes,
        min_upload_bytes_per_s=edge.min_transfer_per_s_bytes,
    )
