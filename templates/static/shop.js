// The shop sells without this script too. With it, stock and clocks are live, and a second click does nothing.
const page = document.body.dataset, shop = page.sale, reading = { headers: { Accept: "application/json" }, cache: "no-cache" };
const all = (wanted, within = document) => [...within.querySelectorAll(wanted)];
const pause = ms => new Promise(done => setTimeout(done, ms));
const heard = document.querySelector("[data-heard]");

// Said to screen readers, once.
function say(text) {
  if (heard && heard.textContent !== text) heard.textContent = text;
}

function many(n, one, more) {
  return n.toLocaleString("en") + " " + (n === 1 ? one : more);
}

async function read(address) {
  const answer = await fetch(address, reading);
  if (!answer.ok) throw new Error(answer.status);
  return { data: await answer.json(), server_ms: Date.parse(answer.headers.get("Date")) };
}

// Ask again and again, a little apart from others; rarely while nobody looks, later where it does not work.
async function follow(every_ms, look) {
  for (let wait_ms = every_ms; ; ) {
    await pause(wait_ms * (1 + .4 * Math.random()));
    if (document.hidden && wait_ms < every_ms * 4) {
      wait_ms *= 2;
      continue;
    }
    wait_ms = await look().then(() => every_ms, () => Math.min(every_ms * 10, wait_ms * 2));
  }
}

for (const form of all("form[data-once]")) {
  form.addEventListener("submit", event => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    const button = form.querySelector("button");
    if (button) button.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", event => { if (event.persisted) location.reload() });

for (const time of all("time")) {
  const at = new Date(time.dateTime);
  if (!isNaN(at)) time.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
}
