"""People get a page, programs a problem document."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from waitroom.gate.problem_pages import ProblemPages
from waitroom.kernel.answers import errors_become_answers
from waitroom.kernel.errors import BadToken, Refused, StoreUnavailable, UpstreamUnavailable
from waitroom.kernel.pages import Pages

Client = TestClient[web.Request, web.Application]
PERSON = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}


FAULTS: dict[str, Exception] = {
    "502": UpstreamUnavailable("connection refused by 10.0.0.7"),
    "504": UpstreamUnavailable("too slow", status=504),
    "503": StoreUnavailable("redis gone", retry_after_s=30),
    "full": Refused(503, "full", "It is full.", retry_after_s=30),
    "closed": Refused(503, "closed", "It is closed.", retry_after_s=30),
    "rejected": Refused(403, "closed", "It is closed."),
    "403": BadToken("forged"),
    "400": Refused(400, "bad-path", "Say <b>please</b>."),
    "bug": RuntimeError("secret detail"),
}
ANSWERS = {"upstream": (422, b'{"type":"about:blank"}'), "garbage": (422, b"{"), "fine": (200, b"fine")}


async def fails(request: web.Request) -> web.StreamResponse:
    how = request.match_info["how"]
    if how in FAULTS:
        raise FAULTS[how]
    status, body = ANSWERS[how]
    return web.Response(status=status, body=body, content_type="application/problem+json")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application(middlewares=[ProblemPages(Pages()).people_get_pages, errors_become_answers])
    app.router.add_route("*", "/{how}", fails)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize(
    ("how", "status", "headline"),
    [
        ("502", 502, "The shop is not answering"),
        ("504", 504, "The shop is taking too long"),
        ("503", 503, "One moment, please"),
        ("full", 503, "The waiting room is full"),
        ("closed", 503, "Closed at the moment"),
        ("rejected", 403, "Closed at the moment"),
        ("403", 403, "That did not work"),
        ("400", 400, "We did not understand that"),
        ("bug", 500, "Internal Server Error"),
    ],
)
async def test_a_person_gets_a_page_in_calm_words(client: Client, how: str, status: int, headline: str) -> None:
    answer = await client.get(f"/{how}", headers=PERSON)
    html = await answer.text()

    assert answer.status == status
    assert answer.content_type == "text/html"
    assert f"<h1>{headline}</h1>" in html
    assert "10.0.0.7" not in html
    assert "secret detail" not in html
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_words_are_written_as_text(client: Client) -> None:
    answer = await client.get("/400", headers=PERSON)

    assert "Say &lt;b&gt;please&lt;/b&gt;." in await answer.text()


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}])
async def test_a_program_gets_the_document(client: Client, headers: dict[str, str]) -> None:
    answer = await client.get("/502", headers=headers)

    assert answer.content_type == "application/problem+json"


async def test_an_outage_is_tried_again_by_itself_a_refusal_is_not(client: Client) -> None:
    outage = await (await client.get("/502", headers=PERSON)).text()
    refusal = await (await client.get("/403", headers=PERSON)).text()

    assert '<meta http-equiv="refresh"' in outage
    assert '<meta http-equiv="refresh"' not in refusal


async def test_a_page_tries_again_no_sooner_than_was_said(client: Client) -> None:
    answer = await client.get("/503", headers=PERSON)

    assert answer.headers["Retry-After"] == "30"
    html = await answer.text()
    assert any(f'content="{seconds}"' in html for seconds in range(30, 36))


async def test_what_was_sent_is_never_sent_again_by_itself(client: Client) -> None:
    answer = await client.post("/502", headers=PERSON)

    assert '<meta http-equiv="refresh"' not in await answer.text()


@pytest.mark.parametrize("how", ["upstream", "garbage"])
async def test_what_the_upstream_says_stays_as_it_is(client: Client, how: str) -> None:
    answer = await client.get(f"/{how}", headers=PERSON)

    assert answer.status == 422
    assert answer.content_type == "application/problem+json"


async def test_what_is_fine_stays_as_it_is(client: Client) -> None:
    assert await (await client.get("/fine", headers=PERSON)).text() == "fine"


async def test_a_form_that_was_refused_leads_back_to_its_page(client: Client) -> None:
    own = {"Referer": str(client.make_url("/drop/?size=42"))}
    page = await (await client.post("/full", headers=PERSON | own)).text()
    elsewhere = await (await client.post("/full", headers=PERSON | {"Referer": "https://evil.example/x"})).text()

    assert 'href="/drop/?size=42">Try again' in page
    assert 'href="/">Try again' in elsewhere
    assert 'href="">Try again' in await (await client.get("/full", headers=PERSON | own)).text()
