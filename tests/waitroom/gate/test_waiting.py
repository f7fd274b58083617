"""The waiting page as bytes: small, strict, the same for everybody, and readable without JavaScript."""

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import brotli
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from waitroom.gate.looks import look
from waitroom.gate.waiting import SlowVisitor, WaitingPage, wait_text
from waitroom.kernel.pages import Pages
from waitroom.rules.stock import Stock, in_line

LIMIT_BYTES = 14 * 1024
STATIC = Path(__file__).parents[3] / "templates" / "static"
WORDS_JS, PULSE_JS = STATIC / "waiting_words.js", STATIC / "waiting_pulse.js"


@pytest.fixture
def waiting() -> WaitingPage:
    return WaitingPage(Pages(), {"drop": look("Northlight <drop>", "#b00020")})


def text_of(answer: web.Response) -> str:
    assert isinstance(answer.body, bytes)
    return answer.body.decode()


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_the_page_fits_into_the_first_packets(waiting: WaitingPage, encoding: str) -> None:
    page = waiting.prepared("drop")
    answer = page.answer(make_mocked_request("GET", "/", headers={"Accept-Encoding": encoding}))

    assert page.size_bytes(encoding) < LIMIT_BYTES - 512
    assert isinstance(answer.body, bytes)
    opened = {"br": brotli.decompress, "gzip": gzip.decompress}[encoding](answer.body)
    assert opened.decode().startswith("<!doctype html>")


def test_everything_inline_carries_the_nonce_and_nothing_is_fetched(waiting: WaitingPage) -> None:
    answer = waiting.prepared("drop").answer(make_mocked_request("GET", "/"))
    policy, html = answer.headers["Content-Security-Policy"], text_of(answer)
    (nonce,) = set(re.findall(r"nonce-([^']+)'", policy))

    assert "default-src 'none'" in policy
    assert "worker-src blob:" in policy
    assert "unsafe" not in policy
    assert set(re.findall(r"<(?:script|style)[^>]*>", html)) == {
        f'<script nonce="{nonce}">',
        f'<style nonce="{nonce}">',
    }
    assert not re.search(r"""\b(?:src|srcset|action|href)=["']?(?:https?:)?//""", html)
    assert not re.search(r"""<[^>]*\s(?:style|on\w+)=""", html.split("<script")[0])
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_each_rendering_has_a_nonce_of_its_own(waiting: WaitingPage) -> None:
    assert waiting.prepared("drop").body != waiting.prepared("drop").body


def test_names_and_colours_are_written_as_text(waiting: WaitingPage) -> None:
    html = waiting.prepared("drop").body.decode()

    assert "Northlight &lt;drop&gt;" in html
    assert "<drop>" not in html
    assert "--accent: #b00020" in html.replace("--accent:#", "--accent: #")


def test_a_room_without_a_look_goes_by_its_name(waiting: WaitingPage) -> None:
    assert "<title>plain" in waiting.prepared("plain").body.decode()


@pytest.mark.parametrize(("status", "retry"), [(200, None), (202, None), (429, "7"), (503, "7")])
def test_the_status_is_the_one_of_the_room(waiting: WaitingPage, status: int, retry: str | None) -> None:
    answer = waiting.prepared("drop", status=status, retry_after_s=7).answer(make_mocked_request("GET", "/"))

    assert answer.status == status
    assert answer.headers.get("Retry-After") == retry


def test_the_page_offers_a_way_without_javascript(waiting: WaitingPage) -> None:
    html = waiting.prepared("drop").body.decode()

    assert '<form class="slow" id="slow" method="post" action="/.waitroom/drop/queue/slow">' in html
    assert 'name="website" tabindex="-1"' in html


def test_the_page_of_a_slow_visitor_says_where_they_stand_and_asks_again(waiting: WaitingPage) -> None:
    page = waiting.for_slow("drop", SlowVisitor(1204, (240, 420), 20, message="<b>Back at six</b>"))

    assert '<meta http-equiv="refresh" content="20">' in page.body
    assert "1,204" in page.body
    assert "1,203" in page.body
    assert "4\u20137 minutes" in page.body
    assert "&lt;b&gt;Back at six" in page.body
    assert "<script" not in page.body
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "state", ["prequeue", "waiting", "paused", "down", "called", "sold_out", "ended", "lapsed", "idle"]
)
def test_a_slow_page_has_words_for_every_state_even_where_nothing_is_known(waiting: WaitingPage, state: str) -> None:
    page = waiting.for_slow("drop", SlowVisitor(None, None, 20, state, stock=Stock(0, 5, 0)))

    assert page.body.count("<h1>") == 1
    assert "None" not in page.body
    assert ("refresh" in page.body) is (state != "ended"), "nothing comes after the end"
    assert ("Your place is kept" in page.body) is (state not in {"ended", "lapsed"})


