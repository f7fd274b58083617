"""Answer over HTTP: JSON, problem documents (RFC 9457), and nothing that looks like a traceback."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import BaseModel, ValidationError

from waitroom.kernel.errors import Refused, WaitroomError
from waitroom.kernel.logs import new_request_id, request_id

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")

JSON_LIMIT_BYTES = 16_384
FORM_LIMIT_BYTES = 8_192
NO_STORE = {"Cache-Control": "no-store"}
_PLAIN_DATA = {**NO_STORE, "X-Content-Type-Options": "nosniff"}
BODY_LIMIT_S = 10.0
"""How long a small body may take to arrive whole: who dawdles holds a connection and a task."""
_FAULT_LIMIT = 20
"""How many faults of a body are told: a small body must not earn a big answer."""
_COME_BACK = frozenset({425, 429, 503})
"""These always say when to come back."""
NO_HTTP = Refused(400, "malformed-request", "This request is not valid HTTP.")
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def json_answer(data: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return `data` as JSON that no cache keeps."""
    named = {"Content-Type": "application/json", **_PLAIN_DATA, **(headers or {})}
    return web.Response(status=status, body=json_body(data), headers=named)


def json_body(data: object) -> bytes:
    """Return `data` as the JSON of an answer."""
    return _ENCODER.encode(data).encode()


def problem(fault: WaitroomError) -> web.Response:
    """Return `fault` as a problem document; only its public face is shown.

    Source: RFC 9457; `Retry-After` RFC 9110 §10.2.3.
    """
    document = {
        **fault.extra,  # first, so that no extension takes the place of a standard member
        "type": f"urn:waitroom:problem:{fault.kind}",
        "title": _phrase(fault.status),
        "status": fault.status,
        "detail": fault.public,
    }
    headers = {"Content-Type": "application/problem+json", **_PLAIN_DATA}
    if fault.retry_after_s is not None or fault.status in _COME_BACK:
        headers["Retry-After"] = str(max(1, fault.retry_after_s or 1))
    return web.Response(status=fault.status, body=json.dumps(document).encode(), headers=headers)


def parting_answer(status: int, told: WaitroomError = NO_HTTP) -> web.Response:
    """Return what ends a connection on which aiohttp could not go on: `told`, or no word of a fault that is ours (5xx).

    aiohttp's own answer is plain text that repeats the stranger's bytes, and names itself with its version.
    """
    answer = problem(told if status < 500 else WaitroomError("unexpected"))
    answer.headers["Server"] = "waitroom"
    answer.force_close()
    return answer


def note(fault: WaitroomError) -> None:
    """Write down a request that is refused."""
    is_expected = isinstance(fault, Refused) or fault.status < 500
    level = logging.DEBUG if is_expected else logging.WARNING
    log.log(level, "request refused", extra={"kind": fault.kind, "status": fault.status, "reason": str(fault)})


def see_other(location: str, cookies: Sequence[str] = ()) -> web.Response:
    """Send somebody on to `location`, byte for byte: aiohttp's own redirect writes addresses anew."""
    answer = web.Response(status=303, headers={"Location": location, **NO_STORE})
    for cookie in cookies:
        answer.headers.add("Set-Cookie", cookie)
    return answer


async def read_json(request: web.Request, model: type[Model], *, max_bytes: int = JSON_LIMIT_BYTES) -> Model:
    """Return the body of `request` as a `model`.

    Raises:
        Refused: 415 not JSON, 413 too large, 408 too slow, 400 malformed, 422 with every fault and its path.
    """
    return parsed(await read_json_body(request, max_bytes), model)


async def read_json_body(request: web.Request, max_bytes: int = JSON_LIMIT_BYTES) -> bytes:
    """Return the body of `request`, which says that it is JSON.

    Raises:
        Refused: 415 not JSON, 413 too large, 408 too slow, 400 not whole.
    """
    if request.content_type != "application/json":
        raise Refused(415, "not-json", "Send the body as application/json.")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Refused(415, "encoded-body", "Send the body without a Content-Encoding.")
    return await read_bounded(request, max_bytes)


