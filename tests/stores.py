"""Stores as others write them, one a framework, each behind the check of passes and on a port of its own."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.simple_server import make_server as plain_server

import django
import fastapi
import flask
import uvicorn
from aiohttp import web
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import re_path
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from werkzeug.serving import make_server

from tests.till import KEYS
from waitroom.kernel.tokens import Pass, UpstreamPassSigner
from waitroom.verify import asgi, wsgi
from waitroom.verify.aiohttp import PASS, pass_required
from waitroom.verify.passes import Verifier

ROOMS = {"drop": ["/drop/", "/checkout/"], "vip": ["/vip/"]}
EXEMPT = ["/drop/notify", "/drop/static/"]
SECRET = UpstreamPassSigner.upstream_secret(KEYS)

logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would log every request


def verifier() -> Verifier:
    return Verifier.of(SECRET)


def seen(pass_: Pass | None, path: str) -> dict[str, object]:
    """Return what every one of these stores answers: who came, and to which path."""
    return {"session": pass_ and pass_.session_id, "room": pass_ and pass_.room, "path": path}


# The stores


def flask_app() -> flask.Flask:
    app = flask.Flask("store")

    @app.route("/", defaults={"tail": ""}, methods=["GET", "POST"])
    @app.route("/<path:tail>", methods=["GET", "POST"])
    def view(tail: str) -> flask.Response:
        return flask.jsonify(seen(wsgi.admitted(flask.request.environ), flask.request.path))

    app.wsgi_app = wsgi.PassRequired(app.wsgi_app, ROOMS, exempt=EXEMPT, verifier=verifier())  # type: ignore[method-assign]  # as Flask's own documentation says to
    return app


def fastapi_app() -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    app.add_middleware(asgi.PassRequired, rooms=ROOMS, exempt=EXEMPT, verifier=verifier())

    @app.api_route("/{tail:path}", methods=["GET", "HEAD", "POST"])
    async def view(request: fastapi.Request) -> dict[str, object]:
        return seen(asgi.admitted(request.scope), request.url.path)

    return app


def starlette_app() -> asgi.Application:
    async def view(request: Request) -> JSONResponse:
        return JSONResponse(seen(asgi.admitted(request.scope), request.url.path))

    app = Starlette(routes=[Route("/{tail:path}", view, methods=["GET", "POST"])])
    return asgi.PassRequired(app, ROOMS, exempt=EXEMPT, verifier=verifier())


def aiohttp_app() -> web.Application:
    async def view(request: web.Request) -> web.Response:
        return web.json_response(seen(request[PASS], request.path))

    app = web.Application(middlewares=[pass_required(ROOMS, exempt=EXEMPT, verifier=verifier())])
    app.router.add_route("*", "/{tail:.*}", view)
    return app


def django_view(request: HttpRequest) -> JsonResponse:
    return JsonResponse(seen(request.waitroom_pass, request.path))


urlpatterns = [re_path(r"^.*$", django_view)]


@contextmanager
def django_settings(**changed: Any) -> Iterator[None]:
    """Set Django up, once a process; then change its settings while the block lasts."""
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, LOGGING_CONFIG=None, SECRET_KEY="of a test")
        django.setup()
    ours = {
        "MIDDLEWARE": ["waitroom.verify.django.PassMiddleware"],
        "WAITROOM_ROOMS": ROOMS,
        "WAITROOM_EXEMPT": EXEMPT,
        "WAITROOM_UPSTREAM_SECRET": SECRET,
    }
    with override_settings(**ours | changed):
        yield


# How they are served


@contextmanager
def served_wsgi(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    with _in_thread(server.serve_forever, server.shutdown):
        yield f"http://127.0.0.1:{server.server_port}"
    server.server_close()


@contextmanager
def served_plainly(app: Any) -> Iterator[str]:
    """Serve by the standard library, which folds `Waitroom_Pass` and `Waitroom-Pass` into one."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = plain_server("127.0.0.1", 0, app, WSGIServer, Quiet)
    with _in_thread(server.serve_forever, server.shutdown):
        yield f"http://127.0.0.1:{server.server_port}"
    server.server_close()


@contextmanager
def served_asgi(app: Any) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_config=None, lifespan="auto", ws="none", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)

        def stop() -> None:
            server.should_exit = True

        with _in_thread(lambda: server.run(sockets=[listening]), stop):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def served_aiohttp(app: web.Application) -> Iterator[str]:
    loop, bound = asyncio.new_event_loop(), threading.Event()
    runner = web.AppRunner(app, access_log=None)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        bound.set()

    def serve() -> None:
        loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    with _in_thread(serve, lambda: loop.call_soon_threadsafe(loop.stop)):
        assert bound.wait(30)
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"


@contextmanager
def _in_thread(serve: Callable[[], object], stop: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(30)


@contextmanager
def _django(app: Callable[[], Any], serve: Callable[[Any], AbstractContextManager[str]]) -> Iterator[str]:
    with django_settings(), serve(app()) as url:
        yield url


STORES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "flask": lambda: served_wsgi(flask_app()),
    "flask on wsgiref": lambda: served_plainly(flask_app()),
    "fastapi": lambda: served_asgi(fastapi_app()),
    "starlette": lambda: served_asgi(starlette_app()),
    "aiohttp": lambda: served_aiohttp(aiohttp_app()),
    "django": lambda: _django(get_wsgi_application, served_wsgi),
    "django on asgi": lambda: _django(get_asgi_application, served_asgi),
}
"""Each gives the address of a running store."""
