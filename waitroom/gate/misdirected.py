"""Refuse what is for a host that this edge does not answer for, before anything is decided about it."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from waitroom.kernel.errors import Refused
from waitroom.rules.hosts import AllowedHosts

_BY_ANY_HOST = ("/.waitroom/healthz", "/.waitroom/readyz", "/.waitroom/auth/", "/.waitroom/{room}/stock")
"""What a load balancer asks by address, as the store does that reports its stock, signed; and a front by whatever name
it has for us: it tells the visitor's host."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def refuse_host(hosts: AllowedHosts, host: str) -> None:
    """Let only `hosts` pass.

    Raises:
        Refused: 421 (RFC 9110 §15.5.20), this is not the server for that host; 404 would be the store's own word.
    """
    if not hosts.has(host):
        raise Refused(421, "misdirected-request", "This address is not served here.")


def other_hosts_are_refused(hosts: AllowedHosts) -> Middleware:
    """Return the middleware that does so; it stands inside the one that makes sure that there is one Host."""

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource  # what will answer, however its address is spelled
        if resource is None or not resource.canonical.startswith(_BY_ANY_HOST):
            refuse_host(hosts, request.headers.get("Host", ""))
        return await handler(request)

    return refuse
