"""Prepared refusals are whole answers."""

import pytest

from tests.wire import faults_of, whole_reply
from waitroom.kernel.errors import Refused
from waitroom.wire.last_words import BUSY, HEADER_STALLED, HEADER_TOO_LARGE, last_words


@pytest.mark.parametrize(("fault", "status"), [(BUSY, 503), (HEADER_TOO_LARGE, 431), (HEADER_STALLED, 408)])
def test_each_is_one_whole_problem_that_ends_the_connection(fault: Refused, status: int) -> None:
    reply = whole_reply(last_words(fault))

    assert (reply.status, reply.kind) == (status, fault.kind)
    assert int(reply.headers["Content-Length"]) == len(reply.body)
    assert reply.headers["Connection"] == "close"
    assert reply.headers["Cache-Control"] == "no-store"
    assert faults_of(reply) == []
