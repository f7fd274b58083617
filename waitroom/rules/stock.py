"""What the store behind still has to sell, as it says itself, and how that is told to those who wait."""

from dataclasses import dataclass

_EXACT = 20
"""From this number on a stock is told in two figures: it changes while it is read."""


@dataclass(frozen=True, slots=True)
class StockRules:
    """How admission heeds it: how long a report counts, and how long somebody who came in is counted on to buy."""

    lasts_ms: int = 15_000
    deciding_ms: int = 20_000


USUAL_STOCK = StockRules()


@dataclass(frozen=True, slots=True)
class Stock:
    """Units that are free, units that are set aside and may come back, and how many more may be called for them."""

    left: int
    held: int
    may_buy: int


def told(stock: Stock | None) -> dict[str, int] | None:
    """Return what the public may know of it; None where the store does not say."""
    return None if stock is None else {"left": stock.left, "held": stock.held}


def is_short(stock: Stock, ahead: int) -> bool:
    """Whether there may be nothing for who has `ahead` people before them: then nobody can say how long they wait."""
    return stock.left == 0 or ahead >= stock.left + stock.held


def in_line(stock: Stock, ahead: int) -> str:
    """Return what somebody with `ahead` people before them reads; the page's JavaScript has the same rule."""
    if stock.left == 0:
        return f"Nothing is free this moment. {stock.held:,} set aside may come back: then the line moves on."
    before = f"{ahead:,}" if ahead else "nobody"
    doubt = ": it may sell out before your turn." if is_short(stock, ahead) else "."
    return f"{about(stock.left)} left, {before} ahead of you{doubt}"


def about(units: int) -> str:
    """Return a number of units, rounded down to two figures: "About 1,900" of 1,953; small ones as they are."""
    if units < _EXACT:
        return str(units)
    step: int = 10 ** (len(str(units)) - 2)
    return f"About {units // step * step:,}"