@pytest.mark.parametrize(
    ("stock", "told", "has_wait"),
    [
        (Stock(1953, 0, 9), "About 1,900 left, 1,203 ahead of you. This page", True),
        (Stock(40, 3, 0), "About 40 left, 1,203 ahead of you: it may sell out before your turn. This page", False),
        (Stock(0, 7, 0), "Nothing is free this moment. 7 set aside may come back: then the line moves on.", False),
    ],
)
def test_a_slow_page_says_what_is_left_and_makes_no_wait_up(
    waiting: WaitingPage, stock: Stock, told: str, has_wait: bool
) -> None:
    page = waiting.for_slow("drop", SlowVisitor(1204, (240, 420), 20, stock=stock))

    assert told in page.body
    assert ("4\u20137 minutes" in page.body) is has_wait
    assert told not in waiting.for_slow("drop", SlowVisitor(1204, None, 20, "paused", stock=stock)).body


def test_before_the_opening_a_slow_page_says_how_many_there_are_to_sell(waiting: WaitingPage) -> None:
    page = waiting.for_slow("drop", SlowVisitor(None, None, 20, "prequeue", stock=Stock(104, 0, 0)))

    assert "About 100 to sell. The doors are not open yet." in page.body


@pytest.mark.parametrize(
    ("low_s", "high_s", "text"),
    [
        (0, 0, "Less than a minute"),
        (0, 60, "Less than a minute"),
        (20, 61, "Up to 2 minutes"),
        (60, 61, "1\u20132 minutes"),
        (240, 240, "About 4 minutes"),
        (240, 420, "4\u20137 minutes"),
        (3000, 3601, "50\u201365 minutes"),
        (7000, 7201, "1\u20133 hours"),
        (60, 86_400, "Up to 24 hours"),
    ],
)
def test_a_wait_is_told_as_a_range_rounded_outwards(low_s: float, high_s: float, text: str) -> None:
    assert wait_text(low_s, high_s) == text


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_told_wait_never_promises_less_than_was_worked_out(low_s: float, more_s: float) -> None:
    text = wait_text(low_s, low_s + more_s)
    unit_s = 3600 if "hours" in text else 60
    top = 1 if text == "Less than a minute" else int(re.findall(r"\d+", text)[-1])

    assert top * unit_s >= low_s + more_s


def test_the_page_and_the_server_tell_a_wait_in_the_same_words() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("LOUD: node is not installed, so the page's words were NOT compared with the server's")
    waits = [(low, low + more) for low in (0, 1, 59, 60, 61, 299, 3599, 3600, 7199, 9000) for more in (0, 1, 61, 4000)]
    script = WORDS_JS.read_text() + f"; console.log(JSON.stringify({json.dumps(waits)}.map(w => waitText(...w))))"

    said = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True, timeout=30)

    assert json.loads(said.stdout) == [wait_text(low, high) for low, high in waits]


def test_the_page_and_the_server_tell_a_stock_in_the_same_words() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("LOUD: node is not installed, so the page's words were NOT compared with the server's")
    units, aheads = (0, 1, 19, 20, 99, 100, 1_953, 12_345, 999_999_999), (0, 1, 20, 105, 2_000)
    told = [(left, held, ahead) for left in units for held in (1, 1_200) for ahead in aheads]
    asked = f"{json.dumps(told)}.map(([left, held, ahead]) => stockText({{ left, held }}, ahead))"

    script = f"{WORDS_JS.read_text()}; console.log(JSON.stringify({asked}))"
    said = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True, timeout=30)

    assert json.loads(said.stdout) == [in_line(Stock(left, held, 0), ahead) for left, held, ahead in told]


@pytest.mark.parametrize(("crowd", "most_ms"), [(1, 2_000), (10_000, 2_000), (50_000, 10_000), (5_000_000, 30_000)])
def test_what_a_crowd_asks_at_the_opening_is_spread_by_its_number(crowd: int, most_ms: int) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("LOUD: node is not installed, so the spread at the opening was NOT looked at")
    state = f"const me = {{}}; let pulse = {{ lanes: {{ main: {{ waiting: {crowd} }} }} }}; Date.now = () => 0;"
    asking = "console.log(JSON.stringify([0, 0.5, 1].map(chance => { Math.random = () => chance; return soon(); })))"

    said = subprocess.run(
        [node, "-e", state + PULSE_JS.read_text() + asking], capture_output=True, text=True, check=True, timeout=30
    )

    assert json.loads(said.stdout) == [0, most_ms / 2, most_ms]


def test_the_squeezed_script_is_still_javascript(waiting: WaitingPage, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("LOUD: node is not installed, so the page's script was NOT parsed")
    script = re.search(r"<script[^>]*>(.*)</script>", waiting.prepared("drop").body.decode(), re.DOTALL)
    assert script
    (tmp_path / "page.js").write_text(script[1])

    subprocess.run([node, "--check", str(tmp_path / "page.js")], check=True, timeout=30)
