// Clocks run down from what the server said was left, from the moment its answer began: this device's own clock does not matter.
function countDown(left_ms, tick, over) {
  const [came] = performance.getEntriesByType("navigation");
  let until_ms = (came ? came.responseStart : performance.now()) + left_ms, done = false;
  (function count() {
    const left = Math.max(0, until_ms - performance.now());
    tick(left);
    if (left) setTimeout(count, 250);
    else if (!done) {
      done = true;
      over();
    }
  })();
  return left => { until_ms = performance.now() + left };
}

function clockText(ms) {
  const s = Math.ceil(ms / 1000), two = n => String(n).padStart(2, "0");
  return s < 3600 ? Math.floor(s / 60) + ":" + two(s % 60) : Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
}

const held = document.querySelector("[data-left-ms]");
if (held) {
  const clock = held.querySelector("[data-clock]"), bar = held.querySelector("progress");
  const set = countDown(Number(held.dataset.leftMs), left => {
    const text = clockText(left), s = Math.ceil(left / 1000);
    if (clock.textContent !== text) clock.textContent = text;
    bar.value = left;
    held.classList.toggle("short", s <= 60);
    if (s === 60 || s === 20) say(s + " seconds left");
  }, () => {
    say("Time is up");
    setTimeout(() => location.reload(), 300);
  });
  // A device that slept comes back with a clock that stood still.
  document.addEventListener("visibilitychange", async () => {
    if (document.hidden) return;
    const address = page.reservation ? "/checkout/reservations/" + page.reservation : "/sales/" + shop + "/waitlist";
    const { data, server_ms } = await read(address).catch(() => ({}));
    const until = data && (data.offer || data).expires_at;
    if (until && server_ms) set(Math.max(0, Date.parse(until) - server_ms));
  });
}

const opening = document.querySelector("[data-opens-in-ms]");
if (opening) {
  const clock = opening.querySelector("[data-clock]");
  countDown(Number(opening.dataset.opensInMs), left => { clock.textContent = clockText(left) }, () => {
    say("The sale opens now");
    setTimeout(() => location.reload(), 200 + 800 * Math.random());
  });
}
