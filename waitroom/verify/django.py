"""The check for stores on Django: the first entry of MIDDLEWARE, and WAITROOM_ROOMS in the settings."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse

from waitroom.kernel.errors import ConfigFault, WaitroomError
from waitroom.verify.asgi import text_headers
from waitroom.verify.checkpoint import Checkpoint, as_sent, refusal
from waitroom.verify.passes import Verifier, pass_values

_HEADER = "HTTP_WAITROOM_PASS"


class PassMiddleware:
    """Checks every request, over WSGI and ASGI alike; views find the pass in `request.waitroom_pass`.

    Settings: WAITROOM_ROOMS, WAITROOM_EXEMPT, and WAITROOM_UPSTREAM_SECRET where it is not in the environment.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        """Read the settings; a fault in them stops the start of the store."""
        self._get_response = get_response
        try:
            verifier = Verifier.of(getattr(settings, "WAITROOM_UPSTREAM_SECRET", None))
            exempt = getattr(settings, "WAITROOM_EXEMPT", ())
            self._checkpoint = Checkpoint(getattr(settings, "WAITROOM_ROOMS", {}), exempt=exempt, verifier=verifier)
        except ConfigFault as fault:
            raise ImproperlyConfigured(f"WAITROOM_…: {fault}") from None
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Return the answer to one request, or what to await for it; a refusal where it has no pass."""
        if self._is_async:
            return self._later(request)
        return self._refused(request) or self._get_response(request)

    async def _later(self, request: Any) -> HttpResponse:
        return self._refused(request) or await self._get_response(request)

    def _refused(self, request: Any) -> HttpResponse | None:
        try:
            request.waitroom_pass = self._checkpoint.check(as_sent(request.path), _values(request))
        except WaitroomError as fault:
            accept, mode = request.headers.get("Accept", ""), request.headers.get("Sec-Fetch-Mode")
            refused = refusal(fault, method=request.method, accept=accept, fetch_mode=mode)
            return HttpResponse(refused.body, status=refused.status, headers=dict(refused.headers))
        return None


def _values(request: Any) -> list[str]:
    """Return what the request says under the name of the header; ASGI alone still tells its spellings apart."""
    if hasattr(request, "scope"):
        return pass_values(text_headers(request.scope))
    return [request.META[_HEADER]] if _HEADER in request.META else []
