"""A ticket's way through the line, below HTTP."""

from dataclasses import replace

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.edges import EVENT, Store, as_app, front
from waitroom.gate.line import Issued, Line, lapsed
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Ticket, TicketSigner
from waitroom.store.board import Board
from waitroom.store.sessions import NotYet, Over


def line_of(edge: object) -> Line:
    line = edge._line  # type: ignore[attr-defined]  # the part under test, taken out of the whole
    assert isinstance(line, Line)
    return line


async def test_a_claim_of_a_ticket_that_redis_lost_presents_it_first(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as before:
        ticket = line_of(before.edge).slow_ticket("drop")
        ticket = replace(ticket, issued_ms=ticket.issued_ms - 60_000)  # it has paid its time
        await line_of(before.edge).present(ticket, is_new=True)
    await redis.client.flushdb()
    async with front(redis, keys, store, opens_in_s=-1) as after:
        outcome = await line_of(after.edge).claim(ticket)
        await after.tick()
        again = await line_of(after.edge).claim(ticket)

    assert isinstance(outcome, NotYet)
    assert isinstance(again, Issued)


async def test_a_ticket_out_of_date_is_no_ticket(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60, ticket_lifetime="1h") as shop:
        old = Ticket("drop", EVENT, "main", "t" * 20, shop.edge.rooms.now_ms() - 3_601_000, 1.0)
        request = make_mocked_request("GET", "/", headers=as_app(TicketSigner(keys).sign(old)))

        assert line_of(shop.edge).held_ticket(request, "drop") is None


async def test_before_the_first_tick_it_says_come_back(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        line = line_of(shop.edge)
        blank = Line(line.rooms, line.sessions, Board(shop.edge._clock), line.cookies)

        with pytest.raises(StoreUnavailable):
            blank.snapshot("drop")
        with pytest.raises(Refused, match="unknown-room"):
            blank.snapshot("nowhere")


@pytest.mark.parametrize("why", ["lapsed", "ended"])
def test_what_is_over_is_gone(why: str) -> None:
    fault = lapsed(Over(why).why)

    assert (fault.status, fault.kind) == (410, why)
