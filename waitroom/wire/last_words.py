"""What is said as prepared bytes to who gets no further: nothing is parsed for them, and no task begun."""

from functools import cache

from waitroom.kernel.answers import problem
from waitroom.kernel.errors import Refused
from waitroom.kernel.prepared import on_the_wire

BUSY = Refused(503, "busy", "Too many connections are open right now. Please try again shortly.", retry_after_s=5)
HEADER_TOO_LARGE = Refused(431, "header-too-large", "The header of this request is too large; fewer cookies may help.")
HEADER_STALLED = Refused(408, "header-stalled", "The header of this request did not arrive in time.")


@cache
def last_words(fault: Refused) -> bytes:
    """Return `fault` as the bytes of a whole answer, after which the connection ends."""
    return on_the_wire(problem(fault), None, is_last=True)
