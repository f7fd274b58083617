"""The challenge: vectors that Python and the page's JavaScript share, and every way of getting round the work."""

import json
import shutil
import subprocess
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from struct import unpack
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.rules import challenges
from waitroom.rules.challenges import ChallengeFault, ChallengeKeys, RefusedChallenge, Terms

SOLVER_JS = Path(__file__).parents[3] / "templates" / "static" / "solver.js"

KEYS = ChallengeKeys({7: (bytes(range(32)), bytes(range(32, 64)))})
EVENT = "demo-event"
CLIENT = bytes.fromhex("0102030405060708")
ISSUED_MS = 1_800_000_000_000
NOW_MS = 1_800_000_010_000
TICKET_ID = "QpZDkoEPftF458Mp914T"


class Vector(NamedTuple):
    """One challenge with its smallest solution, as research and both languages agree on it."""

    steps: int
    difficulty: int
    challenge: str
    nonces: tuple[int, ...]
    solution: str


VECTORS = [
    Vector(
        2,
        8,
        "AQcBoxhcUAAAtAII5tbL2z0v1YgBAgMEBQYHCAABAgMEBQYHCAkKCwwNDg-cXAko8wryCX1h0qir0_AI",
        (772, 171),
        "AAADBAAAAKs",
    ),
    Vector(
        4,
        12,
        "AQcBoxhcUAAAtAQM5tbL2z0v1YgBAgMEBQYHCAABAgMEBQYHCAkKCwwNDg_wpNJkWZ_DiUS2IcVIOrSF",
        (12121, 3364, 843, 1068),
        "AAAvWQAADSQAAANLAAAELA",
    ),
    Vector(
        16,
        10,
        "AQcBoxhcUAAAtBAK5tbL2z0v1YgBAgMEBQYHCAABAgMEBQYHCAkKCwwNDg-m-EnIkkEjViT6a69flfTk",
        (454, 730, 408, 25, 2418, 138, 1455, 558, 140, 388, 781, 134, 654, 485, 214, 2719),
        "AAABxgAAAtoAAAGYAAAAGQAACXIAAACKAAAFrwAAAi4AAACMAAABhAAAAw0AAACGAAACjgAAAeUAAADWAAAKnw",
    ),
]
EASY = VECTORS[0]
FULL = VECTORS[2]


def posed(
    keys: ChallengeKeys = KEYS,
    *,
    event: str = EVENT,
    terms: Terms | None = None,
    now_ms: int = ISSUED_MS,
    challenge_id: bytes = bytes(range(16)),
) -> str:
    return challenges.pose(
        keys,
        event=event,
        client_tag=CLIENT,
        terms=terms or Terms(steps=2, difficulty=8),
        now_ms=now_ms,
        challenge_id=challenge_id,
    )


def verified(
    challenge: str, solution: str, *, keys: ChallengeKeys = KEYS, event: str = EVENT, now_ms: int = NOW_MS
) -> str:
    return challenges.verify(keys, event=event, challenge=challenge, solution=solution, now_ms=now_ms)


def fault_of(
    challenge: str, solution: str, *, keys: ChallengeKeys = KEYS, event: str = EVENT, now_ms: int = NOW_MS
) -> ChallengeFault:
    with pytest.raises(RefusedChallenge) as refused:
        verified(challenge, solution, keys=keys, event=event, now_ms=now_ms)
    return refused.value.fault


