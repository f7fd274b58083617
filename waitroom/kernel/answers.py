"""Answer over HTTP: JSON, problem documents (RFC 9457), and nothing that looks like a traceback."""

import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from waitroom.kernel.errors import Refused, WaitroomError
from waitroom.kernel.logs import request_id

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = TypeVar("Model", bound=BaseModel)

JSON_LIMIT_BYTES = 16_384
NO_STORE = {"Cache-Control": "no-store"}


def json_answer(data: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return `data` as JSON that no cache keeps."""
    body = json.dumps(data, separators=(",", ":")).encode()
    return web.Response(
        status=status, body=body, headers={"Content-Type": "application/json", **NO_STORE, **(headers or {})}
    )


def problem(fault: WaitroomError) -> web.Response:
    """Return `fault` as a problem document; only its public face is shown.

    Source: RFC 9457; `Retry-After` RFC 9110 §10.2.3.
    """
    document = {
        "type": f"urn:waitroom:problem:{fault.kind}",
        "title": HTTPStatus(fault.status).phrase,
        "status": fault.status,
        "detail": fault.public,
        **fault.extra,
    }
    headers = {"Content-Type": "application/problem+json", **NO_STORE}
    if fault.retry_after_s is not None:
        headers["Retry-After"] = str(fault.retry_after_s)
    return web.Response(status=fault.status, body=json.dumps(document).encode(), headers=headers)


async def read_json(request: web.Request, model: type[Model], *, max_bytes: int = JSON_LIMIT_BYTES) -> Model:
    """Return the body of `request` as a `model`.

    Raises:
        Refused: 415 not JSON, 413 too large, 400 malformed, 422 with every fault and its path.
    """
    if request.content_type != "application/json":
        raise Refused(415, "not-json", "Send the body as application/json.")
    body = await _read_bounded(request, max_bytes)
    try:
        return model.model_validate_json(body)
    except ValidationError as fault:
        errors = [{"path": ".".join(map(str, e["loc"])), "fault": e["msg"]} for e in fault.errors(include_input=False)]
        if any(e["type"] == "json_invalid" for e in fault.errors(include_input=False)):
            raise Refused(400, "malformed-json", "The body is not valid JSON.") from None
        raise Refused(422, "invalid-body", "The body does not fit; see errors.", extra={"errors": errors}) from None


async def _read_bounded(request: web.Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise Refused(413, "too-large", f"Send at most {max_bytes} bytes.")
    return bytes(body)


@web.middleware
async def errors_become_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every fault into an answer: what we expect into its problem, what we do not into a plain 500 and a log."""
    held = request_id.set(secrets.token_hex(8))
    try:
        return await handler(request)
    except WaitroomError as fault:
        _note(fault)
        return problem(fault)
    except web.HTTPException as fault:
        return _http_problem(fault)
    except Exception:
        log.exception("request failed", extra={"method": request.method})
        return problem(WaitroomError("unexpected"))
    finally:
        request_id.reset(held)


def _note(fault: WaitroomError) -> None:
    level = logging.WARNING if fault.status >= 500 else logging.DEBUG
    log.log(level, "request refused", extra={"kind": fault.kind, "status": fault.status, "fault": str(fault)})


def _http_problem(fault: web.HTTPException) -> web.StreamResponse:
    if fault.status < 400:
        return fault
    kind = HTTPStatus(fault.status).phrase.lower().replace(" ", "-")
    retry_after_s = 1 if fault.status in {425, 429, 503} else None
    named = WaitroomError(str(fault), status=fault.status, kind=kind, public=fault.reason, retry_after_s=retry_after_s)
    answer = problem(named)
    for name in ("Allow", "Location"):
        if name in fault.headers:
            answer.headers[name] = fault.headers[name]
    return answer
