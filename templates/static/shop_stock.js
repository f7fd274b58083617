// What is left, as it is. A click on "Reserve mine" shows at once; what the server says afterwards stands.
const items = all("article[data-sku]");

function show(item, state) {
  const box = items.find(one => one.dataset.sku === item.sku);
  if (!box) return;
  const buying = box.querySelector("[data-buying]"), buy = buying.querySelector("button"), waiting = box.querySelector("[data-waiting]");
  const isOpen = state === "ACTIVE" || state === "SOLD_OUT", isGone = item.available === 0;
  box.querySelector("[data-available]").textContent = item.available.toLocaleString("en");
  box.querySelector("meter").value = item.available;
  if ("waited_for" in item) box.querySelector("[data-waited-for]").textContent = item.waited_for ? many(item.waited_for, "unit is", "units are") + " waited for already." : "Nobody waits yet.";
  if (buy.hasAttribute("aria-busy") || waiting.dataset.sent) return;
  const had = box.contains(document.activeElement), wasGone = buy.textContent === "Sold out";
  buy.disabled = isGone || !isOpen;
  buy.textContent = state === "ENDED" ? "The sale is over" : !isOpen ? "Not open yet" : isGone ? "Sold out" : "Reserve mine";
  buying.hidden = isOpen && isGone && "waitlist" in page;
  waiting.hidden = !buying.hidden;
  if (isOpen && isGone !== wasGone) {
    say(isGone ? "Sold out" : "Available again");
    if (!isGone) box.querySelector("[data-told]").hidden = true;
    // who was at the button goes on at the one that took its place
    const next = (isGone ? waiting : buying).querySelector("button");
    if (had && next && document.activeElement === document.body) next.focus();
  }
}

function take(found) {
  if (found.state !== page.state && (page.state === "NOT_STARTED" || found.state === "ENDED")) return location.reload();
  page.state = found.state;
  for (const item of found.skus) show(item, found.state);
}

// Told as it changes; where that is refused, because as many as can be look on already, asked now and then.
if (items.length) {
  const stream = new EventSource("/sales/" + shop + "/events");
  stream.addEventListener("sale", event => take(JSON.parse(event.data)));
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) follow(1500, async () => take((await read("/sales/" + shop)).data));
  });
}
