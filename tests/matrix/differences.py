"""Where a peer is stricter or more faithful than we are, each with its reason, as docs/proxy.md has it."""

from tests.matrix.judge import CARRIED, REFUSED

_TRAILERS = (
    "neither aiohttp's parsers nor its writer have trailers; `Trailer` and `TE` go too, so that none is promised"
)

DIFFERENCES: dict[tuple[str, str], str] = {
    ("Connection names Content-Type", "request headers for one hop end"): (
        "Connection takes no Content-Type, Content-Encoding, Host or Set-Cookie away: nobody unnames a body"
    ),
    ("header of 40,000 bytes", CARRIED): "one header line may have 32 KiB: memory is bounded for every connection",
    ("unknown method", CARRIED): "aiohttp's parser knows the registered methods and no others; 400",
    ("trailers, answer", "answer trailers"): _TRAILERS,
    ("two blanks in the first line", REFUSED): "one reading (RFC 9112 §3 allows it); we write the line anew, with one",
    ("empty line before the first", REFUSED): "one reading: RFC 9112 §2.2 asks servers to skip it; it is not sent on",
    (
        "answer with a folded header",
        REFUSED,
    ): "RFC 9112 §5.2 lets a proxy unfold it, and we do; nobody behind us sees one",
}
