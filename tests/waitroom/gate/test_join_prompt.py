"""Who joins at once, and who is left to the other doors before anything was done."""

import json
from dataclasses import dataclass

import pytest

from tests.edges import Front, Store, front
from waitroom.gate.join_prompt import Asked, JoinPrompt
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Invite, InviteSigner, Keys
from waitroom.rules.challenges import solve
from waitroom.rules.heads import Head, plain_post
from waitroom.rules.hosts import AllowedHosts

ROOM = "/.waitroom/drop"
JSON = "Content-Type: application/json"


@dataclass
class Asking:
    """A prompt before an edge, and a visitor who speaks to it without a wire."""

    prompt: JoinPrompt

    def post(self, target: str, body: bytes = b"", *headers: str) -> bytes | Asked | None:
        lines = [f"POST {target} HTTP/1.1", "Host: shop.example", f"Content-Length: {len(body)}", *headers, "", ""]
        post = plain_post("\r\n".join(lines).encode() + body)
        assert post is not None
        head: Head = post[0]
        return self.prompt.answer(head, post[1], "203.0.113.9")

    def solved(self) -> dict[str, str]:
        answer = self.post(f"{ROOM}/challenge")
        assert isinstance(answer, bytes)
        challenge = json.loads(answer.partition(b"\r\n\r\n")[2])["challenge"]
        return {"challenge": challenge, "solution": solve(challenge)}

    def register(self, sent: object, *headers: str) -> bytes | Asked | None:
        return self.post(f"{ROOM}/queue/register", json.dumps(sent).encode(), JSON, *headers)


def asking(shop: Front, *hosts: str) -> Asking:
    edge = shop.edge
    return Asking(JoinPrompt(edge._line, edge._joining, AllowedHosts(hosts), SystemClock()))


async def test_a_solved_challenge_is_shown_to_redis_once(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        visitor = asking(shop)
        asked = visitor.register(visitor.solved())
        assert isinstance(asked, Asked)
        await asked.reply
        answer = asked.answer(False)

    assert answer is not None
    assert answer.startswith(b"HTTP/1.1 201 Created\r\n")
    assert b"Set-Cookie: wr_drop_ticket=" in answer


async def test_whoever_takes_more_is_left_to_the_others(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        visitor = asking(shop)
        sent = visitor.solved()
        ticket = (await shop.join())["ticket"]
        far_ms = shop.edge.rooms.now_ms() + 60_000
        code = InviteSigner(keys).sign(Invite("drop", "opening", "priority", "i" * 16, 1, far_ms))
        left = [
            visitor.register(sent, f"Cookie: wr_drop_ticket={ticket}"),
            visitor.register(sent, f"Cookie: wr_drop_invite={code}"),
            visitor.register(sent | {"invite": code}),
            visitor.register(sent, "Content-Encoding: gzip"),
            visitor.register(sent, "Sec-Fetch-Mode: navigate"),
            visitor.register(sent, "Accept: text/html"),
            visitor.post(f"{ROOM}/queue/register", json.dumps(sent).encode()),
            visitor.post(f"{ROOM}/queue/register", json.dumps(sent).encode(), f"{JSON}; charset=utf-8"),
            visitor.post(f"{ROOM}/challenge?"),
            visitor.post("/.waitroom/other/challenge"),
            visitor.post(f"{ROOM}/queue/claim"),
            visitor.post("/drop/"),
            asking(shop, "other.example").post(f"{ROOM}/challenge"),
        ]

        assert left == [None] * len(left)
        await shop.edge.pour()


@pytest.mark.parametrize("says", ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"])
async def test_another_site_makes_a_browser_ask_for_nothing(
    redis: ScriptRunner, keys: Keys, store: Store, says: str
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        visitor = asking(shop)
        answers = [visitor.post(f"{ROOM}/challenge", b"", says), visitor.register(visitor.solved(), says)]

    for answer in answers:
        assert isinstance(answer, bytes)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"foreign-origin" in answer


async def test_a_room_that_redis_lost_is_for_the_others_to_put_back(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        visitor = asking(shop)
        sent = visitor.solved()
        await redis.client.flushdb()
        asked = visitor.register(sent)
        assert isinstance(asked, Asked)
        await asked.reply

        assert asked.answer(False) is None
