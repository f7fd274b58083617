"""Check a draw of waitroom, and one ticket in it. Needs Python 3 and nothing else; read it before you trust it.

    curl 'https://shop.example/.waitroom/drop/proof?ticket_id=TICKET' > proof.json
    python3 verify_draw.py proof.json TICKET

Compare `commitment` with what you saw before the opening, and the randomness with the beacon itself.
"""

import hashlib
import hmac
import json
import sys


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def fraction(digest: bytes) -> float:  # the first 52 bits of a hash, as a fraction of 1
    return (int.from_bytes(digest[:8], "big") >> 12) / 2**52


def root(leaf: bytes, index: int, count: int, path: list) -> bytes:  # RFC 9162, section 2.1.3.2
    at, last = index, count - 1
    for other in map(bytes.fromhex, path):
        if at % 2 or at == last:
            leaf = sha(b"\1" + other + leaf)
            while at and at % 2 == 0:
                at, last = at // 2, last // 2
        else:
            leaf = sha(b"\1" + leaf + other)
        at, last = at // 2, last // 2
    return leaf if last == 0 and index < count else b""


def check(proof: dict, ticket: str) -> dict:
    seed, source, mine = bytes.fromhex(proof["seed"]), proof["spin_source"], proof["ticket"]
    randomness = bytes.fromhex(source["randomness"] or "")
    spin = fraction(sha(b"wr-spin\0" + randomness)) if randomness else 0.0
    score = fraction(hmac.digest(seed, ticket.encode("ascii"), "sha256"))
    turn, found = (score - spin) % 1, mine["inclusion"]
    index, count = found["index"], proof["roster"]["count"]
    moves = [move["serving"] for move in proof["admissions"]]
    called = [move["at_ms"] for move in proof["admissions"] if move["serving"] >= turn]
    return {
        "the seed is the one that was committed to": sha(seed).hex() == proof["commitment"],
        "the spin follows from its randomness": spin == proof["spin"]
        and bool(randomness) == (source["kind"] != "none"),
        "the randomness is the hash of its signature": source["kind"] != "drand"
        or sha(bytes.fromhex(source.get("signature", ""))) == randomness,
        "the ticket has the score that the seed gives it": mine["ticket_id"] == ticket and mine["score"] == score,
        "the ticket is in the roster": root(sha(b"\0" + ticket.encode()), index, count, found["path"]).hex()
        == proof["roster"]["merkle_root"],
        "nobody was slipped in before it": abs(index - score * count) <= 6 * (score * (1 - score) * count) ** 0.5 + 6,
        "its turn follows from score and spin": mine["turn"] == turn,
        "the line only moved on, and came to it when it says": moves == sorted(moves)
        and mine["called_at_ms"] == (called[0] if called else None),
    }


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        results = check(json.load(file), sys.argv[2])
    for told, is_right in results.items():
        print("ok   " if is_right else "WRONG", told)
    sys.exit(0 if all(results.values()) else 1)
