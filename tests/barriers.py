"""What keeps somebody from using a page: names, headings, language, contrast, and the keyboard alone."""

from playwright.sync_api import Page

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


def barriers(page: Page) -> list[str]:
    """Return what is in somebody's way; nothing where everybody can use the page."""
    faults = []
    if page.locator("html").get_attribute("lang") != "en" or not page.title():
        faults.append("no language or no title")
    for role, count in (("main", page.get_by_role("main")), ("h1", page.get_by_role("heading", level=1))):
        if count.count() != 1:
            faults.append(f"{count.count()} {role}")
    return [*faults, *nameless(page), *page.evaluate(CONTRAST), *unreachable(page)]


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
