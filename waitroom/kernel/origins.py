"""Tell whether a page of another site made a browser send a request (CSRF)."""

from aiohttp import web


def is_from_elsewhere(request: web.BaseRequest) -> bool:
    """Return whether a browser says that another site, another port or a page without an origin sent `request`.

    Programs say nothing of the kind, and are believed: they carry no cookie that somebody else could use.

    Source: W3C Fetch Metadata Request Headers; RFC 6454 §7.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin").lower()
    if site not in {"same-origin", "none"}:
        return True
    host = request.headers.get("Host", "").lower()
    return any(_host_of(origin) != host for origin in request.headers.getall("Origin", []))


def _host_of(origin: str) -> str:
    """Return host and port; of "null" there is none."""
    return origin.partition("://")[2].lower()
