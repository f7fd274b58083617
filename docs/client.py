"""Go through a waiting room as an app does: no browser, no cookies, Python's standard library and nothing else.

    python3 client.py https://shop.example/drop/shoe

clients.md tells what each step is for.
"""

import hashlib
import json
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import count
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import HTTPRedirectHandler, Request, build_opener

COME_BACK = {425, 429, 503}


class FollowNothing(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # it may lead to another site, which must not see our token
        return None


class App:
    def __init__(self, site: str) -> None:
        self.site, self.token = site, ""  # the token is a pass once we are in

    def ask(self, method: str, path: str, token: str, body: object = None) -> tuple:
        headers = {"Accept": "application/json", "Authorization": f"Waitroom {token}"}
        sent = None if body is None else json.dumps(body).encode()
        request = Request(urljoin(self.site, path), sent, headers | {"Content-Type": "application/json"}, method=method)
        try:
            answer = build_opener(FollowNothing).open(request, timeout=30)
        except HTTPError as refused:  # every status but 2xx, with its document
            answer = refused
        with answer:
            text, is_json = answer.read(), "json" in answer.headers.get("Content-Type", "")
            return answer.status, answer.headers, json.loads(text) if is_json and text else text

    def call(self, method: str, path: str, token: str, body: object = None) -> tuple:
        while True:  # as told, and no sooner
            status, headers, found = self.ask(method, path, token, body)
            kind = found.get("type", "") if isinstance(found, dict) else ""
            if status not in COME_BACK or kind == "urn:waitroom:problem:waiting":
                return status, headers, found
            time.sleep(float(headers["Retry-After"]))

    def get(self, path: str) -> tuple:
        while True:
            status, headers, found = self.call("GET", path, self.token)
            self.token = headers["Waitroom-Token"] or self.token  # let straight in, or the pass was renewed
            if status != 503:
                return status, found
            self.wait(found["challenge"], found["queue"])

    def wait(self, challenge: str, queue: dict) -> None:
        posed = self.call("POST", challenge, "")[2]["challenge"]
        ticket = self.call("POST", queue["register"], "", {"challenge": posed, "solution": solve(posed)})[2]["ticket"]
        status, _, told = self.call("GET", queue["status"], ticket)
        while status == 200 and told["state"] == "waiting":
            print(f"place {told['place'] or 'not drawn yet'}, about {told['wait_s']['likely']} s", file=sys.stderr)
            time.sleep(told["next_poll_ms"] / 1000)
            status, _, told = self.call("GET", queue["status"], ticket)
        status, _, claimed = self.call("POST", queue["claim"], ticket)
        self.token = claimed["pass"] if status == 200 else ""  # 410: the turn was missed, so begin again


def solve(challenge: str) -> str:
    raw = urlsafe_b64decode(challenge)
    steps, bits = raw[10], raw[11]
    state, found = hashlib.sha256(b"wr1-seed\0" + raw).digest(), b""
    for _ in range(steps):
        for nonce in count():
            tried = nonce.to_bytes(4, "big")
            digest = hashlib.sha256(state + tried).digest()
            if int.from_bytes(digest, "big") >> (256 - bits) == 0:
                state, found = digest, found + tried
                break
    return urlsafe_b64encode(found).rstrip(b"=").decode()


if __name__ == "__main__":
    status, found = App(sys.argv[1]).get(sys.argv[1])
    print(status, json.dumps(found) if isinstance(found, dict) else found.decode("utf-8", "replace"))
