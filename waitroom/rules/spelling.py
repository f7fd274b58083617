"""Write bytes as base64url, and read the one spelling that we write (RFC 4648 §5, without padding)."""

from binascii import a2b_base64, b2a_base64

_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")


def text_of(raw: bytes) -> str:
    """Return `raw` as text."""
    return b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def bytes_of(text: str) -> bytes:
    """Return the bytes behind `text`.

    Raises:
        ValueError: it is not how we would write them.
    """
    raw = a2b_base64(text.encode("ascii").translate(_FROM_URL) + b"=" * (-len(text) % 4))
    if text_of(raw) != text:
        raise ValueError("another spelling")
    return raw