def parsed(body: bytes, model: type[Model]) -> Model:
    """Return the JSON `body` of a request as a `model`.

    Raises:
        Refused: 400 malformed, 422 with every fault and its path.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as fault:
        faults = fault.errors(include_url=False, include_context=False, include_input=False)
        if any(e["type"] == "json_invalid" for e in faults):
            raise Refused(400, "malformed-json", "The body is not valid JSON.") from None
        errors = [{"path": ".".join(map(str, e["loc"])), "fault": e["msg"]} for e in faults[:_FAULT_LIMIT]]
        raise Refused(422, "invalid-body", "The body does not fit; see errors.", extra={"errors": errors}) from None


async def read_form(
    request: web.Request, *, max_bytes: int = FORM_LIMIT_BYTES, limit_s: float = BODY_LIMIT_S
) -> dict[str, str]:
    """Return the fields of a plain form, none where nothing was sent; what is not UTF-8 in it is replaced.

    aiohttp's own `post` trusts the charset that a visitor names, and keeps uploads.

    Raises:
        Refused: 415 not a plain form, 413 too large, 408 too slow, 400 not whole.
    """
    if not request.can_read_body:
        return {}
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refused(415, "not-a-form", "Send the form as application/x-www-form-urlencoded.")
    body = await read_bounded(request, max_bytes, limit_s)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


async def read_bounded(request: web.Request, max_bytes: int, limit_s: float = BODY_LIMIT_S) -> bytes:
    """Return the body of `request`, byte for byte.

    Raises:
        Refused: 413 too large, 408 too slow, 400 not whole.
    """
    body = bytearray()
    try:
        if request.content.is_eof():  # most small bodies came with their head: nothing to wait for
            body += request.content.read_nowait()
            if len(body) > max_bytes:
                raise Refused(413, "too-large", f"Send at most {max_bytes} bytes.")
            return bytes(body)
        async with asyncio.timeout(limit_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    raise Refused(413, "too-large", f"Send at most {max_bytes} bytes.")
    except web.RequestPayloadError:
        raise Refused(400, "broken-body", "The body did not arrive whole.") from None
    except TimeoutError:
        request.protocol.close()  # the rest may still come, and must not be taken for a request
        raise Refused(408, "slow-body", "The body did not arrive in time.") from None
    return bytes(body)


@web.middleware
async def errors_become_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every fault into an answer: what we expect into its problem, what we do not into a plain 500 and a log.

    Where part of an answer is out already there is nothing left to say: the connection is cut, so that
    nobody takes half an answer for a whole one.
    """
    held = request_id.set(new_request_id())
    try:
        return await handler(request)
    except WaitroomError as fault:
        note(fault)
        return _instead(request, problem(fault))
    except web.HTTPException as fault:
        if fault.status < 400:
            raise
        return _instead(request, _http_problem(fault))
    except Exception as fault:
        if isinstance(fault, ConnectionError) and _has_left(request):
            log.debug("visitor left", extra={"method": request.method, "reason": repr(fault)})
        else:
            log.exception("request failed", extra={"method": request.method})
        return _instead(request, problem(WaitroomError("unexpected")))
    finally:
        request_id.reset(held)


async def answered(work: Awaitable[Result]) -> Result | WaitroomError:
    """Return what `work` returns, or its fault, noted as `errors_become_answers` does: for what has no request."""
    held = request_id.set(new_request_id())
    try:
        return await work
    except WaitroomError as fault:
        note(fault)
        return fault
    except Exception:
        log.exception("request failed")
        return WaitroomError("unexpected")
    finally:
        request_id.reset(held)


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _instead(request: web.Request, answer: web.Response) -> web.Response:
    if request.writer.output_size > 0 and request.transport is not None:
        request.transport.abort()  # aiohttp then drops `answer` without a word
    return answer


def _http_problem(fault: web.HTTPException) -> web.Response:
    phrase = _phrase(fault.status)
    named = WaitroomError(
        str(fault),
        status=fault.status,
        kind=phrase.lower().replace(" ", "-"),
        public=fault.reason,
        retry_after_s=_whole_seconds(fault.headers.get("Retry-After"), 1 if fault.status in _COME_BACK else None),
    )
    answer = problem(named)
    for name in ("Allow", "WWW-Authenticate"):
        for value in fault.headers.getall(name, []):
            answer.headers.add(name, value)
    return answer


def _whole_seconds(text: str | None, otherwise: int | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else otherwise


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a code that HTTP has no name for
        return "Error"
