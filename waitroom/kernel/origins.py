"""Tell where a browser says that a request comes from: our own page, or one of another site (CSRF)."""

from waitroom.kernel.asking import Asking


def is_from_elsewhere(request: Asking) -> bool:
    """Return whether a browser says that another site, another port or a page without an origin sent `request`.

    Programs say nothing of the kind, and are believed: they carry no cookie that somebody else could use.

    Source: W3C Fetch Metadata Request Headers; RFC 6454 §7.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin").lower()
    if site not in {"same-origin", "none"}:
        return True
    host = request.headers.get("Host", "").lower()
    return any(_host_of(origin) != host for origin in request.headers.getall("Origin", []))


def came_from(request: Asking) -> str:
    """Return path and query of the Referer, where it is of this host, else nothing."""
    host, slash, rest = request.headers.get("Referer", "").partition("://")[2].partition("/")
    is_own = host.lower() == request.headers.get("Host", "").lower()
    return f"/{rest.partition('#')[0]}" if slash and is_own else ""


def _host_of(origin: str) -> str:
    """Return host and port; of "null" there is none."""
    return origin.partition("://")[2].lower()
