"""Everybody can use every page: names, headings, language, contrast, and the keyboard alone."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser_visitor import DESK, PHONE, Visitor, visiting
from tests.http_shopper import HttpShopper
from tests.whole_site import WholeSite

pytestmark = [pytest.mark.journey, pytest.mark.browser, pytest.mark.xdist_group("journey")]

Way = Callable[[Visitor, WholeSite], None]

CONTRAST = """() => {
  // WCAG 2.2, 1.4.3: the ratio of each text to what lies behind it, where that is one colour.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((x, i) => i === 3 ? x / 255 : x);
  };
  const over = (top, below) => below.map((x, i) => i === 3 ? 1 : top[i] * top[3] + x * (1 - top[3]));
  const light = colour => {
    const [r, g, b] = colour.slice(0, 3).map(x => (x /= 255) <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const faults = [];
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join(" ").trim();
    const box = element.getBoundingClientRect();
    const isShown = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const isClipped = box.width < 2 || box.height < 2 || box.right <= 0 || box.bottom <= 0;
    if (!text || !isShown || isClipped || element.closest("script, style, svg, noscript")) continue;
    if (element.closest(":disabled, [aria-hidden=true]")) continue;
    const chain = [];
    for (let at = element; at; at = at.parentElement) chain.unshift(at);
    let behind = rgba(getComputedStyle(document.documentElement).colorScheme.includes("dark")
      && matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#fff"), fade = 1;
    for (const at of chain) {
      const style = getComputedStyle(at);
      fade *= Number(style.opacity);
      behind = over(rgba(style.backgroundColor), behind);
    }
    const style = getComputedStyle(element), ink = rgba(style.color);
    ink[3] *= fade;
    const [a, b] = [light(over(ink, behind)), light(behind)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05), size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    if (ratio < (isLarge ? 3 : 4.5)) faults.push(`${ratio.toFixed(2)} "${text.slice(0, 40)}" ${style.color}`);
  }
  return faults;
}"""

FOCUSABLE = """() => {
  const wanted = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  const seen = new Set();
  return [...document.querySelectorAll(wanted)].filter(element => {
    if (element.disabled || element.tabIndex < 0) return false;
    if (!element.checkVisibility({ visibilityProperty: true })) return false;
    if (element.type !== "radio") return true;
    const isFirst = !seen.has(element.name);
    seen.add(element.name);
    return isFirst;
  }).map((element, i) => (element.dataset.stop = element.type === "radio" ? "radio-" + element.name : "stop-" + i));
}"""

FOCUSED = """() => {
  const element = document.activeElement, style = getComputedStyle(element);
  const shown = element.type === "radio" ? getComputedStyle(element.closest("label") || element) : style;
  const marks = s => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== "none";
  const isMarked = marks(style) || marks(shown);
  return [element.type === "radio" ? "radio-" + element.name : element.dataset.stop || element.tagName, isMarked];
}"""

NAMED = {"button", "link", "textbox", "checkbox", "radio", "combobox", "progressbar", "meter", "timer", "searchbox"}


def prequeue(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/hard/")
    expect(visitor.page.locator("#lead")).to_contain_text("You are in the draw", timeout=60_000)


def solving(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/hard/")
    expect(visitor.page.locator("#work")).to_be_visible()


def waiting(visitor: Visitor, site: WholeSite) -> None:
    site.ops("pause", {})
    site.ops("message", {"text": "More sizes come in at six."})
    visitor.page.goto(f"{site.url}/drop/")
    expect(visitor.page.locator("#place")).to_be_visible()
    expect(visitor.page.locator("#message")).to_be_visible()
    visitor.page.locator("summary").click()


def left(visitor: Visitor, site: WholeSite) -> None:
    waiting(visitor, site)
    visitor.page.get_by_role("button", name="Leave the line").click()
    visitor.page.get_by_role("button", name="Really leave?").click()
    expect(visitor.page.get_by_role("button", name="Join again")).to_be_visible()


def product(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/drop/")
    expect(visitor.page.locator("[data-buy=sneaker]")).to_be_enabled()


def checkout(visitor: Visitor, site: WholeSite) -> None:
    product(visitor, site)
    visitor.reserve()


def receipt(visitor: Visitor, site: WholeSite) -> None:
    checkout(visitor, site)
    visitor.pay()
    expect(visitor.page.get_by_role("heading", name="It is yours")).to_be_visible(timeout=20_000)


def declined(visitor: Visitor, site: WholeSite) -> None:
    checkout(visitor, site)
    visitor.pay("Card that is declined")
    expect(visitor.page.get_by_role("heading", name="declined")).to_be_visible(timeout=20_000)


def refused(visitor: Visitor, site: WholeSite) -> None:
    checkout(visitor, site)
    visitor.page.goto(f"{site.url}/drop/")
    visitor.page.locator("[data-buy=sneaker]").click()
    expect(visitor.page.get_by_role("heading", name="You have yours already")).to_be_visible()


def nowhere(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/.waitroom/nowhere/wait")


def sign_in(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(site.ops_url)


def console(visitor: Visitor, site: WholeSite) -> None:
    sign_in(visitor, site)
    visitor.page.get_by_label("Console token").fill(site.token)
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page.locator("#waiting")).not_to_have_text("\u2013")


@pytest.fixture(autouse=True)
def _restored(site: WholeSite) -> Iterator[None]:
    yield
    for what, body in (("message", {"text": ""}), ("resume", {})):
        site.ops(what, body)


PAGES = (
    prequeue,
    solving,
    waiting,
    left,
    product,
    checkout,
    receipt,
    declined,
    refused,
    nowhere,
    sign_in,
    console,
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("way", PAGES, ids=lambda way: way.__name__)
def test_everybody_can_use_the_page(browser: Browser, site: WholeSite, way: Way, scheme: str) -> None:
    size = PHONE if scheme == "light" else DESK
    with visiting(browser, size, color_scheme=scheme, reduced_motion="reduce") as visitor:
        way(visitor, site)
        page = visitor.page

        assert page.locator("html").get_attribute("lang") == "en"
        assert page.title()
        assert page.get_by_role("main").count() == 1
        assert page.get_by_role("heading", level=1).count() == 1
        assert nameless(page) == []
        assert page.evaluate(CONTRAST) == []
        assert unreachable(page) == []
        assert visitor.fits()


def nameless(page: Page) -> list[str]:
    """Return the roles that a screen reader would announce without a name."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    shown = [node for node in nodes if not node.get("ignored") and node["role"]["value"] in NAMED]
    return [node["role"]["value"] for node in shown if not node.get("name", {}).get("value", "").strip()]


def unreachable(page: Page) -> list[str]:
    """Return what the Tab key does not reach, and what does not show that it was reached."""
    page.evaluate("document.activeElement.blur()")
    wanted = set(page.evaluate(FOCUSABLE))
    faults, reached = [], set()
    for _ in range(len(wanted) + 12):
        page.keyboard.press("Tab")
        stop, is_marked = page.evaluate(FOCUSED)
        reached.add(stop)
        if not is_marked and stop in wanted:
            faults.append(f"{stop} has focus and does not show it")
        if wanted <= reached:
            break
    return [*faults, *(wanted - reached)]


def test_the_line_is_told_to_a_screen_reader(browser: Browser, line: WholeSite) -> None:
    ahead = HttpShopper(line.url)
    ahead.join()
    with visiting(browser, PHONE) as visitor:
        visitor.page.goto(f"{line.url}/drop/")

        expect(visitor.page.get_by_role("status")).to_have_text("Your place in line: 2")
    ahead.close()
