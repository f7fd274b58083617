"""The spin, computed a second time from the words of DESIGN section 4, and what a beacon's answer must be."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.rules.beacons import (
    Beacon,
    BeaconFault,
    BeaconKind,
    SpinSource,
    answered,
    check_chain,
    manual,
    planned,
    source_from,
    source_text,
    spin_of,
    unspun,
)

QUICKNET = Beacon(
    BeaconKind.DRAND,
    "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
    genesis_ms=1_692_803_367_000,
    period_ms=3_000,
    timeout_ms=30_000,
)
QUICKNET_INFO: dict[str, Any] = {
    "public_key": "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451"
    "0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
    "period": 3,
    "genesis_time": 1692803367,
    "groupHash": "f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e",
    "metadata": {"beaconID": "quicknet"},
}
DEFAULT_INFO: dict[str, Any] = {
    "public_key": "868f005eb8e6e4ca0a47c8a77ceaa5309a47978a7c71bc5cce96366b5d7a569937c529eeda66c7293784a9402801af31",
    "period": 30,
    "genesis_time": 1595431050,
    "groupHash": "176f93498eac9ca337150b46d21dd58673ea4e3581185f869672e59fa4cb390a",
    "metadata": {"beaconID": "default"},
}
DEFAULT = Beacon(
    BeaconKind.DRAND,
    "8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce",
    genesis_ms=1_595_431_050_000,
    period_ms=30_000,
)
ROUND_1: dict[str, Any] = {
    "round": 1,
    "randomness": "101297f1ca7dc44ef6088d94ad5fb7ba03455dc33d53ddb412bbc4564ed986ec",
    "signature": "8d61d9100567de44682506aea1a7a6fa6e5491cd27a0a0ed349ef6910ac5ac20ff7bc3e09d7c046566c9f7f3c6f3b101"
    "04990e7cb424998203d8f7de586fb7fa5f60045417a432684f85093b06ca91c769f0e7ca19268375e659c2a2352b4655",
    "previous_signature": "176f93498eac9ca337150b46d21dd58673ea4e3581185f869672e59fa4cb390a",
}
OPENING = QUICKNET.genesis_ms + 1_000_000_000


def answer(round_: int, signature: bytes = b"signed") -> dict[str, Any]:
    return {"round": round_, "randomness": hashlib.sha256(signature).hexdigest(), "signature": signature.hex()}


# The spin


@given(st.binary(max_size=200))
def test_a_spin_is_what_anybody_can_compute(randomness: bytes) -> None:
    digest = hashlib.sha256(b"wr-spin\0" + randomness).hexdigest()

    assert spin_of(randomness) == (int(digest[:16], 16) >> 12) / 2**52
    assert 0 <= spin_of(randomness) < 1


def test_the_vector_stays_what_it_was() -> None:
    assert spin_of(bytes.fromhex(ROUND_1["randomness"])).hex() == "0x1.6a33793fa3ad6p-1"


def test_without_randomness_nothing_turns() -> None:
    assert unspun(QUICKNET, OPENING).spin == planned(QUICKNET, OPENING).spin == SpinSource(BeaconKind.NONE).spin == 0.0


def test_what_ops_typed_is_its_own_randomness() -> None:
    source = manual("3 17 28, drawn by Ms Ölmez")

    assert bytes.fromhex(source.randomness or "").decode() == source.value
    assert source.spin == spin_of("3 17 28, drawn by Ms Ölmez".encode())


# Which round


@pytest.mark.parametrize(("after_ms", "round_"), [(-5_000, 1), (0, 1), (1, 2), (3_000, 2), (3_001, 3), (30_000, 11)])
def test_the_round_is_the_first_one_due_at_the_opening_or_later(after_ms: int, round_: int) -> None:
    assert QUICKNET.round_after(QUICKNET.genesis_ms + after_ms) == round_


@given(st.integers(0, 10**12), st.integers(0, 60_000), st.sampled_from([QUICKNET, DEFAULT]))
def test_no_round_is_out_before_the_opening(after_ms: int, delay_ms: int, beacon: Beacon) -> None:
    beacon, starts_ms = replace(beacon, delay_ms=delay_ms), beacon.genesis_ms + after_ms

    assert 0 <= beacon.due_ms(starts_ms) - starts_ms - delay_ms < beacon.period_ms
    assert beacon.awaited_until_ms(starts_ms) == beacon.due_ms(starts_ms) + beacon.timeout_ms


def test_without_a_beacon_nothing_is_awaited_and_for_ops_from_the_opening_on() -> None:
    assert Beacon().awaited_until_ms(5_000) == 5_000
    assert Beacon(BeaconKind.MANUAL, timeout_ms=600_000).awaited_until_ms(5_000) == 605_000


# What a beacon says


def test_the_first_round_of_the_oldest_chain_is_taken() -> None:
    source = answered(DEFAULT, DEFAULT.genesis_ms, ROUND_1)

    assert (source.round, source.randomness) == (1, ROUND_1["randomness"])
    assert (source.kind, source.chain_hash) == (BeaconKind.DRAND, DEFAULT.chain_hash)


@pytest.mark.parametrize(
    "fault",
    [
        {"round": 5},
        {"round": True},
        {"round": "1"},
        {"round": None},
        {"randomness": "00" * 32},
        {"randomness": ""},
        {"signature": "zz"},
        {"signature": 7},
        {"signature": "abc"},
        {"signature": "00" * 10_000},
    ],
)
def test_a_wrong_answer_is_no_answer(fault: dict[str, object]) -> None:
    with pytest.raises(BeaconFault):
        answered(DEFAULT, DEFAULT.genesis_ms, ROUND_1 | fault)


@pytest.mark.parametrize("nonsense", [None, [], "x", 7, {}, {"round": 1}])
def test_nonsense_is_no_answer(nonsense: object) -> None:
    with pytest.raises(BeaconFault):
        answered(DEFAULT, DEFAULT.genesis_ms, nonsense)
    with pytest.raises(BeaconFault):
        check_chain(DEFAULT, nonsense)


@pytest.mark.parametrize(("beacon", "told"), [(QUICKNET, QUICKNET_INFO), (DEFAULT, DEFAULT_INFO)])
def test_the_two_chains_that_everybody_uses_have_the_hash_we_compute(beacon: Beacon, told: object) -> None:
    check_chain(beacon, told)


@pytest.mark.parametrize(
    "change",
    [
        {"period": 6},
        {"genesis_time": 1692803368},
        {"public_key": "00"},
        {"metadata": {"beaconID": "evil"}},
        {"metadata": None},
        {"groupHash": "zz"},
        {"period": 1 << 40},
        {"genesis_time": -1},
        {"period": 3.0},
    ],
)
def test_another_chain_is_found_out(change: dict[str, object]) -> None:
    with pytest.raises(BeaconFault):
        check_chain(QUICKNET, QUICKNET_INFO | change)


def test_a_genesis_that_was_typed_wrong_is_found_out() -> None:
    with pytest.raises(BeaconFault, match="genesis or period"):
        check_chain(replace(QUICKNET, genesis_ms=QUICKNET.genesis_ms + 1000), QUICKNET_INFO)


# What is shown and kept


@pytest.mark.parametrize(
    "source",
    [
        SpinSource(BeaconKind.NONE),
        unspun(QUICKNET, OPENING),
        unspun(Beacon(BeaconKind.MANUAL), OPENING),
        manual("heads"),
        answered(QUICKNET, OPENING, answer(QUICKNET.round_after(OPENING))),
    ],
)
def test_a_source_is_kept_and_found_again(source: SpinSource) -> None:
    assert source_from(source_text(source)) == source


def test_nothing_kept_is_nothing_known() -> None:
    assert source_from("") is None


def test_what_will_turn_the_draw_is_told_in_advance() -> None:
    assert planned(QUICKNET, OPENING).document() == {
        "kind": "drand",
        "round": QUICKNET.round_after(OPENING),
        "randomness": None,
        "chain_hash": QUICKNET.chain_hash,
    }
    assert planned(Beacon(), OPENING).document() == {"kind": "none", "round": None, "randomness": None}


def test_a_beacon_that_stayed_away_is_told_plainly() -> None:
    assert unspun(QUICKNET, OPENING).document() == {
        "kind": "none",
        "round": QUICKNET.round_after(OPENING),
        "randomness": None,
        "chain_hash": QUICKNET.chain_hash,
        "missed": "drand",
    }
