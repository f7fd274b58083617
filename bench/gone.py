"""Sold out, as the till says it to who comes too late, beside the pulse, in one run: `python -m bench.gone`.

Both are bytes made ahead of time. A reserve brings more than the pulse, which asks for no pass: a pass that the till
has not seen before (`first`), or one of a few that come again and again (`again`); a look at the sale brings none.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from bench import gate, till
from bench.parts import SECRET, answered, event_in_an_hour, measured, on_valkey, worker, wrk
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.tokens import Keys, UpstreamPassSigner

_RESERVE = """
local passes, number = {{}}, 0
for line in io.lines("{passes}") do passes[#passes + 1] = line end
local body = '{{"sale":"drop","lines":[{{"sku":"sneaker","qty":1}}]}}'
request = function()
  number = number + 1
  local told = {{["Content-Type"] = "application/json", ["Idempotency-Key"] = "key-" .. number}}
  told["Waitroom-Pass"] = passes[number % #passes + 1]
  return wrk.format("POST", "/checkout/reserve", told, body)
end
"""
_PASSES = {"first": 200_000, "again": 500}
"""How many different passes come: the till knows some ten thousand again."""


def compared(folder: Path, *, rounds: int, seconds: int) -> dict[str, object]:
    """Return CPU per request in µs of each, with the least and the most, and how many pulses it costs."""
    edge, shop = free_loopback(), free_loopback()
    signer = UpstreamPassSigner(Keys([SECRET.encode()]))
    for name in ("edge", "till"):
        (folder / name).mkdir()
    own = folder / "till"
    (own / "inventory.toml").write_text(till.CONFIG.format(till=shop, stock=0, ledger='file = "ledger.sqlite"'))
    scripts = {name: own / f"{name}.lua" for name in _PASSES}
    for name, many in _PASSES.items():
        (passes := own / f"{name}.txt").write_text("\n".join(till.shown(signer, number) for number in range(many)))
        scripts[name].write_text(_RESERVE.format(passes=passes))
    with ExitStack() as stack:
        config = gate.CONFIG.format(edge=edge, ops=free_loopback()) + event_in_an_hour()
        pulse = stack.enter_context(worker(folder / "edge", edge, config))
        sold_out = stack.enter_context(on_valkey(own, "inventory_backend", "-c", "inventory.toml", appendonly=True))
        answered(f"http://{shop}/readyz")
        reserve = partial(wrk, f"http://{shop}/checkout/reserve", seconds=seconds, is_refused=True)
        ways = {
            "pulse": (pulse.pid, partial(wrk, f"http://{edge}/.waitroom/drop/pulse", seconds=seconds)),
            "a look at the sale": (sold_out.pid, partial(wrk, f"http://{shop}/sales/drop", seconds=seconds)),
            **{
                f"sold out, {name}": (sold_out.pid, partial(reserve, script=script)) for name, script in scripts.items()
            },
        }
        costs: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (pid, load) in ways.items():
                costs[name].append(measured({name: pid}, load).cpu_us(name))
    return {
        name: {
            "median": round(median(cost), 1),
            "least": round(min(cost), 1),
            "most": round(max(cost), 1),
            "pulses": round(median(a / b for a, b in zip(cost, costs["pulse"], strict=True)), 2),
        }
        for name, cost in costs.items()
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.gone", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wr-gone-") as folder:
        print(json.dumps(compared(Path(folder), rounds=asked.rounds, seconds=asked.seconds), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
