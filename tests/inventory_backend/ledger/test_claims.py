"""A payment is carried by one till at a time: the claim ends with the step, with the payment, or with the till."""

from functools import partial

from inventory_backend.ledger import claims, settlement
from inventory_backend.ledger.claims import Claim
from inventory_backend.ledger.ledger import Ledger
from tests.bookkeeping import NOW_MS
from tests.inventory_backend.ledger.test_settlement import NOTE, authorise, paying

UNTIL_MS = NOW_MS + 1000


def by(name: str, now_ms: int = NOW_MS, until_ms: int = UNTIL_MS) -> Claim:
    return Claim(name, now_ms, until_ms)


async def claimed(ledger: Ledger, claim: Claim, most: int = 10) -> list[str]:
    return await ledger.write(partial(claims.claim, claimed=claim, most=most))


async def test_a_payment_is_claimed_once_until_its_time_is_over(ledger: Ledger) -> None:
    pid = await paying(ledger)

    assert await claimed(ledger, by("a")) == [pid]
    assert await claimed(ledger, by("b")) == []
    assert await claimed(ledger, by("a")) == [], "it is under way there"
    assert not await ledger.read(partial(claims.is_any_due, now_ms=UNTIL_MS - 1))
    assert await claimed(ledger, by("b", UNTIL_MS, UNTIL_MS + 1)) == [pid]


async def test_who_waits_for_longest_is_claimed_first_and_no_more_than_there_is_room(ledger: Ledger) -> None:
    pids = [await paying(ledger, f"s{n}") for n in range(4)]
    for n, pid in enumerate(pids):
        await ledger.write(partial(settlement.postpone, pid=pid, next_ms=NOW_MS - n))

    assert sorted(await claimed(ledger, by("a"), most=3)) == sorted(pids[1:])
    assert await claimed(ledger, by("b")) == pids[:1]


async def test_a_claim_is_renewed_by_who_has_it_and_by_nobody_else(ledger: Ledger) -> None:
    pid = await paying(ledger)

    first = await ledger.write(partial(claims.renew, pid=pid, claimed=by("a")))
    assert first is not None
    assert (first.claimed_by, first.claimed_until_ms) == ("a", UNTIL_MS)
    assert await ledger.write(partial(claims.renew, pid=pid, claimed=by("b"))) is None
    longer = await ledger.write(partial(claims.renew, pid=pid, claimed=by("a", NOW_MS + 1, UNTIL_MS + 1)))
    assert longer is not None
    assert longer.claimed_until_ms == UNTIL_MS + 1


async def test_a_claim_ends_when_the_payment_is_postponed_or_settled(ledger: Ledger) -> None:
    waits, ends = await paying(ledger), await paying(ledger, "bob")
    await claimed(ledger, by("a"))

    later = await ledger.write(partial(settlement.postpone, pid=waits, next_ms=NOW_MS + 5, by="b"))
    assert (later.next_ms, later.claimed_by) == (NOW_MS, "a"), "who does not carry it postpones nothing"
    later = await ledger.write(partial(settlement.postpone, pid=waits, next_ms=NOW_MS + 5, by="a"))
    await authorise(ledger, ends)
    going_on = await ledger.read(partial(settlement.attempt, pid=ends))
    await authorise(ledger, ends, is_captured=True)
    await ledger.write(partial(settlement.captured, pid=ends, note=NOTE))
    over = await ledger.read(partial(settlement.attempt, pid=ends))

    assert (later.claimed_by, going_on.claimed_by, over.claimed_by) == (None, "a", None)
    assert await claimed(ledger, by("b", NOW_MS + 5, UNTIL_MS)) == [waits]


async def test_what_is_given_back_is_free_at_once(ledger: Ledger) -> None:
    mine, theirs = await paying(ledger), await paying(ledger, "bob")
    await claimed(ledger, by("a"), most=1)
    await claimed(ledger, by("b"))

    await ledger.write(partial(claims.give_back, by="a"))

    free = await claimed(ledger, by("c"))
    assert len(free) == 1
    assert set(free) < {mine, theirs}
