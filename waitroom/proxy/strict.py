"""Refuse requests that two servers in a row could read differently, before anybody decides about them.

aiohttp's C parser refuses most of them already; these are the holes that remain, measured at the wire.
"""

import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import http_parser, web
from aiohttp.http import HttpProcessingError, HttpVersion10, HttpVersion11
from yarl import URL

from waitroom.kernel.errors import Refused

_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_ABSOLUTE = re.compile(r"https?://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"content-type"})
_SPOKEN = frozenset({HttpVersion10, HttpVersion11})
_FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def c_parser_present() -> bool:
    """Tell whether aiohttp parses in C: its Python parser lets through what the C one refuses. Ask at the start."""
    return http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy


def server_log() -> logging.Logger:
    """Return the logger for aiohttp's server, in which what strangers send is no error of ours.

    aiohttp would log each malformed request as an ERROR with a traceback and the stranger's own bytes.
    """
    log = logging.getLogger("waitroom.server")
    log.addFilter(_is_our_fault)
    return log


@web.middleware
async def odd_requests_are_refused(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only requests pass that have one reading; stands just inside `errors_become_answers`.

    After any other, nothing that follows on the connection can be told apart for certain, so it is the last.
    """
    try:
        refuse_odd_request(request)
    except Refused:
        if request.version not in _SPOKEN:
            request._cache["version"] = HttpVersion11  # aiohttp would answer in the version it was asked in
        request.protocol.close()
        raise
    return await handler(request)


def refuse_odd_request(request: web.BaseRequest) -> None:
    """Check what the parser leaves open.

    Raises:
        Refused: 400, 405, 417, 501 or 505.
    """
    if request.version not in _SPOKEN:
        raise Refused(505, "http-version", "Please speak HTTP/1.1 or HTTP/1.0.")
    if request.method in _FORBIDDEN_METHODS:
        raise Refused(405, "method-not-allowed", f"{request.method} is not possible here.")
    seen = Counter(name.lower() for name, _ in request.raw_headers if name.lower() in _ONCE)
    if any(count > 1 for count in seen.values()):
        raise _malformed("a header that may stand once stands twice")
    _check_framing(request)
    _check_host(request)
    if request.headers.get("Expect", "100-continue").lower() != "100-continue":
        raise Refused(417, "unknown-expectation", "This expectation cannot be met.")


def origin_form(request: web.BaseRequest) -> str:
    """Return the target as the upstream shall get it: byte for byte, without the authority of an absolute one."""
    absolute = None if request.raw_path.startswith("/") else _ABSOLUTE.fullmatch(request.raw_path)
    if not absolute:
        return request.raw_path
    return absolute[2] if absolute[2].startswith("/") else f"/{absolute[2]}"


def with_a_path(request: web.BaseRequest) -> web.BaseRequest:
    """Return a request for `http://shop.example?x` as one for `http://shop.example/?x`: what has no path has no route.

    Source: RFC 9112 §3.2.1, an empty path is sent as "/".
    """
    absolute = _ABSOLUTE.fullmatch(request.raw_path)
    if absolute is None or absolute[2].startswith("/"):
        return request
    whole = request.raw_path.removesuffix(absolute[2])
    return request.clone(rel_url=URL(f"{whole}/{absolute[2]}", encoded=True))


def _is_our_fault(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _check_framing(request: web.BaseRequest) -> None:
    coding = request.headers.get("Transfer-Encoding")
    if coding is None:
        return
    if request.version < HttpVersion11:
        raise _malformed("a transfer coding in HTTP/1.0")
    if "Content-Length" in request.headers:
        raise _malformed("two lengths for one body")
    if coding.strip().lower() != "chunked":
        raise Refused(501, "transfer-coding", "Only the transfer coding chunked is understood.")


def _check_host(request: web.BaseRequest) -> None:
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        raise _malformed("no valid Host")
    target = request.raw_path
    absolute = None if target.startswith("/") else _ABSOLUTE.fullmatch(target)
    if not target.startswith("/") and (absolute is None or absolute[1].lower() != host.lower()):
        raise _malformed("a target for another host, or none")
    if "#" in target or not target.isascii():
        raise _malformed("a target that is no address")


def _malformed(fault: str) -> Refused:
    return Refused(400, "malformed-request", f"This request is not valid HTTP: {fault}.")
