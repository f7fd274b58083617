"""The secrets of the till, as the operator writes down where they lie: never in the settings themselves."""

import os
from collections.abc import Mapping
from hashlib import sha256

from pydantic import Field

from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import OptionalPath, Settings, read_private

OPS_TOKEN_VARIABLE = "WAITROOM_TILL_OPS_TOKEN"  # noqa: S105 - the name of a variable, not what is in it

_SHORTEST_TOKEN = 32


class Secrets(Settings):
    """The secret of the room; WAITROOM_UPSTREAM_SECRET and WAITROOM_SECRET in the environment override it."""

    file: OptionalPath = Field(None, description="The room's signing secret (mode 0600), one or two, newest last.")
    identity_file: OptionalPath = Field(None, description="The secret (mode 0600) by which the store says who buys.")
    ops_token_file: OptionalPath = Field(
        None,
        description="The token (mode 0600) by which ops refund orders over HTTP; WAITROOM_TILL_OPS_TOKEN overrides it.",
    )

    def ops_token_hash(self, environment: Mapping[str, str] = os.environ) -> bytes:
        """Return the SHA-256 of the token of ops; nothing where there is none.

        Raises:
            ConfigFault: it cannot be read, others may read it, or it could be guessed.
        """
        given = environment.get(OPS_TOKEN_VARIABLE, "").strip()
        if not given and self.ops_token_file is not None:
            given = read_private(self.ops_token_file) or "-"
        if given and (len(given) < _SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given):
            told = f"give a token of at least {_SHORTEST_TOKEN} printable characters, without a space"
            raise ConfigFault([f"secrets.ops_token_file: {told}"])
        return sha256(given.encode()).digest() if given else b""
