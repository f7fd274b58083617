"""What goes wrong with the simulated gateway when somebody says so at `/control/faults`, and how often it was asked.

It stands before the routes of Stripe's shape, as the network and Stripe's own limits do; the till knows nothing of it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from inventory_backend.payments.simulated_books import Reply
from inventory_backend.payments.simulated_keys import Effect, Form, sent
from waitroom.kernel.answers import read_json
from waitroom.kernel.clock import Clock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Operation(StrEnum):
    """What is asked of the gateway."""

    CREATE = "create"
    CONFIRM = "confirm"
    RETRIEVE = "retrieve"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    LIST = "list"
    SEARCH = "search"
    ANY = "any"


class Fate(StrEnum):
    """What becomes of a request."""

    TOO_MANY = "too-many-requests"  # 429, before anything is done
    FAILED = "failed"  # 500, nothing is done
    FAILED_KEPT = "failed-kept"  # 500, nothing is done, and the key keeps it, as Stripe's do
    LOST_BEFORE = "lost-before"  # silence, then the line goes dead; nothing is done
    LOST_AFTER = "lost-after"  # the same, and it is done


class Fault(BaseModel):
    """What shall happen to the next requests of a kind."""

    model_config = ConfigDict(strict=True, extra="forbid")

    on: Annotated[Operation, Field(strict=False)] = Operation.ANY
    fate: Annotated[Fate, Field(strict=False)]
    times: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    retry_after_s: Annotated[int, Field(ge=0, le=86_400)] = 1
    silent_ms: Annotated[int, Field(ge=0, le=600_000)] = 0


_KEPT = web.RequestKey("kept", bool)
_TOO_MANY = {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."}


class Faults:
    """The faults to come, the oldest first."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._clock = clock
        self._coming: list[Fault] = []
        self._calls = Counter[str]()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes by which it is told."""
        router.add_get("/control/faults", self.show)
        router.add_post("/control/faults", self.add)
        router.add_delete("/control/faults", self.forget)

    async def show(self, _request: web.Request) -> web.Response:
        """Tell what was asked so far, and which faults are still to come."""
        coming = [one.model_dump() for one in self._coming]
        return web.json_response({"calls": self._calls, "coming": coming})

    async def add(self, request: web.Request) -> web.Response:
        """Let something go wrong."""
        self._coming.append(await read_json(request, Fault))
        return web.Response(status=204)

    async def forget(self, _request: web.Request) -> web.Response:
        """Let all go well again."""
        self._coming.clear()
        return web.Response(status=204)

    def meeting(self, operation: Operation, handler: Handler) -> Handler:
        """Return `handler` as it is met: counted, and with what goes wrong."""

        async def met(request: web.Request) -> web.StreamResponse:
            self._calls[operation] += 1
            fault = self._next(operation)
            if fault is None:
                return await handler(request)
            match fault.fate:
                case Fate.TOO_MANY:
                    headers = {"Retry-After": str(fault.retry_after_s)}
                    return web.json_response({"error": _TOO_MANY}, status=429, headers=headers)
                case Fate.FAILED:
                    return sent(_broken(is_kept=False))
                case Fate.FAILED_KEPT:
                    request[_KEPT] = True
                    return await handler(request)
                case Fate.LOST_BEFORE:
                    return await self._silence(request, fault)
                case Fate.LOST_AFTER:
                    await handler(request)
                    return await self._silence(request, fault)

        return met

    def _next(self, operation: Operation) -> Fault | None:
        for fault in self._coming:
            if fault.on in {operation, Operation.ANY}:
                fault.times -= 1
                if fault.times == 0:
                    self._coming.remove(fault)
                return fault
        return None

    async def _silence(self, request: web.Request, fault: Fault) -> web.Response:
        if fault.silent_ms:
            await self._clock.sleep(fault.silent_ms / 1000)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # it goes nowhere


def failing(effect: Effect) -> Effect:
    """Return `effect`, in whose place the request may meet an error that its key keeps."""

    async def met(request: web.Request, form: Form) -> Reply:
        return _broken(is_kept=True) if request.get(_KEPT) else await effect(request, form)

    return met


def _broken(*, is_kept: bool) -> Reply:
    told = {"type": "api_error", "code": "internal", "message": "Something went wrong on our side."}
    return Reply(500, {"error": told}, is_kept)
