// The console: what the stream tells, put where it belongs. Figures are never older than they say they are.
(function () {
  "use strict";
  const $ = function (id) { return document.getElementById(id); };
  const first = JSON.parse($("first").textContent), words = makeWords();
  const integer = words.integer, decimal = words.decimal, compact = words.compact, LIMITS = words.LIMITS;
  // ---- what was heard last
  const state = { rooms: {}, name: "", heard: 0, offset: 0, series: null, revision: null, isOut: false, loading: "", phase: "", acted: 0, isHeld: false };
  const charts = {};
  for (const figure of document.querySelectorAll(".chart")) {
    const series = figure.dataset.series;
    const isFlow = series === "admitted_per_s";
    charts[series] = makeChart(figure, figure.querySelector("h2").textContent, {
      least: isFlow ? 1 : 10,
      text: function (value) { return isFlow ? decimal.format(Math.round(value * 100) / 100) : integer.format(value); },
      axis: function (value) { return value >= 10000 ? compact.format(value) : decimal.format(value); },
    });
  }
  const controls = makeControls(words, send, toast);

  function hear(news) {
    state.heard = Date.now();
    state.rooms = {};
    for (const room of news.rooms) state.rooms[room.room] = room;
    const names = Object.keys(state.rooms);
    if (!state.rooms[state.name]) choose(state.rooms[decodeURIComponent(location.hash.slice(1))] ? decodeURIComponent(location.hash.slice(1)) : names[0] || "");
    showHealth(news);
    showTabs(names);
    $("nothing").hidden = names.length > 0; $("main").hidden = !names.length;
    if (names.length) showRoom(state.rooms[state.name]);
  }

  function choose(name) {
    if (state.name === name) return;
    state.name = name; state.series = null; state.revision = null; state.phase = ""; state.isHeld = false;
  }

  // ---- the head
  function pill(id, look, text) { const made = $(id); made.dataset.state = look; made.hidden = !text; made.querySelector("span").textContent = text; }
  function showHealth(news) {
    const edge = news.edge, redis = news.redis;
    pill("redis", redis.is_up ? "good" : "bad", redis.is_up ? "Redis " + (redis.latency_ms === null ? "" : redis.latency_ms < 10 ? decimal.format(redis.latency_ms) + " ms" : integer.format(redis.latency_ms) + " ms") : "Redis does not answer");
    pill("workers", edge.workers ? "good" : "bad", edge.workers === null || edge.workers === undefined ? "" : words.count(edge.workers, "worker", "workers"));
    pill("letters", "bad", edge.dead_letters ? words.count(edge.dead_letters, "dead letter", "dead letters") : "");
    banner(redis.is_up ? "" : "Redis does not answer since " + new Date(redis.down_since_ms).toLocaleTimeString() + ". These are the last figures known. Waiting pages go on showing, and nobody loses a place.", "bad");
    showEdge(edge);
  }
  function banner(text, look) { if (state.isOut) return; const made = $("banner"); made.dataset.state = look; made.hidden = !text; if (made.textContent !== text) made.textContent = text; }

  function showTabs(names) {
    const nav = $("rooms");
    nav.hidden = names.length < 2;
    if (nav.dataset.names !== names.join()) {
      nav.dataset.names = names.join();
      nav.replaceChildren(...names.map(function (name) {
        const tab = document.createElement("button");
        tab.type = "button"; tab.dataset.room = name; tab.append(name + " ", document.createElement("small"));
        tab.addEventListener("click", function () { choose(name); history.replaceState(null, "", "#" + encodeURIComponent(name)); showTabs(names); showRoom(state.rooms[name]); });
        return tab;
      }));
    }
    for (const tab of nav.children) {
      const room = state.rooms[tab.dataset.room];
      if (tab.dataset.room === state.name) tab.setAttribute("aria-current", "true"); else tab.removeAttribute("aria-current");
      tab.querySelector("small").textContent = ((room.phase === "open" || room.phase === "idle") && !room.is_closed ? "" : words.phase(room).toLowerCase() + ", ") + integer.format(room.waiting) + " waiting";
    }
  }

  // ---- the room
  function showRoom(room) {
    state.offset = room.now_ms - state.heard;
    $("room").textContent = room.room;
    if (state.phase && state.phase !== words.phase(room) && Date.now() - state.acted > 3000) toast(room.room + ": " + words.phase(room));
    state.phase = words.phase(room);
    $("phase").dataset.phase = room.is_closed ? "closed" : room.phase; text("phase", words.phase(room), "span");
    text("event", room.event === "always" ? "" : room.event);
    document.title = integer.format(room.waiting) + " waiting · " + room.room + " · " + words.phase(room).split(" – ")[0];
    room.isHeld = room.phase === "prequeue" && state.isHeld; // paused before the opening: the phase tells it only from then on
    showFigures(room, room.figures);
    text("flow", words.flow(room, room.figures));
    showStates(room); showLanes(room);
    controls.show(room);
    if (!state.series || room.now_ms - state.series.at[state.series.at.length - 1] > 5000) loadSeries(room);
    else follow(room);
    if (edition(room) !== state.revision) loadAudit(room);
    showClock();
  }
  // An outage is written down as a change of ops is, but counts as none.
  function edition(room) { return room.revision + (room.health ? room.health.circuit : ""); }
  function showStates(room) {
    const told = words.states(room), key = JSON.stringify(told);
    if ($("states").dataset.key === key) return;
    $("states").dataset.key = key;
    $("states").replaceChildren(...told.map(function (state) {
      const made = document.createElement("li"), mark = document.createElement("i");
      made.className = "pill"; made.dataset.state = state[0]; made.append(mark, state[1]);
      return made;
    }));
  }
  function showLanes(room) {
    const names = Object.keys(room.lanes);
    $("lanes").hidden = names.length < 2;
    if (names.length < 2) return;
    $("lanes-rows").replaceChildren(...names.map(function (name) {
      const row = document.createElement("tr"), head = document.createElement("th"), lane = room.lanes[name];
      head.scope = "row"; head.textContent = name;
      row.append(head, ...[lane.waiting, lane.called].map(function (value) { const cell = document.createElement("td"); cell.textContent = integer.format(value); return cell; }));
      return row;
    }));
  }
  function text(id, value, inner) { const made = inner ? $(id).querySelector(inner) : $(id); if (made.textContent !== value) made.textContent = value; }

  function showFigures(room, figures) {
    text("waiting", big(room.waiting));
    text("waiting-note", !room.waiting ? "nobody" : room.phase === "paused" ? "keep their places" : room.phase !== "ended" && figures.through_at_rate_s !== null ? "through in " + words.duration(figures.through_at_rate_s) + " at this rate" : "");
    text("outstanding", big(room.outstanding));
    text("outstanding-note", room.lapsed ? words.count(room.lapsed, "call lapsed", "calls lapsed") : "have not come in yet");
    text("sessions", big(room.sessions)); text("cap", "of " + big(room.total_active_users));
    const cap = room.total_active_users, free = cap - room.sessions - room.outstanding, meter = $("meter");
    const inside = share(room.sessions, cap), called = share(room.sessions + room.outstanding, cap);
    meter.firstElementChild.style.width = inside + "%"; meter.lastElementChild.style.left = inside + "%"; meter.lastElementChild.style.width = called - inside + "%";
    meter.dataset.state = room.sessions >= cap ? "full" : "";
    meter.setAttribute("aria-valuemax", cap); meter.setAttribute("aria-valuenow", Math.min(room.sessions, cap)); meter.setAttribute("aria-valuetext", room.sessions + " of " + cap);
    text("sessions-note", room.sessions > cap ? integer.format(room.sessions - cap) + " above the cap, until they leave" : room.sessions === cap ? "full" : room.outstanding && free <= 0 ? integer.format(cap - room.sessions) + " kept for who was called" : integer.format(Math.max(0, free)) + " free");
    text("admitted", big(room.admitted));
    text("admitted-note", integer.format(figures.admitted_last_minute) + " in the last " + (figures.seen_ms < 59000 ? Math.max(1, Math.round(figures.seen_ms / 1000)) + " s" : "minute"));
    text("rate", room.rate_per_minute >= 1e7 ? compact.format(room.rate_per_minute) : words.number(room.rate_per_minute));
    text("rate-note", room.phase === "prequeue" ? "from the opening on" : LIMITS[figures.limit]);
  }
  function big(value) { return value >= 1e7 ? compact.format(value) : integer.format(value); }
  function share(value, of) { return of > 0 ? Math.min(100, value / of * 100) : value > 0 ? 100 : 0; }

  function showClock() {
    const room = state.rooms[state.name];
    if (!room) return;
    const now = Date.now() + state.offset;
    const next = room.phase === "prequeue" ? ["Opens in", room.starts_ms] : room.phase !== "ended" && room.ends_ms && room.ends_ms > now ? ["Ends in", room.ends_ms] : null;
    $("clock").hidden = !next;
    if (!next) return;
    const left = Math.max(0, Math.ceil((next[1] - now) / 1000)), two = function (value) { return String(value).padStart(2, "0"); };
    text("clock-label", next[0]);
    text("clock-time", left >= 172800 ? Math.floor(left / 86400) + " days" : (left >= 3600 ? Math.floor(left / 3600) + ":" + two(Math.floor(left / 60) % 60) : String(Math.floor(left / 60))) + ":" + two(left % 60));
    $("clock").title = new Date(next[1]).toLocaleString();
  }

  // ---- the curves
  async function loadSeries(room) {
    if (state.loading === room.room) return;
    state.loading = room.room;
    try {
      const answer = await ask("/api/rooms/" + encodeURIComponent(room.room));
      if (!answer || state.name !== room.room || !answer.series.at_ms.length) return;
      state.series = { at: answer.series.at_ms, waiting: answer.series.waiting, sessions: answer.series.sessions, admitted_per_s: answer.series.admitted_per_s,
        rate_per_minute: answer.series.rate_per_minute, total_active_users: answer.series.total_active_users, admitted: room.admitted, generation: room.generation };
      drawAll(room);
    } finally { state.loading = ""; }
  }
  function follow(room) {
    const series = state.series, passed = room.now_ms - series.at[series.at.length - 1];
    if (passed >= 700) {
      const isSame = series.generation === room.generation && room.admitted >= series.admitted;
      series.at.push(room.now_ms); series.waiting.push(room.waiting); series.sessions.push(room.sessions);
      series.admitted_per_s.push(isSame ? (room.admitted - series.admitted) * 1000 / passed : 0);
      series.rate_per_minute.push(room.effective_rate_per_minute); series.total_active_users.push(room.total_active_users);
      series.admitted = room.admitted; series.generation = room.generation;
      while (series.at.length > 620) for (const key in series) if (Array.isArray(series[key])) series[key].shift();
    }
    drawAll(room);
  }
  function drawAll(room) {
    if (document.hidden) return;
    const series = state.series;
    charts.admitted_per_s.draw({ at: series.at, values: mean(series.admitted_per_s, 5), limits: series.rate_per_minute.map(function (rate) { return rate / 60; }) }, (room.health ? "slowed to " : "rate ") + words.number(room.health ? Math.round(room.effective_rate_per_minute) : room.rate_per_minute) + "/min");
    charts.waiting.draw({ at: series.at, values: series.waiting }, "");
    charts.sessions.draw({ at: series.at, values: series.sessions, limits: series.total_active_users }, "cap " + integer.format(room.total_active_users));
  }
  // Single seconds jump between 9 and 11; the mean of five shows the flow.
  function mean(values, span) {
    let sum = 0;
    return values.map(function (value, i) { sum += value - (i >= span ? values[i - span] : 0); return Math.max(0, Math.round(sum / Math.min(span, i + 1) * 100) / 100); });
  }

  // ---- workers and shop
  const EDGE = [["requests_per_s", "Requests a second"], ["joins_per_s", "Joins a second"], ["claims_per_s", "Claims a second"], ["challenges_refused_per_s", "Solutions refused a second"],
    ["upstream_answers_per_s", "Answers of the shop a second"], ["upstream_p95_ms", "95 % of them within"], ["upstream_failures_per_s", "Failures of the shop a second"], ["redis_failures_per_s", "Redis failures a second"]];
  function showEdge(edge) {
    const known = EDGE.filter(function (row) { return edge[row[0]] !== undefined; });
    $("edge").hidden = !known.length || !edge.workers;
    const list = $("edge-figures");
    if (list.children.length !== known.length) list.replaceChildren(...known.map(function (row) {
      const made = document.createElement("div"), name = document.createElement("dt"), value = document.createElement("dd");
      name.textContent = row[1]; made.append(name, value);
      return made;
    }));
    known.forEach(function (row, i) {
      const value = edge[row[0]], shown = list.children[i].lastElementChild;
      shown.textContent = value === null ? "–" : row[0].endsWith("_ms") ? integer.format(value) + " ms" : value >= 100 ? integer.format(value) : decimal.format(value);
      shown.dataset.state = row[0].includes("failures") && value > 0 ? "bad" : "";
    });
  }

  // ---- the audit
  async function loadAudit(room) {
    state.revision = edition(room);
    const answer = await ask("/api/rooms/" + encodeURIComponent(room.room) + "/audit?count=30");
    if (!answer || state.name !== room.room) return;
    const turned = answer.entries.find(function (entry) { return ["pause", "resume"].includes(entry.what); });
    state.isHeld = Boolean(turned) && turned.what === "pause";
    $("audit-none").hidden = answer.entries.length > 0;
    $("audit").replaceChildren(...answer.entries.map(function (entry) {
      const row = document.createElement("li"), when = document.createElement("time"), told = document.createElement("div"), what = document.createElement("b"), who = document.createElement("span");
      const at = new Date(entry.at_ms);
      when.dateTime = at.toISOString(); when.textContent = at.toDateString() === new Date().toDateString() ? at.toLocaleTimeString() : at.toLocaleString();
      what.textContent = words.changed(entry); who.className = "soft"; who.textContent = " by " + entry.who;
      told.append(what, who);
      if (entry.why) { const why = document.createElement("q"); why.textContent = entry.why; told.append(document.createElement("br"), why); }
      row.append(when, told);
      return row;
    }));
  }
  // ---- to and from the server
  async function ask(url) {
    try {
      const answer = await fetch(url, { headers: { "X-Waitroom-Console": "1" } });
      if (answer.status === 401) { signedOut(); return null; }
      return answer.ok ? await answer.json() : null;
    } catch (fault) { return null; }
  }
  async function send(room, what, body) {
    state.acted = Date.now(); // the stream may tell of it before the answer does
    try {
      const answer = await fetch("/api/rooms/" + encodeURIComponent(room) + "/" + what, { method: "POST", headers: { "Content-Type": "application/json", "X-Waitroom-Console": "1" }, body: JSON.stringify(body) });
      if (answer.status === 401) { signedOut(); return { detail: "You are signed out. Sign in again; nothing was changed." }; }
      const told = await answer.json();
      if (!answer.ok) return { detail: told.detail || "Refused with status " + answer.status + ".", kind: String(told.type).split(":").pop(), ceiling: told.ceiling_per_minute };
      state.rooms[room] = told;
      if (room === state.name) showRoom(told);
      return null;
    } catch (fault) { return { detail: "The server does not answer. The change may not have been made: look at the figures, then try again." }; }
  }
  function signedOut() {
    if (state.isOut) return;
    banner("You are signed out. ", "bad");
    state.isOut = true;
    const link = document.createElement("a");
    link.href = "/login"; link.textContent = "Sign in again"; $("banner").append(link);
    if (stream) stream.close();
    pill("live", "bad", "Signed out");
  }
  function toast(told) {
    const made = document.createElement("p");
    made.textContent = told; $("toasts").append(made);
    setTimeout(function () { made.remove(); }, 5000);
  }

  // Server-Sent Events; where a proxy swallows them, we ask once a second.
  let stream = null, isPolling = false;
  function listen() {
    if (!window.EventSource) { poll(); return; }
    stream = new EventSource("/api/events");
    stream.addEventListener("figures", function (event) { isPolling = false; pill("live", "good", "Live"); hear(JSON.parse(event.data)); });
    stream.addEventListener("error", function () {
      pill("live", "warn", "Reconnecting");
      if (!isPolling) { isPolling = true; poll(); }
      if (stream.readyState === EventSource.CLOSED) setTimeout(function () { if (!state.isOut) listen(); }, 3000);
    });
  }
  async function poll() {
    isPolling = true;
    while (isPolling && !state.isOut) {
      const news = await ask("/api/rooms");
      if (news && isPolling) { pill("live", "good", "Live, asking"); hear(news); }
      await new Promise(function (resolve) { setTimeout(resolve, 1000); });
    }
  }
  setInterval(function () {
    showClock();
    const age = Math.round((Date.now() - state.heard) / 1000);
    if (age >= 4 && !state.isOut) {
      pill("live", "bad", "No news for " + words.duration(age));
      banner("No news since " + new Date(state.heard).toLocaleTimeString() + ": these figures are old. The console keeps trying to reach the server.", "bad");
    }
  }, 500);
  addEventListener("hashchange", function () { const name = decodeURIComponent(location.hash.slice(1)); if (state.rooms[name]) { choose(name); showTabs(Object.keys(state.rooms)); showRoom(state.rooms[name]); } });
  document.addEventListener("visibilitychange", function () { if (!document.hidden && state.series) drawAll(state.rooms[state.name]); });

  hear(first);
  listen();
})();
