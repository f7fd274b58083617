"""Behind nginx, HAProxy and Caddy, each run from its example: nobody forges their way in, nor round the gate."""

import pytest

from tests.fronts import EXAMPLES, Browser, browser, site
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys

FRONTS = pytest.mark.parametrize("kind", EXAMPLES)


def cookie_of(shopper: Browser) -> str:
    return "; ".join(f"{name}={value}" for name, value in shopper.cookies.items())


@FRONTS
async def test_no_forged_header_passes_another_proxy(kind: str, redis: ScriptRunner, keys: Keys) -> None:
    forged = [
        "Waitroom-Pass: forged",
        "waitroom-pass: forged",
        "Waitroom_Pass: forged",
        "Waitroom-Cookie: forged=1",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Host: forged.example",
        "X-Forwarded-Proto: forged",
        "X-Forwarded-Uri: /forged",
        "X-Forwarded-Method: FORGED",
        "X-Original-URI: /forged",
        "X-Original-URL: /forged",
        "X-Rewrite-URL: /forged",
        "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X_Forwarded_For: 6.6.6.6",
    ]
    async with site(kind, redis, keys) as shop, browser(shop) as shopper:
        await shopper.open("/drop/")
        for lines in (forged, *[[line] for line in forged]):
            for target in ("/drop/", "/about"):
                await shop.talk(target, *lines, f"Cookie: {cookie_of(shopper)}", "Accept: text/html")

        assert len(shop.origin.seen) > len(forged), "most of them pass, without what was forged"
        for seen in shop.origin.seen:
            assert b"forged" not in seen.head.lower()
            assert b"6.6.6.6" not in seen.head
            assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
            assert len(seen.all("Waitroom-Pass")) == (1 if b"/drop/" in seen.target else 0)


@FRONTS
async def test_no_header_and_no_path_trick_leads_round_another_proxy(
    kind: str, redis: ScriptRunner, keys: Keys
) -> None:
    headers = ["X-Forwarded-Uri: /about", "X-Original-URI: /about", "X-Forwarded-Host: other", "Waitroom-Pass: x"]
    paths = [
        "/drop/feed/../buy",
        "/drop/feed/..%2fbuy",
        "/drop/feed%2f..%2fbuy",
        "/drop/feed/%2e%2e/buy",
        "/drop/feed/..;/buy",
        "/drop/feed/..\\buy",
        "/about/../drop/buy",
        "/about/%2e%2e/drop/buy",
        "/about/..%252fdrop/buy",
        "//drop/buy",
        "/./drop/buy",
        "/%64rop/buy",
        "/DROP/buy",
        "/drop",
        "/.waitroom/../drop/buy",
        "/.waitroom/..%2fdrop/buy",
        "/.waitroom/%2e%2e/drop/buy",
        "/drop/%2e%2e/.waitroom/../drop/buy",
        "http://other.example/drop/buy",
    ]
    async with site(kind, redis, keys, opens_in_s=600, exempt_paths=["/drop/feed"]) as shop:
        for header in headers:
            await shop.talk("/drop/buy", header, "Accept: text/html")
        for path in paths:
            await shop.talk(path, "Accept: text/html")

        assert [seen.target for seen in shop.origin.seen] == []


@FRONTS
async def test_nobody_outside_may_ask_for_a_verdict_behind_another_proxy(
    kind: str, redis: ScriptRunner, keys: Keys
) -> None:
    told = [
        "X-Forwarded-Method: GET",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: shop.example",
        "X-Forwarded-Uri: /drop/",
        "X-Forwarded-For: 127.0.0.1",
        "Accept: application/json",
    ]
    async with site(kind, redis, keys) as shop, browser(shop) as shopper:
        await shopper.open("/drop/")
        reached = len(shop.origin.seen)
        spelt = [
            "/.waitroom/auth/",
            "/.waitroom/%61uth/",
            "/.waitroom//auth/",
            "/.waitroom/./auth/",
            "/%2ewaitroom/auth/",
        ]
        for start in [*spelt, "/.waitroom/x/../auth/", "/x/../.waitroom/auth/"]:
            for name in ("nginx", "redirect", "refusal", "envoy/drop/", "revoke/drop"):
                answer = await shop.talk(start + name, *told, f"Cookie: {cookie_of(shopper)}")
                head = answer.partition(b"\r\n\r\n")[0].lower()

                assert b"waitroom-pass" not in head, start
                assert not head.startswith((b"http/1.1 204", b"http/1.1 303")), start

        if kind == "nginx":
            asked = await shop.talk("/.waitroom-question", *told, f"Cookie: {cookie_of(shopper)}")
            assert asked.startswith(b"HTTP/1.1 404 ")
        for seen in shop.origin.seen[reached:]:
            assert seen.all("Waitroom-Pass"), "what is odd, and goes to the store, goes with a pass"


@FRONTS
async def test_behind_another_proxy_the_store_sees_no_cookie_of_ours(
    kind: str, redis: ScriptRunner, keys: Keys
) -> None:
    async with site(kind, redis, keys) as shop, browser(shop) as shopper:
        await shopper.open("/drop/")
        ours = cookie_of(shopper)
        for target in ("/drop/", "/about"):
            await shop.talk(target, f"Cookie: a=1; {ours}; b=2", "Accept: text/html")
            some = shop.origin.seen[-1]
            await shop.talk(target, f"Cookie: {ours}", "Accept: text/html")
            none = shop.origin.seen[-1]
            await shop.talk("/about", "Accept: text/html")

            assert some.all("Cookie") == ["a=1; b=2"], target
            assert none.all("Cookie") == [], target
            assert shop.origin.seen[-1].all("Cookie") == []
        assert b"wr_drop" not in b"".join(seen.head for seen in shop.origin.seen)
