"""The shapes of names, paths, hosts and addresses of other machines, as settings may hold them."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def _name(found: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", found):
        raise ValueError(f'must be 1 to 32 of a-z, 0-9 and "-", and is "{found}"')
    return found


def _path(found: str) -> str:
    is_plain = re.fullmatch(r"/[A-Za-z0-9._~!$&'()*+,=:@/-]*", found) and "//" not in found
    if not is_plain or {".", ".."} & set(found.split("/")):
        raise ValueError(f'must be a path that begins with "/", without "//", "..", "?", "#" or "%", and is "{found}"')
    if found == "/.waitroom" or found.startswith("/.waitroom/"):
        raise ValueError("/.waitroom/ belongs to the waiting room itself; name a path of the shop")
    return found


def _optional_path(found: str) -> str:
    return found and _path(found)


def _host(found: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", found):
        raise ValueError(f'must be a host name in small letters without a port, such as "shop.example"; is "{found}"')
    return found


def _host_pattern(found: str) -> str:
    return f"*.{_host(found.removeprefix('*.'))}" if found.startswith("*.") else _host(found)


def _network(found: str) -> str:
    try:
        ipaddress.ip_network(found)
    except ValueError as fault:
        raise ValueError(f'must be a network such as "10.0.0.0/8" or "::1/128": {fault}') from fault
    return found


def _origin(found: str) -> str:
    if found and not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", found):
        raise ValueError('must be scheme and host only, such as "https://shop.example", or "" to go by each request')
    return found


def _site_url(found: str) -> str:
    if not re.fullmatch(r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?/?", found):
        raise ValueError('must be scheme, host and port only, such as "http://127.0.0.1:9000"')
    return found.rstrip("/")


def _optional_site_url(found: str) -> str:
    return found and _site_url(found)


def _upstream_url(found: str) -> str:
    if re.fullmatch(r"unix:/[^\x00-\x20?#]+", found):
        return found
    try:
        return _site_url(found)
    except ValueError:
        raise ValueError(
            'must be scheme, host and port only, such as "http://127.0.0.1:9000", or "unix:/path/of/a/socket"'
        ) from None


def _redis_url(found: str) -> str:
    if found and urlsplit(found).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError('must begin with "redis://", "rediss://" or "unix://"; "" starts an embedded server')
    return found


Name = Annotated[str, AfterValidator(_name)]
"""Stands in addresses, keys and cookies: 1 to 32 of a-z, 0-9 and "-"."""
PathPrefix = Annotated[str, AfterValidator(_path)]
"""Where a part of a site begins: "/drop/"."""
OptionalPathOfSite = Annotated[str, AfterValidator(_optional_path)]
"""One path of a site, or ""."""
Host = Annotated[str, AfterValidator(_host)]
"""A host name without a port."""
HostPattern = Annotated[str, AfterValidator(_host_pattern)]
"""A host name without a port, or "*." and one: every name below it."""
Network = Annotated[str, AfterValidator(_network)]
"""Addresses in CIDR notation."""
Origin = Annotated[str, AfterValidator(_origin)]
"""Scheme and host as a browser sees them, or ""."""
SiteUrl = Annotated[str, AfterValidator(_site_url)]
"""Scheme, host and port of a site, without a path and without a slash at the end."""
OptionalSiteUrl = Annotated[str, AfterValidator(_optional_site_url)]
"""A `SiteUrl`, or ""."""
UpstreamUrl = Annotated[str, AfterValidator(_upstream_url)]
"""Where a site behind us listens: a `SiteUrl`, or "unix:/path"."""
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
"""Where a Redis listens, or ""."""
