"""Invites: signed codes that let a ticket stand in another lane, each as often as it says."""

import secrets

from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Invite, InviteSigner, Keys
from waitroom.store.keys import RoomKeys

_GRACE_MS = 24 * 3600 * 1000
"""How long the uses of a code are remembered beyond its end: clocks differ, a code that ran out is refused anyhow."""


class Invites:
    """The codes of all rooms: nothing is stored of one before it is used."""

    def __init__(self, runner: ScriptRunner, keys: Keys) -> None:
        """Count through `runner`; sign with `keys`."""
        self._runner = runner
        self._signer = InviteSigner(keys)

    def made(self, invite: Invite, count: int) -> list[str]:
        """Return `count` new codes like `invite`, each with an id of its own."""
        ids = [secrets.token_urlsafe(9) for _ in range(count)]
        return [
            self._signer.sign(Invite(invite.room, invite.event, invite.lane, id_, invite.uses, invite.expires_ms))
            for id_ in ids
        ]

    def read(self, code: str, *, room: str, event: str) -> Invite:
        """Return the invite in `code`; whether it has run out is for the caller to see.

        Raises:
            BadToken: forged, damaged, or of another room or event.
        """
        return self._signer.verify(code, room=room, event=event)

    async def redeem(self, invite: Invite, ticket_id: str) -> bool:
        """Let a ticket use `invite`, once; return whether it may. One without a limit needs no count."""
        if invite.uses == 0:
            return True
        reply = await self._runner.run(
            "invites/redeem",
            keys=[RoomKeys(invite.room, invite.event).invite(invite.invite_id)],
            args=[ticket_id, invite.uses, invite.expires_ms + _GRACE_MS],
        )
        return bool(reply[0] == "redeemed")
