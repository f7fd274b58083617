"""What all front doors of one listener share, and what they hand requests to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from waitroom.gate.prompt import Onward, Prompt
from waitroom.kernel.clock import Clock
from waitroom.proxy.inlet import PIECE_BYTES
from waitroom.rules.heads import Head
from waitroom.wire.connections import Bounds
from waitroom.wire.listener import Listener

if TYPE_CHECKING:
    from waitroom.wire.front_door import FrontDoor


class Carriage(Protocol):
    """One plain request on its way to an upstream and back; it ends with `FrontDoor.carried` or `hand_over`."""

    has_begun: bool
    """Whether any of the answer has gone to the client."""

    def look(self, now_s: float) -> None:
        """Give up if the upstream has been silent for too long."""
        ...

    def pause(self) -> None:
        """Take no more from the upstream: the client does not take it."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...

    def cancel(self) -> None:
        """Let go of everything: the client has gone."""
        ...


Carry = Callable[["FrontDoor", Head, Onward], Carriage | None]
"""Begins to carry a plain request; None where that is for the others to do."""
Receive = Callable[["FrontDoor", bytes], int]
"""Answers the plain POST that bytes begin with, or begins to, and tells how long that was; 0 as above."""
Stay = Callable[["FrontDoor", str], bool]
"""Lets a connection follow a room; False where that is for the others to refuse."""


@dataclass(slots=True)
class Frame:
    """What all front doors of one listener share; without a `prompt` everything is aiohttp's."""

    listener: Listener
    bounds: Bounds
    clock: Clock
    prompt: Prompt | None = None
    carry: Carry | None = None
    stay: Stay | None = None
    receive: Receive | None = None
    buffer: bytearray = field(default_factory=lambda: bytearray(PIECE_BYTES))
