"""An origin that logs the bytes of each request and answers with bytes it was given; it runs in threads of its own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SILENCE_S = 20


@dataclass(slots=True)
class Request:
    """One request as it arrived: the head with its end, the body as it was framed; whole once the body has ended."""

    head: bytes
    framed: bytes = b""
    is_whole: bool = False


@dataclass
class Origin:
    """Answers every request with `answer`, then closes; a request counts from its head on."""

    answer: bytes = b""
    seen: list[Request] = field(default_factory=list)
    _served: set[socket.socket] = field(default_factory=set)
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=64))

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def ask(self, answer: bytes) -> list[Request]:
        """Answer so from now on; return the list that is filled with what arrives."""
        self.answer, self.seen = answer, []
        return self.seen

    def rest(self) -> None:
        """Wait until nobody holds a connection any more: one that was closed here may not be asked again."""
        late_s = time.monotonic() + _SILENCE_S
        while self._served and time.monotonic() < late_s:
            time.sleep(0.001)

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        self._served.add(peer)
        try:
            self._answer(peer)
        finally:
            self._served.discard(peer)

    def _answer(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            peer.settimeout(_SILENCE_S)
            with peer.makefile("rb") as incoming:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = incoming.readline()
                    if not line:
                        return
                    head += line
                request = Request(head)
                self.seen.append(request)
                answer = self.answer
                if b"\r\nexpect: 100-continue" in head.lower():
                    peer.sendall(CONTINUE)
                request.is_whole = _read_body(request, incoming)
                if request.is_whole:
                    peer.sendall(answer)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65_536):  # what comes now would make closing a reset
                    pass


@contextmanager
def origin_running() -> Iterator[Origin]:
    """Give an origin while the block lasts."""
    made = Origin()
    threading.Thread(target=made.accept, daemon=True).start()
    try:
        yield made
    finally:
        made.close()


def _read_body(request: Request, incoming: IO[bytes]) -> bool:
    """Read what the head announces; tell whether it came to its end."""
    head = request.head.lower()
    if b"\r\ncontent-length: " in head:
        size = int(head.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        request.framed = incoming.read(size)
        return len(request.framed) == size
    if b"\r\ntransfer-encoding: chunked" not in head:
        return True
    while line := incoming.readline():
        request.framed += line
        size = int(line.split(b";")[0], 16)
        if size == 0:
            while line not in {b"\r\n", b""}:
                line = incoming.readline()
                request.framed += line
            return line == b"\r\n"
        request.framed += incoming.read(size + 2)
    return False
