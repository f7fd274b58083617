"""The same request gets the same answer."""

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger import idempotency
from inventory_backend.ledger.idempotency import Answer, Asked, Replays, asked, keep
from inventory_backend.ledger.ledger import Ledger
from waitroom.kernel.errors import Refused

BODY = {"sale": "drop", "qty": 1}


@pytest.fixture
def replays(ledger: Ledger) -> Replays:
    return Replays(ledger)


def ask(body: object = BODY, *, shopper: str = "alice", route: str = "reserve", key: str = "k") -> Asked:
    return asked(route, shopper, key, body)


class Effect:
    """Something that must happen once."""

    def __init__(self, ledger: Ledger, ask: Asked) -> None:
        self.ledger, self.ask, self.times = ledger, ask, 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self) -> Answer:
        self.times += 1
        await self.may_end.wait()
        kept = self.ask.kept(201, {"n": self.times})
        await self.ledger.write(lambda connection: keep(connection, [kept], self.ledger.now_ms()))
        return Answer(kept.status, kept.body)


async def refusal(replays: Replays, ask: Asked, effect: Effect) -> Refused:
    with pytest.raises(Refused) as refused:
        await replays.once(ask, effect)
    return refused.value


async def test_the_first_answer_is_given_again(ledger: Ledger, replays: Replays) -> None:
    effect = Effect(ledger, ask())

    first = await replays.once(ask(), effect)
    second = await replays.once(ask(), effect)

    assert (first, second) == (Answer(201, '{"n":1}'), Answer(201, '{"n":1}', is_replayed=True))
    assert effect.times == 1


async def test_it_is_given_again_by_another_process(ledger: Ledger, replays: Replays) -> None:
    await replays.once(ask(), Effect(ledger, ask()))

    assert (await Replays(ledger).once(ask(), Effect(ledger, ask()))).is_replayed


async def test_another_body_under_the_key_is_refused(ledger: Ledger, replays: Replays) -> None:
    effect = Effect(ledger, ask())
    await replays.once(ask(), effect)

    assert (await refusal(replays, ask({"qty": 2}), effect)).status == 422
    assert effect.times == 1


async def test_the_order_of_members_makes_no_other_body(ledger: Ledger, replays: Replays) -> None:
    await replays.once(ask({"a": 1, "b": 2}), Effect(ledger, ask({"a": 1, "b": 2})))

    assert (await replays.once(ask({"b": 2, "a": 1}), Effect(ledger, ask()))).is_replayed


async def test_a_second_while_the_first_runs_is_told_to_wait(ledger: Ledger, replays: Replays) -> None:
    effect = Effect(ledger, ask())
    effect.may_end.clear()
    first = asyncio.gather(replays.once(ask(), effect))
    while not effect.times:
        await asyncio.sleep(0)

    refused = await refusal(replays, ask(), effect)
    effect.may_end.set()

    assert (refused.status, refused.kind, refused.retry_after_s) == (409, "request-in-flight", 1)
    assert (await first)[0].status == 201


async def test_other_shoppers_and_routes_have_keys_of_their_own(ledger: Ledger, replays: Replays) -> None:
    for one in (ask(), ask(shopper="bob"), ask(route="commit"), ask(key="other")):
        assert not (await replays.once(one, Effect(ledger, one))).is_replayed


async def test_a_refusal_is_not_kept(ledger: Ledger, replays: Replays) -> None:
    async def refused() -> Answer:
        raise Refused(409, "sold-out", "no")

    with pytest.raises(Refused):
        await replays.once(ask(), refused)

    assert (await replays.once(ask(), Effect(ledger, ask()))).status == 201


class Guarded(Effect):
    """Something that the ledger itself does not do twice."""

    async def __call__(self) -> Answer:
        try:
            return await super().__call__()
        except IntegrityError as fault:
            raise Refused(409, "sold-out", "no") from fault


async def test_what_must_refuse_itself_is_done_first_and_looked_up_only_then(ledger: Ledger, replays: Replays) -> None:
    """Another till has answered: its answer is given, whatever the effect would say."""
    assert await replays.first(ask(), Guarded(ledger, ask())) == Answer(201, '{"n":1}')
    for other in (replays, Replays(ledger)):
        assert (await other.first(ask(), Guarded(ledger, ask()))).is_replayed
        with pytest.raises(Refused) as refused:
            await other.first(ask({"qty": 2}), Guarded(ledger, ask({"qty": 2})))
        assert refused.value.status == 422


async def test_a_key_that_was_met_before_is_looked_up_and_not_done_again(ledger: Ledger) -> None:
    other, effect = Replays(ledger), Guarded(ledger, ask())
    await Replays(ledger).first(ask(), Guarded(ledger, ask()))

    for _ in range(3):
        assert (await other.first(ask(), effect)).is_replayed

    assert effect.times == 1


async def test_what_is_refused_and_was_never_answered_stays_refused(ledger: Ledger, replays: Replays) -> None:
    async def refused() -> Answer:
        raise Refused(409, "sold-out", "no")

    with pytest.raises(Refused, match="sold-out"):
        await replays.first(ask(), refused)
    assert (await replays.first(ask(), Guarded(ledger, ask()))).status == 201


async def test_of_the_keys_that_were_met_the_oldest_are_forgotten(
    ledger: Ledger, replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_REMEMBERED", 2)
    effects = {key: Guarded(ledger, ask(key=key)) for key in "abc"}
    for key, effect in effects.items():
        await replays.first(ask(key=key), effect)
    for key, effect in reversed(effects.items()):
        assert (await replays.first(ask(key=key), effect)).is_replayed

    assert [effect.times for effect in effects.values()] == [2, 1, 1]


@pytest.mark.parametrize("key", [None, "", "x" * 256, "a\nb", "\x00"])
def test_a_key_is_needed(key: str | None) -> None:
    with pytest.raises(Refused) as refused:
        asked("reserve", "alice", key, BODY)
    assert (refused.value.status, refused.value.kind) == (400, "idempotency-key-missing")
