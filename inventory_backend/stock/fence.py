"""Keep to one server of Redis: each new connection is asked whom it leads to, before anything is sent over it.

A server that was restarted, or a replica in its place, may have forgotten what we were told. A restart breaks every
connection, so nothing reaches the new one unnoticed.
"""


class Fence:
    """The server that the stock was loaded into."""

    def __init__(self) -> None:
        """Let everybody through until one is chosen."""
        self._chosen = ""
        self.has_refused = False

    def admits(self, identity: str) -> bool:
        """Tell whether a connection to the server `identity` may be used."""
        if self._chosen and identity != self._chosen:
            self.has_refused = True
            return False
        return True

    def keep_to(self, identity: str) -> None:
        """Refuse connections to any other server from now on."""
        self._chosen = identity

    def open(self) -> None:
        """Let everybody through again, to see who is there; nothing may be sold meanwhile."""
        self._chosen, self.has_refused = "", False
