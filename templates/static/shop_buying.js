// Reserve without leaving the page: the answer, if it is no, stands where the click was.
async function reserve(form, tries = 0) {
  const { sku, key } = Object.fromEntries(new FormData(form));
  const answer = await fetch("/checkout/reserve", {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/json", "Idempotency-Key": key },
    body: JSON.stringify({ sale: shop, lines: [{ sku, qty: 1 }] }),
  }).catch(() => null);
  const data = answer ? await answer.json() : {};
  if (answer && answer.status === 201) return location.assign("/" + shop + "/checkout/" + data.reservation_id);
  if ((!answer || /(store-unavailable|upstream-(unavailable|timeout))$/.test(data.type)) && tries < 5) {
    await pause(1000 * (answer && Number(answer.headers.get("Retry-After")) || 1) * (1 + Math.random() / 2));
    return reserve(form, tries + 1);  // the same key: it is the same order
  }
  if (!/sold-out$/.test(data.type)) return submit(form);
  const box = form.closest("article"), told = box.querySelector("[data-told]"), button = form.querySelector("button");
  button.removeAttribute("aria-busy");
  delete form.dataset.sent;
  told.textContent = "Somebody was faster: the last one went a moment ago. Nothing was charged.";
  told.hidden = false;
  say(told.textContent);
  const { data: found } = await read("/sales/" + shop).catch(() => ({ data: { state: page.state, skus: [{ sku }] } }));
  for (const item of found.skus) show(item.sku === sku ? { ...item, available: 0 } : item, found.state);
  const next = box.querySelector("form:not([hidden]) button:enabled");
  if (next) next.focus();
}

// Every other answer has a page of its own.
function submit(form) {
  HTMLFormElement.prototype.submit.call(form);
}

for (const form of all("form[data-buying]")) {
  form.addEventListener("submit", event => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    const box = form.closest("article"), left = box.querySelector("[data-available]"), meter = box.querySelector("meter");
    form.querySelector("button").textContent = "Setting yours aside…";
    say("Setting yours aside");
    meter.value -= 1;
    left.textContent = meter.value.toLocaleString("en");
    reserve(form).catch(() => submit(form));
  });
}
