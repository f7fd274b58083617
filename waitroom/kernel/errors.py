"""What can go wrong, as one small tree: a subclass only where somebody catches it differently."""

from collections.abc import Mapping, Sequence


class WaitroomError(Exception):
    """Anything that this software says no to.

    The message is for the log. `public` is for the visitor, `kind` is the stable slug of the problem type (RFC 9457),
    `extra` holds extension members of the problem document.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 500,
        kind: str = "internal",
        public: str = "Something went wrong on our side. Please try again.",
        retry_after_s: int | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Keep both faces of the error; 425, 429 and 503 must say when to come back."""
        assert status not in {425, 429, 503} or retry_after_s is not None, "say when to come back"
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.public = public
        self.retry_after_s = retry_after_s
        self.extra = dict(extra or {})


class ConfigFault(WaitroomError):
    """The configuration cannot be used; `faults` names every fault with its path."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Keep all the faults: an operator mends them in one go."""
        super().__init__("; ".join(faults), kind="config-fault")
        self.faults = list(faults)


class StoreUnavailable(WaitroomError):
    """Redis or the ledger does not answer."""

    def __init__(self, message: str, *, retry_after_s: int = 2) -> None:
        """Answer 503: nothing was promised, so the visitor may simply try again."""
        super().__init__(
            message,
            status=503,
            kind="store-unavailable",
            public="We cannot reach our records for a moment. Nothing is lost: please try again.",
            retry_after_s=retry_after_s,
        )


class UpstreamUnavailable(WaitroomError):
    """The store behind the gate does not answer, or not in HTTP."""

    def __init__(self, message: str, *, status: int = 502) -> None:
        """Answer 502 (no connection, no HTTP) or 504 (no answer in time)."""
        kind = "upstream-timeout" if status == 504 else "upstream-unavailable"
        public = "The shop is not answering right now. Your place inside is kept: please try again in a moment."
        super().__init__(message, status=status, kind=kind, public=public)


class BadToken(WaitroomError):
    """A ticket or pass that is forged, foreign or out of date."""

    def __init__(self, message: str, *, kind: str = "bad-token") -> None:
        """Answer 403 without saying which check failed."""
        public = "This ticket or pass is not valid here. Please open the page again to get a new one."
        super().__init__(message, status=403, kind=kind, public=public)


class ForbiddenMove(WaitroomError):
    """A state machine was asked for a move it does not have."""

    def __init__(self, message: str) -> None:
        """Answer 409: what was asked does not fit the present state."""
        super().__init__(message, status=409, kind="forbidden-move", public="That is not possible any more.")


class Refused(WaitroomError):
    """An expected no: bad input, not now, not yours."""

    def __init__(
        self,
        status: int,
        kind: str,
        public: str,
        *,
        retry_after_s: int | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Say no with a status, a stable kind and a sentence that tells what to do."""
        super().__init__(
            f"{kind}: {public}", status=status, kind=kind, public=public, retry_after_s=retry_after_s, extra=extra
        )
