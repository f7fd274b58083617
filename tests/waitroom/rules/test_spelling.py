"""One spelling for all bytes, and no other is read."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.rules.spelling import bytes_of, text_of


@given(st.binary(max_size=80))
def test_what_is_written_is_base64url_and_is_read_again(raw: bytes) -> None:
    assert text_of(raw) == urlsafe_b64encode(raw).decode().rstrip("=")
    assert bytes_of(text_of(raw)) == raw


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "+A", "/w", "A A", "AA\n", "é", "\ud800", "A" * 5, "AAAA="])
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        bytes_of(text)
