"""What a reserve says: read once for all who say it in the same bytes, and told from what says something else."""

import json
from typing import Any

import pytest

from inventory_backend.door import wishes
from inventory_backend.door.wishes import wished
from inventory_backend.ledger.idempotency import asked
from waitroom.kernel.errors import Refused


def body(qty: int = 1, **more: Any) -> bytes:
    return json.dumps({"sale": "drop", "lines": [{"sku": "sneaker", "qty": qty}], **more}).encode()


def test_a_wish_is_what_was_said() -> None:
    wish = wished(body(2, identity="a.b"))

    assert (wish.sale, wish.lines, wish.identity) == ("drop", (("sneaker", 2),), "a.b")


def test_its_fingerprint_is_that_of_the_request_without_the_word_of_the_store() -> None:
    said = {"sale": "drop", "lines": [{"qty": 1, "sku": "sneaker"}]}

    expected = asked("reserve", "alice", "key", said).fingerprint
    assert wished(body()).fingerprint == wished(body(identity="x")).fingerprint == expected
    assert wished(body(2)).fingerprint != expected


def test_a_crowd_that_says_the_same_is_read_once_and_a_refusal_each_time() -> None:
    wishes._read_before.cache_clear()
    for _ in range(5):
        wished(body())
        with pytest.raises(Refused):
            wished(b"{}")

    assert wishes._read_before.cache_info().hits == 4
    assert wishes._read_before.cache_info().currsize == 1


def test_what_is_long_is_not_kept() -> None:
    wishes._read_before.cache_clear()
    wished(body(identity="a" * 300))

    assert wishes._read_before.cache_info().currsize == 0
