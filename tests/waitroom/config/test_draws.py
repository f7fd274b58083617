"""The beacon of a room: drand's main chain unless another is named, and only where there is a draw."""

import pytest

from waitroom.config import Beacon, Room
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import parse
from waitroom.rules.beacons import BeaconKind


def test_the_default_chain_is_the_one_that_drand_calls_quicknet() -> None:
    beacon = parse({"kind": "drand"}, Beacon)

    assert (beacon.genesis_ms, beacon.period_ms) == (1_692_803_367_000, 3_000)
    assert beacon.chain_hash.startswith("52db9ba70e0cc0f6")
    assert all(url.startswith("https://") for url in beacon.urls)


def test_a_drand_without_servers_is_refused() -> None:
    with pytest.raises(ConfigFault, match="urls: must name a server"):
        parse({"kind": "drand", "urls": []}, Beacon)
    assert parse({"kind": "manual", "urls": []}, Beacon).kind is BeaconKind.MANUAL


@pytest.mark.parametrize("method", ["fifo", "passthrough", "reject"])
def test_where_nothing_is_drawn_nothing_is_turned(method: str) -> None:
    room = {"name": "drop", "paths": ["/drop/"], "queueing_method": method, "beacon": {"kind": "drand"}}

    with pytest.raises(ConfigFault, match=r"beacon\.kind: turns a draw"):
        parse(room, Room)
