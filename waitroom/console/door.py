"""The door for operators, put together: page, API, changes and metrics on a listener of their own."""

from collections.abc import Mapping

from aiohttp import web

from waitroom.console.actions import Actions
from waitroom.console.guard import Guard
from waitroom.console.page_headers import closed_to_others
from waitroom.console.recorder import Recorder
from waitroom.console.sign_in_page import SignInPage
from waitroom.console.sign_ins import Role
from waitroom.console.views import Views
from waitroom.console.workers import Workers
from waitroom.kernel import metrics
from waitroom.kernel.answers import errors_become_answers
from waitroom.kernel.clock import Clock
from waitroom.kernel.pages import Pages
from waitroom.kernel.tasks import Loop
from waitroom.store.audit import Audit
from waitroom.store.rooms import Rooms

OPERATOR_VARIABLE = "WAITROOM_CONSOLE_TOKEN"
VIEWER_VARIABLE = "WAITROOM_VIEWER_TOKEN"


class Console:
    """Everything that operators reach."""

    def __init__(self, rooms: Rooms, audit: Audit, guard: Guard, pages: Pages, clock: Clock) -> None:
        """Build the parts."""
        self._recorder = Recorder(rooms, Workers(metrics.registry, clock), clock)
        self._views = Views(self._recorder, audit, guard, pages)
        self._actions = Actions(self._recorder, guard)
        self._sign_in = SignInPage(guard, pages)

    def routes(self) -> list[web.RouteDef]:
        """Return every path of the admin listener."""
        return [
            *self._views.routes(),
            *self._actions.routes(),
            web.get("/login", self._sign_in.show),
            web.post("/login", self._sign_in.enter),
            web.post("/logout", self._sign_in.leave),
        ]

    def loops(self) -> list[Loop]:
        """Return what must run while the listener serves (`kernel.tasks.running`)."""
        return [self._recorder.loop]

    def application(self) -> web.Application:
        """Return the admin listener, whole; its shutdown sends home the browsers that watch."""
        app = web.Application(middlewares=[closed_to_others, errors_become_answers])
        app.add_routes(self.routes())
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, app: web.Application) -> None:
        self._recorder.close()


def roles(environment: Mapping[str, str], console_token: str) -> dict[Role, str]:
    """Return the token of each role: viewers have one only where the environment gives it."""
    return {Role.OPERATOR: console_token, Role.VIEWER: environment.get(VIEWER_VARIABLE, "")}
