"""What one proxy made of one case, as claims that are true or not: the same question to all four."""

from collections.abc import Iterator, Sequence

from tests.matrix.cases import Case, Kind
from tests.matrix.origin import Request
from tests.matrix.wire import End, Fields, Message, Reply, read_reply, read_request

CARRIED, ANSWERED, REFUSED = "is carried", "is answered", "is refused"
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    b"transfer-encoding upgrade http2-settings".split()
)
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection", b"host", b"expect"})
_A_PROXYS_OWN_WORD = (b"x-forwarded-", b"forwarded", b"x-real-ip", b"via")


def judge(case: Case, seen: Sequence[Request], raw: bytes, end: End) -> dict[str, bool]:
    """Return what is true of an exchange; nothing where neither side said anything in time."""
    is_head = case.sent.startswith(b"HEAD ")
    reply = read_reply(raw, end, is_head=is_head)
    if end is End.SILENT and (reply.answer is None or case.kind is not Kind.PLAIN):
        return {}
    whole = [request for request in seen if request.is_whole]
    if case.kind is Kind.ODD_REQUEST:
        return {REFUSED: not whole and (reply.answer is None or reply.status >= 400)}
    if case.kind is Kind.ODD_ANSWER:
        return {REFUSED: reply.answer is None or reply.status >= 500 or not reply.answer.is_whole}
    if len(whole) != 1:
        return {CARRIED: False}
    if reply.answer is None:
        return {CARRIED: True, ANSWERED: False}
    return {
        CARRIED: True,
        ANSWERED: True,
        **dict(_carried(case, whole[0])),
        **dict(_answered(case, reply.answer, reply)),
    }


def _carried(case: Case, request: Request) -> Iterator[tuple[str, bool]]:
    """Compare what was sent with what arrived."""
    sent, got = read_request(case.sent), read_request(request.head + request.framed)
    method, target, _ = sent.first.split(b" ")
    first = got.first.split(b" ")
    yield "method", first[0] == method
    yield "target", first[1] == (case.target or target)
    yield "request headers", _ends(sent, case.forged) == _ends(got, b"", only={name for name, _ in _ends(sent, b"")})
    yield "nothing added to the request", not _names(got) - _names(sent)
    yield "request headers for one hop end", not _one_hop(sent) & {name.lower() for name, _ in got.fields}
    yield "request body", got.body == sent.body
    yield "request length", bool(got.all(b"content-length")) == bool(sent.all(b"content-length"))
    if sent.trailers:
        yield "request trailers", got.trailers == sent.trailers
    if case.forged:
        yield "forgery ends", case.forged not in request.head


def _answered(case: Case, got: Message, reply: Reply) -> Iterator[tuple[str, bool]]:
    """Compare what the origin answered with what came back."""
    meant = read_reply(case.answer, End.CLOSED, is_head=case.sent.startswith(b"HEAD "))
    sent = meant.answer
    assert sent is not None
    if sent.is_whole:
        yield "status", got.first.split(b" ")[1] == sent.first.split(b" ")[1]
        yield "reason", got.first.split(b" ", 2)[2:] == sent.first.split(b" ", 2)[2:]
        yield "answer headers", _ends(sent, b"") == _ends(got, b"", only={name for name, _ in _ends(sent, b"")})
        yield "answer body", (got.body, got.is_whole) == (sent.body, True)
        yield "nothing added to the answer", not _names(got) - _names(sent)
        yield "answer headers for one hop end", not _one_hop(sent) & {name.lower() for name, _ in got.fields}
        if not sent.is_chunked:
            yield "answer length", got.all(b"content-length") == sent.all(b"content-length")
        yield "one answer and no more", not got.rest
    else:
        yield "half an answer is known as half", not got.is_whole or reply.status >= 500
    if meant.interim:
        yield "interim answers", [one.first for one in meant.interim] == [one.first for one in reply.interim]
    if sent.trailers:
        yield "answer trailers", got.trailers == sent.trailers


def _ends(message: Message, forged: bytes, *, only: set[bytes] | None = None) -> Fields:
    """Return the headers that are meant for the other end, in order; names as HTTP compares them."""
    gone = _HOP_BY_HOP | _FRAMING - {b"host"} | _listed(message)
    found = [(name.lower(), value) for name, value in message.fields if name.lower() not in gone]
    if forged:
        return [pair for pair in found if forged not in pair[1]]
    return [pair for pair in found if only is None or pair[0] in only]


def _names(message: Message) -> set[bytes]:
    names = {name.lower() for name, _ in message.fields}
    return {name for name in names if name not in _FRAMING and not name.startswith(_A_PROXYS_OWN_WORD)}


def _one_hop(message: Message) -> set[bytes]:
    """Return the headers of `message` that must not go on; Connection and framing each hop writes for itself."""
    names = {name.lower() for name, _ in message.fields}
    return names & (_HOP_BY_HOP | _listed(message)) - _FRAMING


def _listed(message: Message) -> set[bytes]:
    return {name.strip().lower() for value in message.all(b"connection") for name in value.split(b",")}
