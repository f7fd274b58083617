"""Hold what one address or one person may do to a rate: the Python face of lua/limits/."""

from dataclasses import dataclass

from waitroom.kernel.redis import ScriptRunner
from waitroom.store.keys import limit_key


@dataclass(frozen=True, slots=True)
class Taken:
    """The take passed; `left` more units could be taken at once."""

    left: int


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Nothing was taken; the same take passes in `wait_ms`."""

    wait_ms: int

    @property
    def wait_s(self) -> int:
        """Whole seconds for `Retry-After` (RFC 9110 §10.2.3), at least 1."""
        return max(1, -(-self.wait_ms // 1000))


class Limits:
    """The meters of all keys; each is one small number in Redis that ends by itself."""

    def __init__(self, runner: ScriptRunner) -> None:
        """Count through `runner`."""
        self._runner = runner

    async def take(self, key: str, rate_per_minute: float, burst: int, cost: int = 1) -> Taken | RetryAfter:
        """Take `cost` units of `key`, or learn when that would pass.

        `key` names what is limited and whom ("join:203.0.113.0/24"). A `cost` of 0 looks without taking.

        Raises:
            StoreUnavailable: Redis does not answer; the caller knows whether to let the visitor through.
        """
        assert rate_per_minute > 0, "a rate of nothing is a refusal, not a limit"
        assert 0 <= cost <= burst, "more than a burst never passes"
        word, number = await self._runner.run(
            "limits/take", keys=[limit_key(key)], args=[rate_per_minute, burst, cost, 0]
        )
        return Taken(int(number)) if word == "taken" else RetryAfter(int(number))
