// The waiting page: ask the pulse, hold a place, come in when called. Everything personal comes by fetch.
function nextPoll_ms() {
  const { floor_ms, ceiling_ms, divisor } = pulse.poll, at = Date.now();
  if (me.turn === "in" || me.stop && me.retry_ms === Infinity) return Infinity;
  const before = pulse.phase === "prequeue" && pulse.starts_ms ? pulse.starts_ms - now() : null, expected = wait();
  let next = before > 0 ? before / divisor : me.ticket && expected ? expected.likely * 1000 / divisor : ceiling_ms;
  if (before !== null && before <= 0 || me.turn) next = floor_ms;
  if (pulse.phase === "ended" || me.stop) next = 3 * ceiling_ms;
  next = Math.max(floor_ms, jitter(Math.min(next, me.stop || pulse.phase === "ended" ? next : ceiling_ms), .15));
  if (document.hidden) next = Math.max(next, jitter(ceiling_ms, .15));
  if (before > 0) next = Math.min(next, before + 2000 * Math.random());
  const due = [me.present_ms, me.open_ms, me.turn ? me.claim_ms : Infinity, me.stop ? me.retry_ms : me.ticket || me.joining ? Infinity : Math.max(at + 1, me.join_ms)];
  return Math.max(50, Math.min(next, takesPeople() || me.ticket || me.stop ? Math.min(...due) - at : Infinity));
}

const takesPeople = () => pulse && !/ended|sold_out/.test(pulse.phase);

// Ask again how things stand each time the wait has halved: few calls, and exact where it matters.
function askNow() {
  const left = wait(), then = me.mark && me.mark.wait;
  return !me.asked || Date.now() >= me.present_ms
    || me.ticket && me.present_ms === Infinity && left && then && then.likely > 10 && left.likely < then.likely / 2;
}

async function beat() {
  if (me.stop && Date.now() >= me.retry_ms) {
    me.stop = null;
    me.retry_ms = Infinity;
  }
  await readPulse();
  if (me.stop || me.turn === "in") return;
  if (Date.now() >= me.open_ms) return arrive({});
  if (me.ticket && !me.turn && myTurn() && Date.now() >= me.claim_ms) return claim();
  if (askNow()) await present();
  if (me.stop || me.turn === "in") return;
  if (me.ticket) {
    if (myTurn()) return Date.now() >= me.claim_ms ? claim() : undefined;
    if (me.turn) me.turn = null;
  } else if (takesPeople() && navigator.cookieEnabled) join();
  else if (takesPeople()) halt("cookies");
}

async function run() {
  for (;;) {
    let next_ms;
    try {
      await beat();
      if (!me.joining) failures = 0;
      next_ms = nextPoll_ms();
    } catch (fault) {
      failures++;
      next_ms = backoff(fault.retry_ms || 0, failures);
    }
    paint();
    await nap(next_ms);
  }
}

paint();
run();
