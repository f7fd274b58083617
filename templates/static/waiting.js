// The waiting page: ask the pulse, hold a place, come in when called. Everything personal comes by fetch.
(function () {
  "use strict";
  const body = document.body, room = body.dataset.room, base = "/.waitroom/" + encodeURIComponent(room);
  const $ = id => document.getElementById(id);
  const tab = Math.random().toString(36).slice(2);
  const memory = {}, samples = [];
  const solver = makeSolver();
  const POLL = { floor_ms: 1000, ceiling_ms: 20000, divisor: 10 };
  const me = {
    asked: false, present_ms: Infinity, join_ms: 0, claim_ms: 0, retry_ms: Infinity,
    ticket: null, mark: null, called: false, turn: null, stop: null, detail: "",
    joining: null, work: null, elsewhere: false, tries: 0, why: "", why_ms: 0, said: 0,
  };
  let pulse = null, skew_ms = 0, failures = 0, wake = () => {}, waking, audio = null;

  document.documentElement.classList.add("js");

  // ---- Small parts

  const jitter = (ms, share) => ms * (1 - share + 2 * share * Math.random());
  const pause = ms => new Promise(done => setTimeout(done, ms));
  const now = () => Date.now() + skew_ms;

  function nap(ms) {
    return new Promise(done => {
      clearTimeout(waking);
      wake = done;
      if (ms < Infinity) waking = setTimeout(done, ms);
    });
  }

  const store = {
    get(name) {
      try { return JSON.parse(localStorage.getItem("wr:" + room + ":" + name)); } catch (_) { return memory[name] || null; }
    },
    set(name, value) {
      memory[name] = value;
      try {
        if (value === null) localStorage.removeItem("wr:" + room + ":" + name);
        else localStorage.setItem("wr:" + room + ":" + name, JSON.stringify(value));
      } catch (_) { /* private mode: the memory has it */ }
    },
  };

  // ---- HTTP. Whatever is not an answer of ours is "away": the page says so calmly and tries again later.

  class Away extends Error {
    constructor(retry_ms) {
      super("away");
      this.retry_ms = retry_ms;
    }
  }

  function retryMs(answer) {
    const given = answer.headers.get("Retry-After");
    if (!given) return 0;
    return Math.max(0, /^\d+$/.test(given) ? given * 1000 : Date.parse(given) - Date.now() || 0);
  }

  async function call(method, path, sent) {
    const stop = new AbortController(), timer = setTimeout(() => stop.abort(), 12000);
    const asked = { method: method, signal: stop.signal, credentials: "same-origin", headers: { Accept: "application/json" } };
    if (sent) {
      asked.headers["Content-Type"] = "application/json";
      asked.body = JSON.stringify(sent);
    }
    try {
      const answer = await fetch(base + path, asked), status = answer.status;
      if (status === 429 || status >= 500) throw new Away(retryMs(answer));
      return { status: status, data: status === 204 ? {} : await answer.json(), retry_ms: retryMs(answer) };
    } catch (fault) {
      throw fault instanceof Away ? fault : new Away(0);
    } finally {
      clearTimeout(timer);
    }
  }

  function backoff(retry_ms, times) {
    return Math.max(retry_ms * (1 + .25 * Math.random()), jitter(Math.min(30000, 1000 * Math.pow(2, times - 1)), .5));
  }

  // ---- The pulse, the same for everybody

  async function readPulse() {
    const { status, data } = await call("GET", "/pulse");
    if (status !== 200 || !data.lanes) throw new Away(0);
    const old = pulse, at = old && place();
    // A cached pulse is late, never early: the greatest difference is the truest.
    if (samples.push(data.server_ms - Date.now()) > 8) samples.shift();
    skew_ms = Math.max(...samples);
    pulse = data;
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

  // Everybody learns of the opening in the same second: spread what they ask next over time.
  function presentSoon(before) {
    const crowd = Math.max(lane().waiting || 0, before || 0);
    me.present_ms = Math.min(me.present_ms, Date.now() + Math.random() * Math.min(30000, Math.max(2000, crowd / 5)));
  }

  function forget() {
    me.ticket = me.mark = null;
    me.called = me.asked = false;
    me.why = "";
  }

  const everybody = told => Object.values(told.lanes).reduce((sum, each) => sum + (each.waiting || 0), 0);
  const lane = () => pulse && pulse.lanes[me.ticket && me.ticket.lane || "main"] || { serving: null, called: 0, waiting: 0 };
  const poll = () => Object.assign({}, POLL, pulse && pulse.poll);

  // ---- My place: what the server said, moved on by what the pulse says since

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
    if (at === null || !rate || isDown() || pulse.phase !== "open" && pulse.phase !== "idle") return null;
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
    const held = store.get("ticket"), before = me.mark && place();
    const id = data.ticket_id || (held && held.event === pulse.event ? held.id : null);
    me.ticket = { lane: data.lane || "main", score: data.score === undefined ? null : data.score, ticket_id: id };
    me.called = data.state === "called";
    me.tries = 0;
    me.stop = null;
    if (typeof data.place === "number") {
      if (before && data.place > before) because(movedBackText(data.place - before));
      const known = held && held.id === id && held.event === pulse.event && held.first;
      me.mark = { place: data.place, called: lane().called, wait: data.wait_s, rate: pulse.rate_per_minute, first: Math.max(data.place, known || 0) };
    }
    store.set("ticket", { event: pulse.event, id: id, first: me.mark && me.mark.first });
  }

  async function present() {
    const { status, data } = await call("GET", "/queue/status");
    if (status === 200) return take(data);
    me.asked = true;
    me.present_ms = Infinity;
    if (status === 410) return halt("lapsed");
    me.ticket = me.mark = null;
  }

  // ---- Joining: one tab solves, the others look on

  const channel = window.BroadcastChannel ? new BroadcastChannel(base) : null;

  function tell(note) {
    if (channel) channel.postMessage(note);
  }

  if (channel) channel.onmessage = ({ data }) => {
    if (data.work) {
      if (me.elsewhere) me.work = data.work;
      paint();
      return;
    }
    if (me.turn === "in") return;
    if (data.is === "left") halt("left");
    else {
      me.stop = null;
      me.asked = me.elsewhere = false;
    }
    wake();
  };

  async function alone(job) {
    if (navigator.locks) {
      return navigator.locks.request(base, { ifAvailable: true }, async lock => {
        if (!lock) return false;
        await job();
        return true;
      });
    }
    // Without Web Locks (plain http): a lease in the storage that the tabs share, renewed while it is used.
    const others = () => {
      const held = store.get("lease");
      return held && held.tab !== tab && held.until_ms > Date.now();
    };
    const renew = () => store.set("lease", { tab: tab, until_ms: Date.now() + 3000 });
    if (others()) return false;
    renew();
    await pause(50 + 50 * Math.random());
    if (others()) return false;
    const timer = setInterval(renew, 1000);
    try {
      await job();
      return true;
    } finally {
      clearInterval(timer);
      store.set("lease", null);
    }
  }

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
    if (me.elsewhere) {
      me.elsewhere = false;
      await present();
      if (me.ticket || me.stop || me.turn) return;
    }
    let posed = store.get("work");
    if (!posed || posed.event !== pulse.event || posed.expires_ms < now() + 3000) {
      const { status, data } = await call("POST", "/challenge");
      if (!data.challenge) return refuse(status, data);
      posed = { event: pulse.event, challenge: data.challenge, expires_ms: data.expires_ms, nonces: [] };
      store.set("work", posed);
    }
    const solution = await solve(posed);
    // Where this call fails the solved challenge stays, and is sent again.
    const { status, data } = solution ? await call("POST", "/queue/register", { challenge: posed.challenge, solution: solution }) : { status: 0, data: {} };
    store.set("work", null);
    me.work = null;
    offerSlow(0);
    if (status !== 200 && status !== 201) return refuse(status, data);
    if (!navigator.cookieEnabled) return halt("cookies");
    take(data);
    tell({ is: "joined" });
    // The answer has no wait: ask for it a little later, all at different times.
    if (pulse.phase !== "prequeue" && !data.wait_s) me.present_ms = Date.now() + 500 + 2000 * Math.random();
  }

  function refuse(status, data) {
    const tooLate = !status || /challenge|solution|expired/.test(data.type || "");
    me.join_ms = Date.now() + backoff(0, ++me.tries);
    if (tooLate && me.tries < 4) return;
    me.tries = 0;
    halt("refused", tooLate ? "" : data.detail);
    me.retry_ms = Date.now() + jitter(45000, .3);
  }

  // Resolves with the solution, or with null when it would come too late.
  function solve(posed) {
    return new Promise(done => {
      const state = solver.start(posed.challenge, posed.nonces), began = Date.now(), first = posed.nonces.length;
      let worker = null, silent;
      const found = (nonces, hashes) => {
        clearTimeout(silent);
        posed.nonces = nonces;
        me.work = { done: nonces.length, steps: state.steps };
        tell({ work: me.work });
        if (nonces.length > first) store.set("work", posed);
        const spent = Date.now() - began;
        if (hashes && spent > 1500) offerSlow((state.steps - nonces.length) * Math.pow(2, state.bits) / hashes * spent / 1000);
        paint();
        const over = nonces.length >= state.steps;
        if (over || now() > posed.expires_ms) {
          if (worker) worker.terminate();
          done(over ? solver.solution({ nonces: nonces }) : null);
          return true;
        }
      };
      const onMain = () => {
        if (!silent) return;
        silent = null;
        if (worker) worker.terminate();
        const own = solver.start(posed.challenge, posed.nonces);
        let hashes = 0, known = -1;
        (function slice() {
          const until = performance.now() + 12;
          while (performance.now() < until && !solver.work(own, 1024)) hashes += 1024;
          if (own.nonces.length !== known || now() > posed.expires_ms) {
            known = own.nonces.length;
            if (found(own.nonces, hashes)) return;
          }
          setTimeout(slice, 4);
        })();
      };
      found(posed.nonces, 0);
      if (posed.nonces.length >= state.steps) return;
      // A worker that is forbidden says so with an error, or says nothing at all.
      silent = setTimeout(onMain, 4000);
      try {
        const source = "(" + workerBody + ")((" + makeSolver + ")())";
        worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
        worker.onerror = onMain;
        worker.onmessage = ({ data }) => found(data.nonces, data.hashes);
        worker.postMessage({ challenge: posed.challenge, nonces: posed.nonces });
      } catch (_) {
        onMain();
      }
    });
  }

  function offerSlow(left_s) {
    if (left_s && left_s < 20) return;
    $("slow").classList.toggle("offered", left_s > 0);
    $("slow-text").textContent = "This device needs a while for the check: " + waitText(left_s, left_s * 1.2).toLowerCase() + ". Let it go on, or join without it and stand a little later in line.";
  }

  // ---- My turn

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
    if (status === 410) return halt("lapsed");
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

  // ---- The loop

  function nextPoll_ms() {
    const { floor_ms, ceiling_ms, divisor } = poll(), at = Date.now();
    if (me.turn === "in" || me.stop && me.retry_ms === Infinity) return Infinity;
    const before = pulse.phase === "prequeue" && pulse.starts_ms ? pulse.starts_ms - now() : null, expected = wait();
    let next = before > 0 ? before / divisor : me.ticket && expected ? expected.likely * 1000 / divisor : ceiling_ms;
    if (before !== null && before <= 0 || me.turn) next = floor_ms;
    if (pulse.phase === "ended" || me.stop) next = 3 * ceiling_ms;
    next = Math.max(floor_ms, jitter(Math.min(next, me.stop || pulse.phase === "ended" ? next : ceiling_ms), .15));
    if (document.hidden) next = Math.max(next, jitter(ceiling_ms, .15));
    if (before > 0) next = Math.min(next, before + 2000 * Math.random());
    const due = [me.present_ms, me.turn ? me.claim_ms : Infinity, me.stop ? me.retry_ms : me.ticket || me.joining ? Infinity : Math.max(at + 1, me.join_ms)];
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

  // ---- What is seen and heard

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
      phase: phase, turn: me.turn, stop: me.stop, detail: me.detail, ticket: me.ticket, place: at, draw: draw, clock: before_ms > 0,
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
    show("why", quiet ? null : failures > 1 ? "We cannot reach the waiting room at the moment. " + (me.ticket ? "Your place is kept, and this page" : "This page") + " keeps trying." : pulse && isDown() ? downText() : Date.now() < me.why_ms ? me.why : null);
    show("message-text", pulse && pulse.message || "");
    show("message", !!(pulse && pulse.message));
    show("live", failures ? "Reconnecting…" : pulse ? "Live" : "Connecting…");
    $("live").classList.toggle("away", failures > 0);
    show("tools", !quiet);
    show("leave", !!me.ticket);
    show("note", me.turn ? "Your place inside is kept for a few minutes." : quiet ? "You can close this page." : "Keep this page open. A reload does not cost you your place.");
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
    show("wait", phase === "paused" ? "Paused" : left ? waitText(left.low, left.high) : "Not known yet");
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

  function paintTitle(at, before_ms) {
    const name = body.dataset.title, called = !!me.turn;
    const prefix = called ? "● Your turn" : me.stop ? "Waiting room" : before_ms > 0 ? clockParts(before_ms).map(p => p[0]).join(":") : at ? count(at) + " in line" : "Waiting room";
    if (document.title !== prefix + " – " + name) document.title = prefix + " – " + name;
    if (called === ($("icon").dataset.called === "1")) return;
    $("icon").dataset.called = called ? "1" : "";
    const shape = called ? "r='15' fill='%23" + body.dataset.accent + "'/%3E%3Ccircle cx='16' cy='16' r='5' fill='white'" : "r='11' fill='none' stroke='%23" + body.dataset.accent + "' stroke-width='6'";
    $("icon").href = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Ccircle cx='16' cy='16' " + shape + "/%3E%3C/svg%3E";
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

  // ---- What a visitor may press

  $("sound").onclick = () => {
    const Audio = window.AudioContext || window.webkitAudioContext;
    if (audio) audio.close();
    audio = audio || !Audio ? null : new Audio();
    $("sound").setAttribute("aria-pressed", String(!!audio));
    $("sound").textContent = audio ? "Sound is on. Turn it off" : "Play a sound when it is my turn";
    chime();
  };

  $("leave").onclick = async () => {
    const button = $("leave"), reset = () => {
      button.textContent = "Leave the line";
      button.classList.remove("sure");
    };
    if (!button.classList.contains("sure")) {
      button.classList.add("sure");
      button.textContent = "Really leave? Press again";
      setTimeout(reset, 5000);
      return;
    }
    reset();
    try {
      await call("POST", "/queue/leave");
      tell({ is: "left" });
      halt("left");
    } catch (_) {
      failures++;
      paint();
    }
  };

  $("go").onclick = () => {
    if (me.turn === "in") return enter();
    if (me.stop === "cookies") return location.reload();
    me.stop = null;
    me.retry_ms = Infinity;
    me.asked = true;
    me.join_ms = me.tries = 0;
    wake();
  };

  $("return-to").value = location.pathname === base + "/wait" ? new URLSearchParams(location.search).get("return_to") || "" : location.pathname + location.search;

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (me.turn === "in") enter();
    else setTimeout(() => wake(), 300 * Math.random());
  });
  window.addEventListener("online", () => setTimeout(() => wake(), 1000 * Math.random()));
  window.addEventListener("pageshow", event => {
    if (!event.persisted) return;
    me.asked = false;
    if (me.turn === "in") me.turn = null;
    wake();
  });
  setInterval(() => {
    if (pulse && pulse.phase === "prequeue" && !me.stop) paint();
  }, 250);

  paint();
  run();
})();
