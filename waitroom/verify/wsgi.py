"""The check for stores on WSGI: Flask, Pyramid, Bottle, and every other.

A WSGI server folds `Waitroom_Pass` and `Waitroom-Pass` into one name before anybody sees it. Where both came, they are
joined with a comma, which no pass holds; where one came, it must still be signed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from waitroom.kernel.errors import WaitroomError
from waitroom.kernel.tokens import Pass
from waitroom.verify.checkpoint import Checkpoint, as_sent, refusal
from waitroom.verify.passes import Verifier

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

ENVIRON_KEY = "waitroom.pass"
_HEADER = "HTTP_WAITROOM_PASS"


class PassRequired:
    """A WSGI application around another: `app.wsgi_app = PassRequired(app.wsgi_app, {"drop": ["/drop/"]})`."""

    def __init__(
        self,
        app: Application,
        rooms: Mapping[str, Sequence[str]],
        *,
        exempt: Iterable[str] = (),
        verifier: Verifier | None = None,
    ) -> None:
        """Guard `app` as `Checkpoint` does; without a `verifier` the secret is in WAITROOM_UPSTREAM_SECRET."""
        self._app = app
        self._checkpoint = Checkpoint(rooms, exempt=exempt, verifier=verifier)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, its pass in `environ["waitroom.pass"]`; or refuse it."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        values = [environ[_HEADER]] if _HEADER in environ else []
        try:
            environ[ENVIRON_KEY] = self._checkpoint.check(as_sent(path.encode("latin-1", "replace")), values)
        except WaitroomError as fault:
            accept, mode = environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_SEC_FETCH_MODE")
            refused = refusal(fault, method=environ.get("REQUEST_METHOD", ""), accept=accept, fetch_mode=mode)
            start_response(f"{refused.status} {HTTPStatus(refused.status).phrase}", list(refused.headers))
            return [refused.body]
        return self._app(environ, start_response)


def admitted(environ: Mapping[str, Any]) -> Pass | None:
    """Return the pass of a request; None where none was needed."""
    found = environ.get(ENVIRON_KEY)
    return found if isinstance(found, Pass) else None
