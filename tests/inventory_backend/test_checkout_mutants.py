"""A till that breaks one rule of its protocol is found out: each mutant is the real source with one thing changed."""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inventory_backend import money_back
from inventory_backend.checkout import Checkout
from inventory_backend.door.callbacks import Callbacks
from inventory_backend.door.ops import Ops
from inventory_backend.ledger import engines, holds, orders, settlement, shards
from inventory_backend.payments import signatures
from inventory_backend.payments.saga import Saga
from inventory_backend.stock.counter import Counter as HoldCounter
from tests.inventory_backend.test_checkout_crashes import told

GREED = "redis counts too many, and shoppers take what they can"
LATE_LOST = "late money, others have them"
SCATTERED = "units lie scattered"
MISLED = "redis thinks units here that lie there"
LATE_ELSEWHERE = "late money, units lie on another shard"
REFUNDED = "a refund that everybody asks for"
STRANGERS = "the bank's page is left, and strangers say that it is paid"
UNCHECKED = (engines._prepare_sqlite, '"journal_mode=WAL"', '"ignore_check_constraints=ON", "journal_mode=WAL"')
"""The database looks at none of its CHECKs: what stands behind the guard is gone too."""

Change = tuple[Callable[..., Any], str, str]


@dataclass(frozen=True)
class Mutant:
    """What is changed, and the story that goes wrong by it, where the till dies at a call (`when`)."""

    changes: tuple[Change, ...]
    story: str
    dies_at: str = ""
    when: str = "after"


MUTANTS = {
    "the guard is gone": Mutant(
        (
            UNCHECKED,
            (
                holds.allocate,
                'change_rows(connection, _GUARDED, {"in_sale": sale, "named": name, "qty": qty})',
                "connection.execute(update(sku).where(sku.c.sale == sale, sku.c.sku == name)"
                ".values(allocated=sku.c.allocated + qty, version=sku.c.version + 1)).rowcount",
            ),
        ),
        GREED,
    ),
    "the limit is in Redis only": Mutant((UNCHECKED,), GREED),
    "late money is not guarded": Mutant(
        (
            (
                settlement._is_counted,
                "_allocated_again(connection, found.rid, note)",
                "move(connection, found.rid, HoldState.EXPIRED, HoldState.CAPTURING)",
            ),
        ),
        LATE_LOST,
    ),
    "a hold is answered before its commit": Mutant(
        (
            (
                Checkout._reserve,
                "taken = await self._ledger.write_together(holds.take, asked)",
                "taken = (self._counter._errands.begin(self._ledger.write_together(holds.take, asked), name='take')"
                " and Taken.HELD)",
            ),
        ),
        "a purchase",
        "take",
        "before",
    ),
    "late money is let go on paper only": Mutant(
        ((Saga._void, "await gateway.cancel(attempt.ref)", "Charge(attempt.ref, ChargeStatus.CANCELLED)"),),
        LATE_LOST,
    ),
    "late money is taken although others have the units": Mutant(
        ((settlement.authorised, "if _is_counted(connection, found, note):", "if True:"),),
        LATE_LOST,
    ),
    "units go back before the gateway lets go": Mutant(
        ((Saga._authorise, "await gateway.cancel(ref)", "Charge(ref, ChargeStatus.CANCELLED)"),),
        "the bank's page is left",
    ),
    "a hold ends while its payment moves": Mutant(
        ((orders.place, "deadline_ms + placing.grace_ms", "row.held_until_ms"),),
        "a payment begun at the last moment",
    ),
    "a hold moves from wherever it stands": Mutant(
        ((holds.move, ", reservation.c.state == before)", ")"),),
        LATE_LOST,
    ),
    "each try to pay has a key of its own": Mutant(
        ((Saga._asked, "key=attempt.key", "key=attempt.key + __import__('secrets').token_hex()"),),
        "a purchase",
        "gateway authorise",
    ),
    "whoever tells is the gateway": Mutant(
        ((Callbacks.hear, "not is_genuine(self._secrets, marks[0], body, now_s)", "False"),), STRANGERS
    ),
    "an old word counts for ever": Mutant(
        ((signatures.is_genuine, "abs(now_s - at_s) > TOLERANCE_S", "False"),), STRANGERS
    ),
    "whoever asks is ops": Mutant(
        ((Ops._is_ops, "hmac.compare_digest(found, self._token_hash)", "bool(found)"),), STRANGERS
    ),
    "the room's own way leads to ops": Mutant(
        ((Ops._for_ops, "if any(name in request.headers for name in _PASSED_ON)", "if False"),), STRANGERS
    ),
    "a refund is told and not written down": Mutant(
        ((money_back._begun, "refunds.refund(connection, order, note)", "(Refunding.BEGUN, '')"),), REFUNDED
    ),
    "a shard gives and keeps": Mutant(((shards._move, "deltas[giver] -= qty", "pass"),), SCATTERED),
    "what lies scattered is not gathered": Mutant(
        ((HoldCounter._hold, "await self._shards.gather(sale, [line])", "False"),), SCATTERED
    ),
    "units are taken where they are not": Mutant(
        ((Checkout._reserve, "await self._counter.gather(sale, passed.lines, rid)", "False"),), MISLED
    ),
    "late money does not look at the other shards": Mutant(
        (
            (
                settlement._allocated_again,
                "gather(connection, row.sale, {each.shard_name: each.qty for each in lines}, note.now_ms)",
                "pass",
            ),
        ),
        LATE_ELSEWHERE,
    ),
    "an answer is not kept with its effect": Mutant(
        ((holds._write, "keep(connection, [one.kept for one in wanted], wanted[0].now_ms)", "pass"),),
        "a purchase",
        "take",
    ),
}


def seeded(patch: pytest.MonkeyPatch, change: Change) -> None:
    """Change the code of a function where it stands: whoever imported it runs the changed one."""
    function, old, new = change
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{function.__qualname__} has {old!r} {source.count(old)} times"
    made: dict[str, Any] = {}
    exec(compile(source.replace(old, new), inspect.getfile(function), "exec"), function.__globals__, made)
    patch.setattr(function, "__code__", made[function.__name__].__code__)


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_till_that_breaks_a_rule_is_found_out(
    name: str, tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = MUTANTS[name]
    ledger_url, redis_url = f"sqlite:///{tmp_path}/ledger.db", f"{valkey_url}?db=2"
    await told(mutant.story, f"sqlite:///{tmp_path}/sound.db", redis_url)  # what it accuses is the mutant
    for change in mutant.changes:
        seeded(monkeypatch, change)

    with pytest.raises(AssertionError):
        await told(mutant.story, ledger_url, redis_url, mutant.dies_at or None, mutant.when)
