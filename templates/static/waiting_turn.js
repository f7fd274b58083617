// My turn: called, let in, or stopped on the way.
function myTurn() {
  if (!/open|idle|paused/.test(pulse.phase)) return false;
  const mine = score(), serving = lane().serving;
  return me.called || mine !== null && typeof serving === "number" && order(mine) <= serving;
}

async function claim() {
  if (!me.turn) {
    me.turn = "claiming";
    chime();
    paint();
  }
  const { status, data, retry_ms } = await call("POST", "/queue/claim", {});
  if (status === 200) return arrive(data);
  if (status === 425) {
    me.turn = "soon";
    me.claim_ms = Date.now() + Math.max(500, retry_ms) * (1 + .2 * Math.random());
    return;
  }
  me.turn = null;
  // Whoever missed their call is called once more, if they ask where they stand.
  if (status === 410) return present();
  forget();
  me.claim_ms = Date.now() + backoff(retry_ms, ++me.tries);
}

function arrive(data) {
  me.turn = "in";
  me.target = data.return_to;
  tell({ is: "in" });
  paint();
  // Somebody who looks elsewhere finds the news in the title, and comes in when they come back.
  if (!document.hidden) setTimeout(enter, audio ? 900 : 300);
}

function enter() {
  const past = (history.state && history.state.wr || []).filter(ms => Date.now() - ms < 60000);
  if (past.length > 2) {
    me.turn = null;
    return halt("cookies");
  }
  history.replaceState(Object.assign({}, history.state, { wr: past.concat(Date.now()) }), "");
  if (location.pathname !== base + "/wait") return location.reload();
  location.replace(ownPath(new URLSearchParams(location.search).get("return_to")) || ownPath(me.target) || "/");
}

// A path of this site and nothing else: no scheme, no other host.
function ownPath(path) {
  if (!path || !/^\/(?![/\\])/.test(path)) return null;
  const url = new URL(path, location.origin);
  return url.origin === location.origin && url.pathname !== base + "/wait" ? url.href : null;
}

function halt(why, detail) {
  me.stop = why;
  me.detail = detail || "";
  me.ticket = me.mark = null;
  me.called = false;
  me.why = "";
  if (why === "left" || why === "lapsed") store.set("ticket", null);
  paint();
  wake();
}
