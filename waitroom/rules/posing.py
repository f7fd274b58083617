"""What every challenge of this installation is posed under: its keys, and the event of a room as one text."""

from waitroom.kernel.tokens import Keys
from waitroom.rules.challenges import ChallengeKeys


def challenge_keys(keys: Keys) -> ChallengeKeys:
    """Return the keys that follow from the installation's secrets, the elder ones too."""
    return ChallengeKeys.from_secrets(keys.derive("challenge"), keys.derive("ticket-id"))


def event_text(room: str, event: str) -> str:
    """Return what a challenge calls `event` of `room`: work that was done for one is worth nothing in another."""
    return f"{room}/{event}"
