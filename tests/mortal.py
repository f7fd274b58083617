"""A till that can die at any call to the outside: whatever outlives it is reached through edges that count and cut.

The edges are given to the real parts by their constructors: the ledger, the scripts of Redis, the gateway. A cut loses
the call on its way, or its answer on the way back, or is the last thing that this process ever did.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from inventory_backend.ledger.groups import Bulk
from inventory_backend.ledger.ledger import Ledger, Unit
from inventory_backend.payments.payments import Charge, Gateway, GatewayUnavailable, Intent, Listed
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner

Found = TypeVar("Found")
Item = TypeVar("Item")


class Died(BaseException):
    """The process is gone: no `except Exception` hears of it."""


@dataclass(frozen=True)
class Cut:
    """What happens to the `nth` call from now: lost "before" it arrives or "after", so that only its answer is.

    With `named`, only the calls of that name count.
    """

    nth: int
    when: str
    is_deadly: bool = True
    named: str = ""


class Life:
    """One life of a till's process: what it asked of the outside, and where that was cut."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.is_over = False
        self._cut: Cut | None = None
        self._left = 0

    def will_be(self, cut: Cut | None) -> None:
        """Count from now on towards `cut`; None lets every call succeed."""
        self._cut, self._left = cut, cut.nth if cut else 0

    async def call(self, name: str, work: Awaitable[Found], lost: Exception) -> Found:
        """Return what `work` finds; when it is cut, it fails as `lost`, or ends this life."""
        if self.is_over:
            _drop(work)
            raise Died
        self.calls.append(name)
        cut = self._due(name)
        if cut is not None and cut.when == "before":
            _drop(work)
            raise self._fate(cut, lost)
        found = await work
        if cut is not None:
            raise self._fate(cut, lost)
        if self.is_over:  # it died meanwhile, elsewhere: nobody hears the answer
            raise Died
        return found

    def _due(self, name: str) -> Cut | None:
        cut = self._cut
        if cut is None or cut.named not in {"", name}:
            return None
        self._left -= 1
        if self._left >= 0:
            return None
        self._cut = None
        return cut

    def _fate(self, cut: Cut, lost: Exception) -> BaseException:
        self.is_over = cut.is_deadly
        return Died() if cut.is_deadly else lost


class MortalLedger(Ledger):
    """The ledger, as a till reaches it in one of its lives."""

    def __init__(self, real: Ledger, life: Life) -> None:
        self.real, self.life = real, life

    def now_ms(self) -> int:
        return self.real.now_ms()

    async def ask_time(self) -> None:
        await self.real.ask_time()

    async def write(self, unit: Unit[Found]) -> Found:
        return await self._call(name_of(unit), self.real.write(unit))

    async def write_together(self, work: Bulk[Item, Found], item: Item) -> Found:
        return await self._call(name_of(work), self.real.write_together(work, item))

    async def read_together(self, work: Bulk[Item, Found], item: Item) -> Found:
        return await self._call(f"read {name_of(work)}", self.real.read_together(work, item))

    async def read(self, unit: Unit[Found]) -> Found:
        return await self._call(f"read {name_of(unit)}", self.real.read(unit))

    async def close(self) -> None:
        await self.real.close()

    async def _call(self, name: str, work: Awaitable[Found]) -> Found:
        return await self.life.call(name, work, StoreUnavailable("the ledger was cut off"))


class MortalScripts(ScriptRunner):
    """The scripts of Redis, as a till reaches them in one of its lives."""

    def __init__(self, real: ScriptRunner, life: Life) -> None:
        self.real, self.life, self.client = real, life, real.client

    async def run(self, name: str, *, keys: Sequence[str], args: Sequence[str | bytes | int | float] = ()) -> Any:
        work = self.real.run(name, keys=keys, args=args)
        return await self.life.call(_staged(name, args), work, StoreUnavailable("redis was cut off"))


class MortalGateway:
    """A gateway, as a till reaches it in one of its lives."""

    def __init__(self, real: Gateway, life: Life) -> None:
        self.real, self.life = real, life

    async def authorise(self, intent: Intent, *, key: str) -> Charge:
        return await self._call("gateway authorise", self.real.authorise(intent, key=key))

    async def retrieve(self, ref: str) -> Charge:
        return await self._call("read gateway", self.real.retrieve(ref))

    async def capture(self, ref: str, *, key: str) -> Charge:
        return await self._call("gateway capture", self.real.capture(ref, key=key))

    async def cancel(self, ref: str) -> Charge:
        return await self._call("gateway cancel", self.real.cancel(ref))

    async def refund(self, ref: str, *, key: str) -> None:
        await self._call("gateway refund", self.real.refund(ref, key=key))

    async def find(self, pid: str) -> Charge | None:
        return await self._call("read gateway", self.real.find(pid))

    async def look(self, ref: str) -> Listed:
        return await self._call("read gateway", self.real.look(ref))

    def listed(self, since_ms: int) -> AsyncIterator[Listed]:
        return self.real.listed(since_ms)

    async def _call(self, name: str, work: Awaitable[Found]) -> Found:
        return await self.life.call(name, work, GatewayUnavailable("the gateway was cut off"))


def name_of(work: Callable[..., object]) -> str:
    """Return what a unit of the ledger is called: its own name, else that of the move it makes."""
    if isinstance(work, partial):
        return str(work.func.__name__)
    cells = dict(zip(work.__code__.co_freevars, work.__closure__ or (), strict=True))
    if "move" in cells:
        return str(cells["move"].cell_contents.__name__)
    own = [part for part in work.__qualname__.split(".") if part not in {"<locals>", "<lambda>", "unit"}]
    return own[-1].strip("_")


def _staged(name: str, args: Sequence[object]) -> str:
    return f"{name} {args[1]}" if name == "stock/load" else name


def _drop(work: Awaitable[object]) -> None:
    work.close()  # type: ignore[attr-defined]  # a coroutine that nobody awaits
