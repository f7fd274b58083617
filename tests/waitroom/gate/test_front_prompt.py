"""What a front hears at once: byte for byte what it hears otherwise, and nobody else hears it."""

from collections.abc import AsyncIterator

import pytest

from tests.hot import HEALTHZ, NAVIGATION, Site, get, heard, site, sure
from waitroom.gate.ready import Ready
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.heads import plain_head

NGINX, REDIRECT = b"/.waitroom/auth/nginx", b"/.waitroom/auth/redirect"


@pytest.fixture
async def shop(redis: ScriptRunner, keys: Keys) -> AsyncIterator[Site]:
    async with site(redis, keys, trusted=("127.0.0.0/8",)) as made:
        yield made


def about(path: bytes, *lines: bytes, method: bytes = b"GET") -> tuple[bytes, ...]:
    told = (b"X-Forwarded-Uri: " + path, b"X-Forwarded-Method: " + method, b"X-Forwarded-Host: shop.example")
    return (*told, b"X-Forwarded-Proto: https", *lines)


def at_once(shop: Site, request: bytes, peer: str = "127.0.0.1") -> bool:
    head = plain_head(request)
    assert shop.served.prompt is not None
    return head is not None and isinstance(shop.served.prompt.answer(head, peer, shop.clock.now_ms()), Ready)


QUESTIONS: dict[str, tuple[tuple[bytes, ...], bool]] = {
    "waits": (about(b"/drop/a?b=c", *NAVIGATION), True),
    "waits, and looks at nothing": (about(b"/drop/a"), False),
    "waits, a form": (about(b"/drop/a", *NAVIGATION, method=b"POST"), False),
    "outside": (about(b"/x"), True),
    "exempt": (about(b"/drop/feed"), True),
    "open": (about(b"/open/x", b"Cookie: a=1; wr_open_pass=x"), True),
    "closed": (about(b"/shut/", *NAVIGATION), False),
    "no host": ((b"X-Forwarded-Uri: /drop/a", b"X-Forwarded-Method: GET"), False),
    "nothing told": ((), False),
    "two words for one": (about(b"/x", b"X-Original-Uri: /y"), False),
    "by the words of nginx": (
        (b"X-Original-Uri: /drop/a", b"X-Original-Method: GET", *about(b"/", *NAVIGATION)[2:]),
        True,
    ),
}


@pytest.mark.parametrize("path", [NGINX, REDIRECT], ids=["nginx", "redirect"])
@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_question_is_answered_as_by_the_other_doors(shop: Site, name: str, path: bytes) -> None:
    lines, is_at_once = QUESTIONS[name]
    request = get(path, *lines)
    assert at_once(shop, request) is is_at_once
    hot, cold = [await heard(await doors.open(), [request + request + HEALTHZ]) for doors in shop.both]

    assert sure(hot) == sure(cold)
    assert shop.seen() == []


async def test_whoever_is_in_is_let_pass_at_once_with_what_the_store_shall_see(shop: Site) -> None:
    for line in (shop.pass_cookie() + b"; a=1", shop.pass_cookie(expires_in_s=100)):
        for path in (NGINX, REDIRECT):
            request = get(path, *about(b"/drop/a", line, *NAVIGATION))
            assert at_once(shop, request)
            hot, cold = [await heard(await doors.open(), [request + HEALTHZ]) for doors in shop.both]
            assert sure(hot) == sure(cold)
            assert (b"\r\nWaitroom-Pass: " in hot) != (b"/.waitroom/drop/enter?" in hot), "an old one is renewed there"


async def test_who_has_to_wait_is_sent_there_at_once(shop: Site) -> None:
    for path in (NGINX, REDIRECT):
        assert at_once(shop, get(path, *about(b"/drop/a?b=c", *NAVIGATION)))


async def test_a_head_or_a_stranger_is_for_the_others(shop: Site) -> None:
    lines = about(b"/x")

    assert not at_once(shop, get(NGINX, *lines, method=b"HEAD"))
    assert not at_once(shop, get(NGINX, *lines), peer="203.0.113.7")
    assert not at_once(shop, get(NGINX + b"?x", *lines))
    assert not at_once(shop, get(b"/.waitroom/auth/refusal", *lines))
    assert not at_once(shop, get(b"/.waitroom/auth/envoy/drop/a", *lines))


async def test_what_is_ready_for_a_front_is_not_ready_for_a_stranger(shop: Site) -> None:
    """A front asks with bytes that anybody can send."""
    prompt = shop.served.prompt
    assert prompt is not None
    client = await shop.hot.open(get(NGINX, *about(b"/x")))
    await client.reader.readuntil(b"\r\n\r\n")

    assert list(prompt.memo("127.0.0.1")) == [get(NGINX, *about(b"/x"))]
    assert prompt.memo("203.0.113.7") == {}
    assert prompt.memo("203.0.113.7") is not prompt.memo("127.0.0.1")


async def test_hosts_that_are_not_allowed_are_for_the_others(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys, trusted=("127.0.0.0/8",), edge={"allowed_hosts": ["shop.example"]}) as shop:
        evil = [line.replace(b"shop.example", b"evil.example") for line in about(b"/x")]

        assert at_once(shop, get(NGINX, *about(b"/x")))
        assert not at_once(shop, get(NGINX, *evil))
