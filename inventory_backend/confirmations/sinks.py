"""What every way out has in common: it takes a notice, and says what became of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from inventory_backend.ledger.deliveries import Notice
from inventory_backend.ledger.news import News


class Fate(StrEnum):
    """What became of one try."""

    SENT = "sent"
    LATER = "later"
    REFUSED = "refused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One try: why it failed, for ops (no secret and no address), and when to try again at the soonest."""

    fate: Fate
    fault: str = ""
    wait_s: int = 0


SENT = Outcome(Fate.SENT)


class Sink(Protocol):
    """A way out. `name` stands in the ledger: under another name it is another sink."""

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        ...

    @property
    def kinds(self) -> frozenset[News]:
        """What it wants to hear of."""
        ...

    @property
    def timeout_ms(self) -> int:
        """How long one try may take."""
        ...

    async def send(self, notice: Notice) -> Outcome:
        """Try once."""
        ...
