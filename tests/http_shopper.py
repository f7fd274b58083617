"""A shopper as a program, written from the public description of the HTTP API and nothing else of this repository.

Only the standard library: what somebody would write who integrates an app, a load test, or a bot.
"""

import hashlib
import hmac
import json
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.cookies import SimpleCookie
from itertools import count
from typing import Any
from urllib.parse import urlsplit

OWN = "/.waitroom/drop"


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers in lower case, and the document."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        """The stable part of a problem's type; empty where it is no problem document."""
        is_problem = self.headers.get("content-type", "").startswith("application/problem+json")
        return str(self.body["type"]).rpartition(":")[2] if is_problem else ""


class HttpShopper:
    """One shopper with one connection and a cookie jar; `as_app` uses the Authorization header instead."""

    def __init__(self, url: str, *, as_app: bool = False, address: str | None = None, timeout_s: float = 30) -> None:
        """Shop at `url`; `address` is whom a trusted proxy would say that we are."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.connection = HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        self.cookies: dict[str, str] = {}
        self.as_app = as_app
        self.token = ""
        self.patience_s = 15.0
        self.ticket: dict[str, Any] = {}
        self.always = {"Accept": "application/json"} | ({"X-Forwarded-For": address} if address else {})

    def close(self) -> None:
        self.connection.close()

    def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None, raw: bytes | None = None
    ) -> Answer:
        """Ask, and do as a good client does: try again on a broken connection, and when told to come back later."""
        headers = dict(self.always)
        sent = raw if body is None else json.dumps(body).encode()
        if sent is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        if self.as_app and self.token:
            headers["Authorization"] = f"Waitroom {self.token}"
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        late_s = time.monotonic() + self.patience_s
        while True:
            answer = self._surely(method, path, sent, headers)
            if answer.kind != "store-unavailable" or time.monotonic() > late_s:
                return answer
            time.sleep(min(0.5, float(answer.headers["retry-after"])))

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: object = None, *, key: str | None = None) -> Answer:
        return self.call("POST", path, body, key=key)

    # The line

    def pose(self) -> dict[str, Any]:
        answer = self.post(f"{OWN}/challenge")
        assert answer.status == 200, answer
        return answer.body

    def join(self) -> Answer:
        """Take a place: challenge, work, register."""
        posed = self.pose()
        answer = self.register(posed["challenge"], solve(posed["challenge"]))
        assert answer.status in {200, 201}, answer
        return answer

    def register(self, challenge: str, solution: str) -> Answer:
        answer = self.post(f"{OWN}/queue/register", {"challenge": challenge, "solution": solution})
        if answer.status in {200, 201}:
            self.ticket = answer.body
            self.token = answer.body["ticket"]
        return answer

    def is_called(self) -> bool:
        """Tell from the pulse, which is the same for everybody, whether it is our turn."""
        pulse = self.get(f"{OWN}/pulse").body
        lane, score = pulse["lanes"][self.ticket["lane"]], self.ticket["score"]
        if lane["serving"] is None:
            return False
        if score is None:  # the draw: our score was secret when we joined, and is ours to work out now
            score = drawn(pulse["seed"], self.ticket["ticket_id"])
        return bool(turn(score, pulse["spin"]) <= lane["serving"])

    def claim(self) -> Answer:
        answer = self.post(f"{OWN}/queue/claim", {"return_to": "/drop/"})
        if answer.status == 200:
            self.token = answer.body["pass"]
        return answer

    def wait_for_turn(self, *, within_s: float = 60) -> Answer:
        """Follow the pulse until we are called, then come in."""
        late_s = time.monotonic() + within_s
        while time.monotonic() < late_s:
            if self.is_called():
                answer = self.claim()
                if answer.status != 425:
                    assert answer.status == 200, answer
                    return answer
            time.sleep(0.1)
        raise AssertionError("never called")

    def come_in(self) -> None:
        self.join()
        self.wait_for_turn()

    # The till

    def reserve(self, sku: str = "sneaker", qty: int = 1, *, key: str | None = None) -> Answer:
        body = {"sale": "drop", "lines": [{"sku": sku, "qty": qty}]}
        return self.post("/checkout/reserve", body, key=key or secrets.token_hex(8))

    def commit(self, reservation_id: str, method: str = "card_ok", *, key: str | None = None) -> Answer:
        payment = {"provider": "simulated", "method": method}
        body = {"reservation_id": reservation_id, "payment": payment}
        return self.post("/checkout/commit", body, key=key or secrets.token_hex(8))

    def settled(self, order_id: str, *, within_s: float = 60) -> dict[str, Any]:
        """Follow an order until it is paid, or not."""
        late_s = time.monotonic() + within_s
        while time.monotonic() < late_s:
            answer = self.get(f"/checkout/orders/{order_id}")
            if answer.status == 200 and answer.body["status"] != "paying":
                return answer.body
            time.sleep(0.1)
        raise AssertionError("still paying")

    def buy(self, sku: str = "sneaker") -> dict[str, Any]:
        held = self.reserve(sku)
        assert held.status == 201, held
        placed = self.commit(held.body["reservation_id"])
        assert placed.status == 202, placed
        return self.settled(placed.body["order_id"])

    def _surely(self, method: str, path: str, sent: bytes | None, headers: dict[str, str]) -> Answer:
        for pause_s in (0, 0.1, 0.3, 0.6):
            try:
                return self._once(method, path, sent, headers)
            except (ConnectionError, HTTPException):
                self.connection.close()
                time.sleep(pause_s)
        return self._once(method, path, sent, headers)

    def _once(self, method: str, path: str, sent: bytes | None, headers: dict[str, str]) -> Answer:
        self.connection.request(method, path, sent, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                elif not self.as_app:
                    self.cookies[name] = morsel.value
        is_json = "json" in (answer.headers.get("Content-Type") or "")
        found = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, found, json.loads(text) if is_json and text else {})


def solve(challenge: str, *, first_nonce: int = 0) -> str:
    """Return a solution; another first nonce finds another one."""
    raw = urlsafe_b64decode(challenge)
    steps, bits = raw[10], raw[11]
    state, found = hashlib.sha256(b"wr1-seed\0" + raw).digest(), b""
    for _ in range(steps):
        for nonce in count(first_nonce):
            tried = nonce.to_bytes(4, "big")
            digest = hashlib.sha256(state + tried).digest()
            if int.from_bytes(digest, "big") >> (256 - bits) == 0:
                state, found = digest, found + tried
                break
    return urlsafe_b64encode(found).rstrip(b"=").decode()


def drawn(seed: str, ticket_id: str) -> float:
    """Return the score of a ticket in the draw."""
    digest = hmac.digest(bytes.fromhex(seed), ticket_id.encode(), "sha256")
    return float((int.from_bytes(digest[:8], "big") >> 12) / 2**52)


def turn(score: float, spin: float) -> float:
    """Return where a score stands in the order of service."""
    return (score - spin) % 1 if 0 <= score < 1 else score
