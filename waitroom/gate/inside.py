"""What goes along with the store's answer to somebody inside: their pass, kept, renewed or ended."""

from collections.abc import Sequence

from waitroom.gate.cookies import TOKEN_HEADER, is_app
from waitroom.gate.judge import Judge
from waitroom.gate.line import Issued
from waitroom.kernel.asking import Asking
from waitroom.kernel.tasks import Errands
from waitroom.kernel.tokens import Pass
from waitroom.rules.verdicts import Forward

Additions = Sequence[tuple[str, str]]


class Inside:
    """Whoever is in, as their requests go by."""

    def __init__(self, judge: Judge, errands: Errands) -> None:
        """Renew by `judge`; `errands` own what must not die with the visitor's connection."""
        self._judge = judge
        self._line = judge.line
        self._errands = errands

    def shown(self, pass_: Pass) -> str:
        """Return the text of the `Waitroom-Pass` that the store is shown."""
        return self._judge.upstream_pass(pass_)

    def carried(self, room: str) -> None:
        """Count a request that was let through."""
        self._judge.count(room, Forward)

    def answered(
        self, request: Asking, room: str, pass_: Pass, command: str | None, *, is_new: bool = False
    ) -> Additions:
        """Return the headers that go along; the `command` is the store's, and "revoke" ends the session."""
        if command == "revoke":
            _ = self._errands.begin(self._line.end(pass_), name="release session")
            return [("Set-Cookie", self._line.cookies.no_pass(room))]
        if is_new:
            return _handed(request, self._line.renew(pass_, pass_.expires_ms))
        renewed = self._judge.visited(room, pass_)
        return _handed(request, renewed) if renewed else ()


def _handed(request: Asking, issued: Issued) -> list[tuple[str, str]]:
    """Return the headers that hand a pass over: the cookie, and to an app, which keeps none, the token itself."""
    cookie = ("Set-Cookie", issued.cookie)
    return [cookie, (TOKEN_HEADER, issued.text)] if is_app(request) else [cookie]