def raw_of(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def text_of(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector.steps}x{vector.difficulty}")
def test_the_vectors_are_posed_solved_and_verified(vector: Vector) -> None:
    terms = Terms(steps=vector.steps, difficulty=vector.difficulty, ttl_s=180)

    assert posed(terms=terms) == vector.challenge
    assert challenges.solve(vector.challenge) == vector.solution
    assert unpack(f">{vector.steps}I", raw_of(vector.solution)) == vector.nonces
    assert verified(vector.challenge, vector.solution) == TICKET_ID


@pytest.mark.parametrize("flags", [[], ["--jitless"]], ids=["jit", "jitless"])
def test_the_solver_of_the_page_finds_the_vectors(flags: list[str]) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("LOUD: node is not installed, so the page's solver was NOT compared with the reference")
    script = f"""
      const {{ fingerprint, start, work, solution }} = require({json.dumps(str(SOLVER_JS))})();
      const out = [];
      for (const challenge of {json.dumps([vector.challenge for vector in VECTORS])}) {{
        const state = start(challenge, []);
        while (!work(state, 1000));
        out.push(solution(state));
      }}
      out.push(fingerprint("616263"), fingerprint("61".repeat(1000)), fingerprint(""));
      console.log(JSON.stringify(out));
    """

    found = subprocess.run([node, *flags, "-e", script], capture_output=True, text=True, check=True, timeout=60)

    assert json.loads(found.stdout) == [
        *(vector.solution for vector in VECTORS),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ]


def test_a_challenge_can_be_read_back() -> None:
    challenge = challenges.read(FULL.challenge)

    assert (challenge.kid, challenge.issued_ms, challenge.ttl_s) == (7, ISSUED_MS, 180)
    assert (challenge.steps, challenge.difficulty) == (16, 10)
    assert challenge.client_tag == CLIENT
    assert challenge.expires_ms == ISSUED_MS + 180_000
    assert challenges.ticket_id(KEYS, challenge) == TICKET_ID


def test_the_client_tag_hangs_on_the_network_and_the_key() -> None:
    tag = challenges.client_tag(b"k" * 32, "192.0.2.1/32")

    assert len(tag) == 8
    assert tag == challenges.client_tag(b"k" * 32, "192.0.2.1/32")
    assert tag != challenges.client_tag(b"k" * 32, "192.0.2.2/32")
    assert tag != challenges.client_tag(b"j" * 32, "192.0.2.1/32")


# Attacks, numbered as in the research (section 5).


def test_attack_1_a_replay_is_the_same_ticket() -> None:
    tickets = {verified(EASY.challenge, EASY.solution, now_ms=NOW_MS + again) for again in range(20)}

    assert tickets == {TICKET_ID}


def test_attack_2_other_solutions_of_one_challenge_are_the_same_ticket() -> None:
    solutions = {challenges.solve(EASY.challenge, first_nonce=offset * 100_000) for offset in range(20)}

    assert len(solutions) == 20
    assert {verified(EASY.challenge, solution) for solution in solutions} == {TICKET_ID}


def test_attack_3_a_proof_is_worth_nothing_after_its_time() -> None:
    assert verified(EASY.challenge, EASY.solution, now_ms=ISSUED_MS + 180_000) == TICKET_ID
    assert fault_of(EASY.challenge, EASY.solution, now_ms=ISSUED_MS + 180_001) is ChallengeFault.EXPIRED


def test_attack_4_no_work_is_refused() -> None:
    assert fault_of(FULL.challenge, text_of(bytes(64))) is ChallengeFault.WORK


@given(st.binary(min_size=64, max_size=64))
def test_attack_4_a_guessed_solution_is_refused(guess: bytes) -> None:
    assert fault_of(FULL.challenge, text_of(guess)) is ChallengeFault.WORK


def test_attack_4_each_step_counts() -> None:
    right = raw_of(FULL.solution)
    for at in range(0, len(right), 4):
        wrong = right[:at] + b"\xff\xff\xff\xfe" + right[at + 4 :]
        assert fault_of(FULL.challenge, text_of(wrong)) is ChallengeFault.WORK


def test_attack_5_one_nonce_for_every_step_is_refused() -> None:
    first = raw_of(FULL.solution)[:4]

    assert fault_of(FULL.challenge, text_of(first * 16)) is ChallengeFault.WORK


def test_attack_5_steps_in_another_order_are_refused() -> None:
    right = raw_of(FULL.solution)
    turned = b"".join(right[at : at + 4] for at in range(60, -1, -4))

    assert fault_of(FULL.challenge, text_of(turned)) is ChallengeFault.WORK


@given(st.integers(min_value=0, max_value=60 * 8 - 1))
def test_attack_6_every_flipped_bit_of_a_challenge_is_refused(bit: int) -> None:
    raw = bytearray(raw_of(FULL.challenge))
    raw[bit // 8] ^= 1 << (bit % 8)

    assert fault_of(text_of(bytes(raw)), FULL.solution) in {ChallengeFault.MAC, ChallengeFault.FORMAT}


def test_attack_6_all_480_bits() -> None:
    for bit in range(60 * 8):
        raw = bytearray(raw_of(FULL.challenge))
        raw[bit // 8] ^= 1 << (bit % 8)
        assert fault_of(text_of(bytes(raw)), FULL.solution) in {ChallengeFault.MAC, ChallengeFault.FORMAT}


@pytest.mark.parametrize(("steps", "difficulty"), [(0, 10), (65, 10), (1, 0), (1, 7), (1, 25), (255, 255)])
def test_attack_6_work_out_of_bounds_is_neither_posed_nor_taken(steps: int, difficulty: int) -> None:
    with pytest.raises(ValueError, match="no challenge has"):
        Terms(steps=steps, difficulty=difficulty)
    signed_by_mistake = _signed(steps=steps, difficulty=difficulty)

    assert fault_of(signed_by_mistake, text_of(bytes(4))) is ChallengeFault.BOUNDS
    with pytest.raises(RefusedChallenge, match="bounds"):
        challenges.solve(signed_by_mistake)


def test_attack_6_another_version_is_refused() -> None:
    raw = raw_of(FULL.challenge)

    assert fault_of(text_of(b"\x02" + raw[1:]), FULL.solution) in {ChallengeFault.FORMAT, ChallengeFault.MAC}


def test_attack_6_a_key_of_another_id_does_not_help() -> None:
    two = ChallengeKeys({7: KEYS.by_kid[7], 8: (b"x" * 32, b"y" * 32)})
    raw = raw_of(EASY.challenge)

    assert fault_of(text_of(raw[:1] + b"\x08" + raw[2:]), EASY.solution, keys=two) is ChallengeFault.MAC


@given(st.sets(st.binary(min_size=16, max_size=16), min_size=2, max_size=50))
def test_attack_7_no_two_challenges_share_a_puzzle(ids: set[bytes]) -> None:
    texts = {posed(challenge_id=challenge_id) for challenge_id in ids}
    tickets = {challenges.ticket_id(KEYS, challenges.read(text)) for text in texts}

    assert len(texts) == len(tickets) == len(ids)


def test_attack_7_the_puzzle_hangs_on_the_key() -> None:
    foreign = ChallengeKeys({7: (b"z" * 32, b"z" * 32)})

    assert challenges.solve(posed(foreign)) != EASY.solution
    assert fault_of(posed(foreign), challenges.solve(posed(foreign))) is ChallengeFault.MAC


def test_attack_8_a_stockpiled_challenge_ends_and_one_from_the_future_waits() -> None:
    assert fault_of(EASY.challenge, EASY.solution, now_ms=1_800_000_181_000) is ChallengeFault.EXPIRED
    assert fault_of(EASY.challenge, EASY.solution, now_ms=ISSUED_MS - 5_001) is ChallengeFault.EXPIRED
    assert verified(EASY.challenge, EASY.solution, now_ms=ISSUED_MS - 5_000) == TICKET_ID


def test_attack_26_a_rotation_keeps_what_was_posed_and_its_ticket() -> None:
    old = ChallengeKeys.from_secrets([b"a" * 32], [b"b" * 32])
    both = ChallengeKeys.from_secrets([b"a" * 32, b"c" * 32], [b"b" * 32, b"d" * 32])
    new = ChallengeKeys.from_secrets([b"c" * 32], [b"d" * 32])
    before, during = posed(old), posed(both)

    assert verified(before, challenges.solve(before), keys=both) == verified(before, challenges.solve(before), keys=old)
    assert verified(during, challenges.solve(during), keys=new) == verified(during, challenges.solve(during), keys=both)
    assert fault_of(before, challenges.solve(before), keys=new) is ChallengeFault.MAC
    assert fault_of(during, challenges.solve(during), keys=old) is ChallengeFault.MAC


def test_attack_26_where_two_keys_share_an_id_the_newer_poses() -> None:
    first = next(iter(ChallengeKeys.from_secrets([b"a" * 32], [b"b" * 32]).by_kid))
    twin = next(
        key
        for key in (number.to_bytes(32, "big") for number in range(10_000))
        if first in ChallengeKeys.from_secrets([key], [key]).by_kid
    )

    keys = ChallengeKeys.from_secrets([b"a" * 32, twin], [b"b" * 32, twin])

    assert keys.by_kid == {first: (twin, twin)}
    assert verified(posed(keys), challenges.solve(posed(keys)), keys=keys)


def test_attack_27_a_proof_of_one_event_buys_nothing_at_another() -> None:
    assert fault_of(EASY.challenge, EASY.solution, event="x") is ChallengeFault.EVENT
    other = posed(event="x")
    assert verified(other, challenges.solve(other), event="x") != TICKET_ID


@pytest.mark.parametrize(
    ("challenge", "solution", "fault"),
    [
        ("", EASY.solution, ChallengeFault.FORMAT),
        (EASY.challenge[:-1], EASY.solution, ChallengeFault.FORMAT),
        (EASY.challenge + "A", EASY.solution, ChallengeFault.FORMAT),
        ("é" * 80, EASY.solution, ChallengeFault.FORMAT),
        ("!" * 80, EASY.solution, ChallengeFault.FORMAT),
        (EASY.challenge.replace("-", "+"), EASY.solution, ChallengeFault.FORMAT),
        (EASY.challenge[:-1] + "J", EASY.solution, ChallengeFault.MAC),
        (EASY.challenge, "A" * 343, ChallengeFault.FORMAT),
        (EASY.challenge, "A", ChallengeFault.FORMAT),
        (EASY.challenge, EASY.solution[:-1] + "t", ChallengeFault.FORMAT),  # bits beyond the last byte
        (EASY.challenge, EASY.solution + "=", ChallengeFault.FORMAT),
        (EASY.challenge, "", ChallengeFault.LENGTH),
        (FULL.challenge, text_of(bytes(60)), ChallengeFault.LENGTH),
    ],
)
def test_what_is_not_our_text_is_refused(challenge: str, solution: str, fault: ChallengeFault) -> None:
    assert fault_of(challenge, solution) is fault


@given(st.text(max_size=120), st.text(max_size=400))
def test_no_text_brings_down_the_verifier(challenge: str, solution: str) -> None:
    assert fault_of(challenge, solution) in ChallengeFault


def test_an_authentic_challenge_needs_no_work_to_be_read() -> None:
    challenge = challenges.authentic(KEYS, event=EVENT, challenge=FULL.challenge, now_ms=NOW_MS)

    assert challenge == challenges.read(FULL.challenge)
    with pytest.raises(RefusedChallenge, match="event"):
        challenges.authentic(KEYS, event="x", challenge=FULL.challenge, now_ms=NOW_MS)


@pytest.mark.parametrize("ttl_s", [0, -1, 65_536])
def test_a_lifetime_that_does_not_fit_is_not_posed(ttl_s: int) -> None:
    with pytest.raises(ValueError, match="lives"):
        Terms(ttl_s=ttl_s)


@pytest.mark.parametrize(("challenge_id", "tag"), [(b"short", CLIENT), (bytes(16), b"short")])
def test_ids_and_tags_of_another_size_are_not_posed(challenge_id: bytes, tag: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        challenges.pose(KEYS, event=EVENT, client_tag=tag, terms=Terms(), now_ms=ISSUED_MS, challenge_id=challenge_id)


def _signed(*, steps: int, difficulty: int) -> str:
    """Return a challenge that our own key signed although it should not have."""
    body = bytearray(raw_of(EASY.challenge)[:44])
    body[10], body[11] = steps, difficulty
    return text_of(bytes(body) + challenges._mac(KEYS.by_kid[7][0], bytes(body)))
