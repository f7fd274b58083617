"""The page that checks a draw in the shopper's browser: it says what the verifier says."""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, async_playwright, expect

from tests.conftest import CHROMIUM_FLAGS
from tests.draws import called_one_by_one, draw_of, tickets, wheel_of
from tests.edges import HTML, Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.beacons import Beacon, BeaconKind, manual, planned, unspun
from waitroom.rules.proofs import proof_document, ticket_document
from waitroom.rules.verification import Outcome, Proof, verify

STATIC = Path(__file__).parents[3] / "templates" / "static"
IDS = tickets(50)
WHEEL = wheel_of(IDS)
DRAND = Beacon(BeaconKind.DRAND, "ab" * 32, period_ms=3000)


def documents() -> list[dict[str, Any]]:
    """Return proofs that fit, proofs that wait, and one of each forgery."""
    source = manual("3 17, Ölmez")
    log = called_one_by_one(IDS, source.spin)
    true = ticket_document(draw_of(WHEEL, source), WHEEL, IDS[0], log)
    missed = ticket_document(draw_of(WHEEL, unspun(DRAND, 0)), WHEEL, IDS[0], [])
    assert true
    assert missed
    forged = []
    for change in (
        {"seed": "11" * 32},
        {"commitment": "00" * 32},
        {"spin": 0.25},
        {"roster": {"count": 49, "merkle_root": "00" * 32}},
        {"admissions": true["admissions"][::-1]},  # type: ignore[index]  # a JSON document
        {"ticket": {**true["ticket"], "turn": 0.5}},  # type: ignore[dict-item]  # as above
        {"ticket": {**true["ticket"], "called_at_ms": 1}},  # type: ignore[dict-item]  # as above
        {"ticket": {**true["ticket"], "inclusion": {"index": 3, "path": WHEEL.path(3)}}},  # type: ignore[dict-item]  # as above
        {"spin_source": {**source.document(), "value": "other"}},
    ):
        forged.append(true | change)
    early: dict[str, Any] = {
        "seed": None,
        "spin": None,
        "roster": {"count": None, "merkle_root": None},
        "admissions": [],
    }
    waiting = proof_document(draw_of(WHEEL), []) | early | {"spin_source": planned(DRAND, 0).document()}
    return [true, missed, proof_document(draw_of(WHEEL, source), log), waiting, *forged]


@pytest.mark.parametrize("number", range(len(documents())))
def test_the_page_finds_what_the_verifier_finds(number: int) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("LOUD: node is not installed, so the page's checks were NOT compared with the verifier")
    document = json.loads(json.dumps(documents()[number]))
    script = f"""
      const solver = require({json.dumps(str(STATIC / "solver.js"))})();
      const check = require({json.dumps(str(STATIC / "proof_checks.js"))});
      console.log(JSON.stringify(check(solver, {json.dumps(document)}, {json.dumps(IDS[0])}).map(c => c.is)));
    """
    ran = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True, timeout=60)
    expected = [check.outcome for check in verify(Proof.model_validate(document), IDS[0])]

    found = json.loads(ran.stdout)
    for outcome in Outcome:
        assert (outcome in found) == (outcome in expected), (found, expected)


async def test_the_page_carries_its_nonce_and_fetches_nothing_from_elsewhere(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        answer = await shop.get("/.waitroom/drop/proof.html", headers=HTML)
        html, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        again = await shop.get("/.waitroom/drop/proof.html", headers=HTML)

        (mark,) = set(re.findall(r"nonce-([^']+)'", policy))
        assert set(re.findall(r"<(?:script|style)[^>]*>", html)) == {
            f'<script nonce="{mark}">',
            f'<style nonce="{mark}">',
        }
        assert not re.search(r"""\b(?:src|href)=["']?(?:https?:)?//""", html)
        assert await again.text() == html, "rendered once a minute"
        assert (await shop.get("/.waitroom/nothing/proof.html")).status == 404


@pytest_asyncio.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


async def test_a_shopper_sees_that_everything_fits_and_what_does_not(
    redis: ScriptRunner, keys: Keys, store: Store, browser: Browser
) -> None:
    told = documents()[0]
    async with front(redis, keys, store, opens_in_s=60) as shop:
        html = await shop.get("/.waitroom/drop/proof.html", headers=HTML)
        body, policy = await html.text(), html.headers["Content-Security-Policy"]
    asked: list[str] = []

    async def proof(request: web.Request) -> web.Response:
        asked.append(request.query_string)
        if request.query.get("ticket_id") not in {None, IDS[0]}:
            return web.json_response({"detail": "This ticket was not in the draw at the opening."}, status=404)
        return web.json_response(told)

    async def page_(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html", headers={"Content-Security-Policy": policy})

    app = web.Application()
    app.add_routes([web.get("/.waitroom/drop/proof", proof), web.get("/.waitroom/drop/proof.html", page_)])
    async with TestServer(app, host="127.0.0.1") as server:
        page = await browser.new_page(viewport={"width": 320, "height": 700})
        faults: list[str] = []
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.on("console", lambda line: faults.append(line.text) if "Content Security" in line.text else None)
        await page.goto(f"{server.make_url('/.waitroom/drop/proof.html')}?ticket_id={IDS[0]}")

        await expect(page.locator("h1")).to_have_text("Everything fits")
        await expect(page.locator("#checks li")).to_have_count(9)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert asked == [f"ticket_id={IDS[0]}"]
        await page.locator("#ticket").fill("stranger")
        await page.locator("#ticket").press("Enter")
        await expect(page.locator("#lead")).to_have_text("This ticket was not in the draw at the opening.")
        told = documents()[6]
        await page.locator("#ticket").fill(IDS[0])
        await page.locator(".button").click()
        await expect(page.locator("h1")).to_have_text("Something does not fit")
        await expect(page.locator("li[data-is=wrong]").first).to_be_visible()
        assert faults == []
