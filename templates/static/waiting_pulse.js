// The pulse, the same for everybody: read it, and say what changed since the last one.
async function readPulse() {
  const { status, data } = await call("GET", "/pulse");
  if (status !== 200 || !data.lanes) throw new Away(0);
  const old = pulse, at = old && place();
  // A cached pulse is late, never early: the greatest difference is the truest.
  if (samples.push(data.server_ms - Date.now()) > 8) samples.shift();
  skew_ms = Math.max(...samples);
  pulse = data;
  // Ops let everybody in: no turn is waited for, but not all come in one second.
  if (!pulse.open_until_ms) me.open_ms = Infinity;
  else if (me.open_ms === Infinity) me.open_ms = soon();
  if (old) compare(old, at);
}

function compare(old, at) {
  if (old.event !== pulse.event) return forget();
  if (old.generation !== pulse.generation) {
    if (me.mark) Object.assign(me.mark, { place: at, called: lane().called });
    because("The waiting room has restarted. Your place is kept.");
    presentSoon(everybody(old));
  }
  if (old.spin !== pulse.spin || old.phase === "prequeue" && pulse.phase !== "prequeue") presentSoon();
  if (old.phase === "ended" || old.phase === "idle" && pulse.phase === "prequeue") me.asked = false;
  for (const name of Object.keys(pulse.lanes).filter(each => each !== laneName())) {
    const now = pulse.lanes[name], before = old.lanes[name] || { called: 0, waiting: 0 }; // a lane is told once somebody stands there
    me.others += now.called - before.called + Math.max(0, now.waiting - before.waiting);
  }
  const ratio = pulse.rate_per_minute / old.rate_per_minute;
  if (pulse.health || old.health) { // the rate then changes all the time
    if (ratio < .9) because("The shop is very busy, so people are let in more slowly for a while.");
  } else if (pulse.phase === "open" && old.phase === "open" && ratio !== 1) {
    because("The shop is letting people in more " + (pulse.rate_per_minute < old.rate_per_minute ? "slowly" : "quickly") + " now, so the expected wait has changed.");
  }
}

function isDown() {
  return pulse.health && pulse.health.circuit !== "closed";
}

function because(text) {
  me.why = text;
  me.why_ms = Date.now() + 60000;
}

// Everybody learns of the opening in the same second: spread what they ask next over 2 to 30 seconds, by their number.
// Nobody waits for it whose turn it is: the pulse alone tells that.
function soon(before) {
  const crowd = Math.max(lane().waiting || 0, before || 0);
  return Date.now() + Math.random() * Math.min(30000, Math.max(2000, crowd / 5));
}

function presentSoon(before) {
  me.present_ms = Math.min(me.present_ms, soon(before));
}

function forget() {
  me.ticket = me.mark = null;
  me.called = me.asked = false;
  me.why = "";
}

const everybody = told => Object.values(told.lanes).reduce((sum, each) => sum + (each.waiting || 0), 0);
const laneName = () => me.ticket && me.ticket.lane || "main";
const lane = () => pulse && pulse.lanes[laneName()] || { serving: null, called: 0, waiting: 0 };
