"""The check in a Django store; over WSGI and ASGI, and through the edge, in tests/journeys/test_stores_behind.py."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from tests.stores import django_settings
from tests.till import SIGNER
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.tokens import Pass
from waitroom.verify.django import PassMiddleware


def view(request: WSGIRequest) -> HttpResponse:
    return HttpResponse(request.waitroom_pass.session_id)


async def async_view(request: WSGIRequest) -> HttpResponse:
    return view(request)


def signed() -> str:
    return SIGNER.sign(Pass("drop", "alice", 0, SystemClock().now_ms() + 60_000))


async def test_a_view_knows_who_was_let_in_sync_and_async() -> None:
    with django_settings():
        answer = PassMiddleware(view)(RequestFactory().get("/drop/", HTTP_WAITROOM_PASS=signed()))
        request = AsyncRequestFactory().get("/drop/", headers={"Waitroom-Pass": signed()})
        later = await PassMiddleware(async_view)(request)
        refused = await PassMiddleware(async_view)(AsyncRequestFactory().get("/drop/"))

    assert answer.content == later.content == b"alice"
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("setting", "value"),
    [("WAITROOM_ROOMS", {}), ("WAITROOM_EXEMPT", "/x"), ("WAITROOM_UPSTREAM_SECRET", "short")],
)
def test_a_fault_in_the_settings_stops_the_start(setting: str, value: object) -> None:
    with django_settings(**{setting: value}), pytest.raises(ImproperlyConfigured, match="WAITROOM_"):
        PassMiddleware(view)
