"""What Traefik and Envoy ask, byte for byte as their sources say it, for neither of them runs in these tests.

Sources: Traefik pkg/middlewares/auth/forward.go; Envoy ext_authz.proto (HttpService).
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.edges import Front, Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys

CONFIG = Path(__file__).parents[2] / "config"
ALWAYS_ON: dict[str, Any] = {
    "queueing_method": "fifo",
    "new_users_per_minute": 60_000.0,
    "edge": {"trusted_proxies": ["127.0.0.0/8"], "public_origin": "https://shop.example"},
}
FROM_BROWSER = ["Accept: text/html,application/xhtml+xml", "Accept-Encoding: gzip, br", "Sec-Fetch-Mode: navigate"]


def traefik(target: str, method: str = "GET", *lines: str) -> list[str]:
    """Return Traefik's question: a GET with the visitor's headers and five of its own, and those it always sets."""
    return [
        "GET /.waitroom/auth/redirect HTTP/1.1",
        "Host: 127.0.0.1:8080",
        "User-Agent: Mozilla/5.0",
        "X-Forwarded-For: 203.0.113.9",
        f"X-Forwarded-Method: {method}",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.example",
        f"X-Forwarded-Uri: {target}",
        "X-Forwarded-Port: 443",
        "X-Forwarded-Server: edge-1",
        "X-Real-Ip: 203.0.113.9",
        *lines,
    ]


def envoy(target: str, method: str = "GET", *lines: str) -> list[str]:
    """Return Envoy's question: the visitor's own method, host and path, and what allowed_headers names."""
    return [
        f"{method} /.waitroom/auth/envoy{target} HTTP/1.1",
        "host: shop.example",
        "content-length: 0",
        "x-forwarded-proto: https",
        "x-forwarded-for: 6.6.6.6,203.0.113.9",
        "x-envoy-internal: true",
        "x-envoy-expected-rq-timeout-ms: 2000",
        *[line.lower() if line.startswith("Accept:") else line for line in lines if "Encoding" not in line],
    ]


FRONTS = pytest.mark.parametrize("question", [traefik, envoy])


async def said(gate: Front, lines: list[str]) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.client.port)
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
    async with asyncio.timeout(60):
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()
    first, *rest = head.decode().split("\r\n")
    return int(first.split(" ")[1]), dict(line.lower().split(": ", 1) for line in rest), body


@FRONTS
async def test_a_shopper_is_sent_for_a_pass_and_then_let_by(
    question: Any, redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as gate:
        first = await said(gate, question("/drop/shoe?a=%2F", "GET", *FROM_BROWSER))
        entered = await gate.get("/.waitroom/drop/enter", headers={"Accept": "text/html"})
        cookie = entered.headers["Set-Cookie"].split(";")[0]
        inside = await said(gate, question("/drop/shoe?a=%2F", "GET", *FROM_BROWSER, f"Cookie: {cookie}"))
        form = await said(gate, question("/drop/order", "POST", *FROM_BROWSER, f"Cookie: {cookie}"))
        outside = await said(gate, question("/about", "POST", *FROM_BROWSER))

        assert first[0] == 303
        assert first[1]["location"] == (
            "https://shop.example/.waitroom/drop/enter?return_to=/drop/shoe%3fa%3d%252f"  # lower case by this test
        )
        assert cookie.startswith("__Host-wr_drop_pass=")
        assert (inside[0], form[0], outside[0]) == (200, 200, 200)
        assert "waitroom-pass" in inside[1]
        assert "waitroom-pass" in form[1]
        assert "waitroom-pass" not in outside[1]
        assert inside[2] == b""


@FRONTS
async def test_who_has_to_wait_is_told_so_below_500_where_500_is_a_fault(
    question: Any, redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=600, **ALWAYS_ON) as gate:
        page = await said(gate, question("/drop/", "GET", *FROM_BROWSER))
        form = await said(gate, question("/drop/order", "POST", *FROM_BROWSER))
        api = await said(gate, question("/drop/api", "GET", "Accept: application/json"))
        socket = await said(gate, question("/drop/ws", "GET", "Sec-Fetch-Mode: websocket"))
        forged = await said(gate, question("/drop/", "GET", "Waitroom-Pass: forged"))

        expected = 503 if question is traefik else 429
        assert page[0] == 303
        assert [one[0] for one in (form, api, socket)] == [expected] * 3
        assert all(one[1]["retry-after"] == "5" for one in (form, api, socket))
        assert forged[0] == 400


def test_the_examples_that_are_not_run_can_at_least_be_read() -> None:
    read = {
        name: yaml.safe_load((CONFIG / name).read_text())
        for name in ("traefik.yml", "traefik-dynamic.yml", "envoy.yaml")
    }
    routers, middlewares = (read["traefik-dynamic.yml"]["http"][part] for part in ("routers", "middlewares"))
    listener = read["envoy.yaml"]["static_resources"]["listeners"][0]
    connections = listener["filter_chains"][0]["filters"][0]["typed_config"]
    filters = {one["name"].rpartition(".")[2]: one["typed_config"] for one in connections["http_filters"]}
    asked = filters["ext_authz"]

    assert set(read["traefik.yml"]) == {"entryPoints", "providers"}
    assert middlewares["ask-waitroom"]["forwardAuth"]["authResponseHeaders"] == ["Waitroom-Pass", "Cookie"]
    assert routers["store"]["middlewares"] == ["unforged", "ask-waitroom", "silent"]
    assert {name for router in routers.values() for name in router.get("middlewares", ())} == set(middlewares)
    assert routers["waitroom-questions"]["priority"] > routers["waitroom"]["priority"] > routers["store"]["priority"]
    assert list(filters) == ["header_mutation", "ext_authz", "router"], "forgeries go before the question"
    assert asked["http_service"]["path_prefix"] == "/.waitroom/auth/envoy"
    assert {one["exact"] for one in asked["allowed_headers"]["patterns"]} >= {"cookie", "accept", "sec-fetch-mode"}
    assert asked["failure_mode_allow"] is False
    clusters = {one["name"] for one in read["envoy.yaml"]["static_resources"]["clusters"]}
    assert asked["http_service"]["server_uri"]["cluster"] in clusters
