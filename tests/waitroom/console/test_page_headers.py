"""No other site frames, reads or keeps what the console answers."""

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiohttp.typedefs import LooseHeaders

Client = TestClient[web.Request, web.Application]


@pytest.mark.parametrize("path", ["/login", "/api/rooms", "/nothing-here", "/metrics"])
async def test_every_answer_is_closed_to_others(path: str, client: Client) -> None:
    answer = await client.get(path)

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_page_runs_its_own_script_once_and_nothing_else(client: Client, as_operator: LooseHeaders) -> None:
    first, second = [await client.get("/", headers=as_operator) for _ in range(2)]

    policy, text = first.headers["Content-Security-Policy"], await first.text()
    nonce = re.findall(r"script-src 'nonce-([^']+)'", policy)[0]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert set(re.findall(r'<(?:script|style) nonce="([^"]+)"', text)) == {nonce}
    assert len(re.findall(r"<(?:script|style)\b", text)) == len(re.findall(r"<(?:script|style) nonce=", text))
    assert second.headers["Content-Security-Policy"] != policy
