// Joining: ask for a challenge, send it solved, take the place.
function join() {
  if (me.joining || Date.now() < me.join_ms) return;
  me.joining = alone(register).then(ran => {
    me.elsewhere = !ran;
    if (!ran) me.join_ms = Date.now() + jitter(1000, .2);
  }).catch(fault => {
    failures++;
    me.join_ms = Date.now() + backoff(fault.retry_ms || 0, failures);
  }).then(() => {
    me.joining = null;
    wake();
  });
}

async function register() {
  const held = store.get("ticket");
  if (me.elsewhere || held && held.event === pulse.event) {
    me.elsewhere = false;
    await present();
    if (me.ticket || me.stop || me.turn) return;
  }
  let posed = store.get("work");
  if (!posed || posed.event !== pulse.event || posed.expires_ms < now() + 3000) {
    const { status, data, retry_ms } = await call("POST", "/challenge");
    if (!data.challenge) return refuse(status, data, retry_ms);
    posed = { event: pulse.event, challenge: data.challenge, expires_ms: data.expires_ms, nonces: [] };
    store.set("work", posed);
  }
  const solution = await solve(posed);
  // Where this call fails the solved challenge stays, and is sent again.
  const { status, data, retry_ms } = solution ? await call("POST", "/queue/register", { challenge: posed.challenge, solution: solution }) : { status: 0, data: {}, retry_ms: 0 };
  if (!isRefusal(data)) store.set("work", null);
  me.work = null;
  offerSlow(0);
  if (status !== 200 && status !== 201) return refuse(status, data, retry_ms);
  if (!navigator.cookieEnabled) return halt("cookies");
  take(data);
  tell({ is: "joined" });
  // The answer has no wait: ask for it a little later, all at different times.
  if (pulse.phase !== "prequeue" && !data.wait_s) me.present_ms = Date.now() + 500 + 2000 * Math.random();
}

function refuse(status, data, retry_ms) {
  const tooLate = !status || /challenge|solution|expired/.test(data.type || "");
  me.join_ms = Date.now() + backoff(0, ++me.tries);
  if (tooLate && me.tries < 4) return;
  me.tries = 0;
  halt(/:full/.test(data.type) ? "full" : "refused", tooLate ? "" : data.detail);
  me.retry_ms = Date.now() + (retry_ms * (1 + .25 * Math.random()) || jitter(45000, .3));
}
