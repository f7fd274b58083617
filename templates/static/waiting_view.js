// What is seen and heard while somebody waits.
function show(id, text) {
  const at = $(id);
  if (at.hidden !== !text) at.hidden = !text;
  if (text && text !== true && at.textContent !== text) at.textContent = text;
}

function bar(id, part) {
  const at = $(id);
  show(id, part !== null);
  if (part !== null) at.querySelector("i").style.setProperty("--part", Math.min(1, Math.max(0, part)));
}

function paint() {
  const phase = pulse && pulse.phase, at = pulse && !me.stop && me.ticket ? place() : null;
  const before_ms = phase === "prequeue" && pulse.starts_ms ? pulse.starts_ms - now() : 0;
  const quiet = !!(me.stop || me.turn || phase === "ended");
  const draw = !!me.ticket && score() === null && at === null;
  const [view, eyebrow, headline, lead, button] = describe({
    phase: phase, turn: me.turn, stop: me.stop, detail: me.detail, again_ms: me.retry_ms - Date.now(), ticket: me.ticket, place: at, draw: draw, clock: before_ms > 0, stock: pulse && pulse.stock, closed: pulse && pulse.is_closed,
  });
  const news = body.dataset.view !== view;
  body.dataset.view = view;
  [["eyebrow", eyebrow], ["headline", headline], ["lead", lead], ["go", button]].forEach(([id, text]) => show(id, text));
  show("actions", !!button);
  const inLine = !quiet && at !== null && phase !== "prequeue" && phase !== "sold_out";
  body.classList.toggle("numbered", inLine || !quiet && before_ms > 0);
  show("place", inLine ? (me.mark ? "" : "~") + count(at) : null);
  $("place").classList.toggle("long", at >= 1000000);
  const clock = !quiet && before_ms > 0;
  show("clock", clock);
  if (clock) paintClock(before_ms);
  show("at", clock ? openingText(pulse.starts_ms, now()) : null);
  paintWork(quiet);
  bar("way", inLine && me.mark && me.mark.first > 1 ? 1 - (at - 1) / me.mark.first : null);
  paintFacts(at, quiet, phase);
  show("why", quiet ? null : failures > 1 ? "We cannot reach the waiting room at the moment. " + (me.ticket ? "Your place is kept, and this page" : "This page") + " keeps trying." : me.open_ms < Infinity ? openToAllText() : pulse && isDown() ? downText() : Date.now() < me.why_ms ? me.why : null);
  show("message-text", pulse && pulse.message || "");
  show("message", !!(pulse && pulse.message));
  show("live", failures ? "Reconnecting…" : pulse ? "Live" : "Connecting…");
  $("live").classList.toggle("away", failures > 0);
  show("tools", !quiet);
  show("leave", !!me.ticket);
  show("note", me.turn ? "Your place inside is kept for a few minutes." : me.stop && me.retry_ms < Infinity ? "Keep this page open." : quiet ? "You can close this page." : "Keep this page open." + (me.ticket ? " A reload does not cost you your place." : ""));
  paintOrder(draw);
  paintTitle(at, before_ms);
  speak(news, headline, at);
}

function paintClock(ms) {
  const parts = clockParts(ms), text = parts.map(p => p.join()).join();
  if ($("clock").dataset.text === text) return;
  $("clock").dataset.text = text;
  $("clock").replaceChildren(...parts.map(([number, unit]) => make("span", make("b", number), unit)));
}

function make(name, ...inside) {
  const made = document.createElement(name);
  made.append(...inside);
  return made;
}

function paintWork(quiet) {
  const work = !quiet && !me.ticket && takesPeople() && me.work;
  bar("work", work ? work.done / work.steps : null);
  if (!work) return;
  const gauge = $("work").querySelector("[role]");
  gauge.setAttribute("aria-valuemax", work.steps);
  gauge.setAttribute("aria-valuenow", work.done);
  show("work-label", me.elsewhere ? "Reserving your place in another tab" : "Reserving your place");
  show("work-part", work.done + " of " + work.steps);
}

function paintFacts(at, quiet, phase) {
  const left = pulse && me.ticket ? wait() : null;
  if (quiet || !me.ticket || phase === "sold_out") return show("facts", null);
  show("facts", true);
  const here = everybody(pulse);
  show("ahead-label", at === null ? "People here" : "Ahead of you");
  $("own").parentNode.hidden = at === null || phase !== "prequeue";
  show("own", count(at || 0));
  show("ahead", count(at === null ? Math.max(1, here) : at - 1));
  $("wait").parentNode.hidden = phase === "prequeue";
  show("wait", pulse.is_closed ? "Closed" : phase === "paused" ? "Paused" : me.open_ms < Infinity ? waitText(0, 30) : left ? waitText(left.low, left.high) : "Not known yet");
}

function paintOrder(draw) {
  show("order", !!me.ticket);
  if (!me.ticket) return;
  const s = score(), drawn = draw || s !== null && s >= 0 && s < 1;
  show("order-text", orderText(drawn));
  show("check", drawn);
  const rows = [["Your ticket", me.ticket.ticket_id]];
  if (drawn) rows.push(["Fingerprint", pulse.commitment], ["Seed", pulse.seed || "revealed at the opening"]);
  if (drawn && pulse.seed && s !== null && me.ticket.ticket_id) rows.push(["Your number", s.toFixed(6)], ["Checked here", checkDraw(s)]);
  const text = rows.join();
  if ($("proof").dataset.text === text) return;
  $("proof").dataset.text = text;
  $("proof").replaceChildren(...rows.filter(row => row[1]).flatMap(row => row.map((text, i) => make(i ? "dd" : "dt", text))));
}

// Worked out here, from what is public: the page takes nobody's word for it, not even the server's.
function checkDraw(s) {
  return solver.fingerprint(pulse.seed) === pulse.commitment && solver.score(pulse.seed, me.ticket.ticket_id) === s ? "Seed and number fit what was published." : "This does NOT fit what was published.";
}

const calm = $("icon").href; // a ring; filled when it is my turn
function paintTitle(at, before_ms) {
  const name = body.dataset.title, called = !!me.turn;
  const prefix = called ? "● Your turn" : me.stop ? "Waiting room" : before_ms > 0 ? clockParts(before_ms).map(p => p[0]).join(":") : at ? count(at) + " in line" : "Waiting room";
  if (document.title !== prefix + " – " + name) document.title = prefix + " – " + name;
  if (called !== ($("icon").href !== calm)) $("icon").href = called ? calm.replace(/none' stroke=('[^']+)/, "$1' stroke=$1") : calm;
}

// For screen readers, sparingly: a new state, and each time the place has halved.
function speak(news, headline, at) {
  const halved = at && me.said && at <= me.said / 2;
  if (!news && !halved && !(at && !me.said)) return;
  me.said = at || 0;
  $("heard").textContent = headline + (at ? ": " + count(at) : "");
}

function chime() {
  if (!audio) return;
  [660, 880].forEach((hertz, i) => {
    const tone = audio.createOscillator(), gain = audio.createGain(), at = audio.currentTime + i * .25;
    tone.frequency.value = hertz;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(.25, at + .02);
    gain.gain.exponentialRampToValueAtTime(.001, at + .6);
    tone.connect(gain).connect(audio.destination);
    tone.start(at);
    tone.stop(at + .6);
  });
  if (navigator.vibrate) navigator.vibrate([120, 80, 120]);
}
