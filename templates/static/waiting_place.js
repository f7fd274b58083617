// My place: what the server said, moved on by what the pulse says since.
function score() {
  const t = me.ticket;
  if (!t) return null;
  if (t.score === null && pulse.seed && t.ticket_id) t.score = solver.score(pulse.seed, t.ticket_id);
  return t.score;
}

const order = s => s >= 0 && s < 1 ? (s - pulse.spin + 1) % 1 : s;

function place() {
  const mark = me.mark, called = lane().called;
  if (mark) return Math.max(1, mark.place - Math.max(0, called - mark.called));
  const s = score();
  if (s === null || s < 0 || s >= 1 || pulse.spin === null) return null;
  return Math.max(1, Math.round(order(s) * (called + lane().waiting)) - called + 1);
}

function wait() {
  const at = place(), rate = pulse.rate_per_minute, mark = me.mark;
  if (at === null || !rate || isDown() || isShort(pulse.stock, at - 1) || pulse.phase !== "open" && pulse.phase !== "idle") return null;
  if (mark && mark.wait) {
    const factor = at / mark.place * (mark.rate / rate || 1);
    return { low: mark.wait.low * factor, likely: mark.wait.likely * factor, high: mark.wait.high * factor };
  }
  const likely = at / rate * 60;
  return { low: likely * .75, likely: likely, high: likely * 1.5 };
}

function take(data) {
  me.asked = true;
  me.present_ms = Infinity;
  me.retry_ms = Infinity;
  if (data.state === "admitted") return arrive(data);
  if (data.state === "lapsed") return halt("lapsed");
  const held = store.get("ticket"), before = me.mark && place(), left = before && wait();
  const id = data.ticket_id || (held && held.event === pulse.event ? held.id : null);
  me.ticket = { lane: data.lane || "main", score: data.score === undefined ? null : data.score, ticket_id: id };
  me.called = data.state === "called";
  me.tries = 0;
  me.stop = null;
  if (typeof data.place === "number") {
    if (before && data.place > before) because(movedBackText(data.place - before));
    else if (left && left.likely > 30 && data.wait_s && data.wait_s.likely > left.likely * 1.2) because(longerText(me.others > 0));
    me.others = 0;
    const known = held && held.id === id && held.event === pulse.event && held.first;
    me.mark = { place: data.place, called: lane().called, wait: data.wait_s, rate: pulse.rate_per_minute, first: Math.max(data.place, known || 0) };
  }
  store.set("ticket", { event: pulse.event, id: id, first: me.mark && me.mark.first });
}

async function present() {
  const held = store.get("ticket");
  const { status, data } = await call("GET", "/queue/status");
  const lapsed = status === 410 || data.state === "lapsed";
  me.asked = true;
  me.present_ms = Infinity;
  if (lapsed && !me.again) return halt("lapsed");
  me.again = false;
  if (status === 200 && !lapsed) return take(data);
  me.ticket = me.mark = null;
  if (held && (store.get("ticket") || held).id === held.id) store.set("ticket", null); // not what another tab got meanwhile
}
