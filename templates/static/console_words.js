// What the console says, in words and figures. Pure: the same state has the same words.
function makeWords() {
  "use strict";
  const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 }), decimal = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  const PHASES = { idle: "Idle – nobody has to wait", prequeue: "Before the opening", open: "Open", paused: "Paused", sold_out: "Sold out", ended: "Ended" };
  const LIMITS = { rate: "Held back by the rate", cap: "Held back by the cap: it is full", health: "Held back by the shop: it is slow or down", stock: "Held back by the stock: it may be gone", nobody: "Nobody is waiting", closed: "Nobody is called now" };

  // Of what holds for longer than a moment, the gravest first: [look, text].
  function states(room) {
    const told = [];
    if (room.open_until_ms && !room.is_closed) told.push(["warn", "Open to all until " + clock(room.open_until_ms)]);
    if (room.health) told.push(shop(room));
    if (room.stock) told.push([room.stock.left ? "good" : "warn", words.number(room.stock.left) + " left, " + words.number(room.stock.held) + " may come back"]);
    if (room.awaits_spin) told.push(["wait", "Waiting for the beacon"]);
    return told;
  }
  function shop(room) {
    if (room.health.circuit === "open") return ["bad", "Shop does not answer: nobody is let in"];
    if (room.health.circuit === "half_open") return ["warn", "Shop answers again: a few are let in"];
    return ["warn", "Slowed by the shop: " + words.number(Math.round(room.effective_rate_per_minute)) + " of " + words.number(room.rate_per_minute) + " a minute"];
  }
  function clock(at_ms) { return new Date(at_ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }); }

  const DONE = {
    "sold-out": function (room) { return room + " says that everything is sold"; },
    close: function (room) { return room + " is closed to everybody"; },
    "open-all": function (room, body) { return room + " is open to all for " + words.duration(body.for_s); },
    "revoke-all": function (room) { return "Every session of " + room + " is over"; },
    revoke: function () { return "That session is over"; },
  };

  const words = {
    integer: integer, decimal: decimal, compact: compact, LIMITS: LIMITS, states: states, flow: flow, changed: changed,
    isGone: function (room) { return room.phase === "sold_out" && Boolean(room.stock) && room.stock.left + room.stock.held === 0; },
    phase: function (room) { return room.is_closed ? "Closed" : PHASES[room.phase]; },
    number: function (value) { return Number.isInteger(value) ? integer.format(value) : decimal.format(value); },
    plain: function (value) { return String(Math.round(value * 1000) / 1000); },
    count: function (value, one, many) { return integer.format(value) + " " + (value === 1 ? one : many); },
    duration: function (seconds) {
      if (!isFinite(seconds)) return "no time that could be told";
      if (seconds < 90) return Math.max(1, Math.round(seconds)) + " s";
      const minutes = Math.round(seconds / 60);
      if (minutes < 90) return minutes + " min";
      if (minutes < 2880) return Math.floor(minutes / 60) + " h" + (minutes % 60 ? " " + minutes % 60 + " min" : "");
      return Math.round(minutes / 1440) + " days";
    },
    done: function (what, body, room) {
      const done = DONE[what];
      return done ? done(room, body) : { rate: "Rate of " + room + " is now " + words.number(body.per_minute) + " a minute", cap: "Cap of " + room + " is now " + words.number(body.total_active_users),
        message: body.text ? "The line of " + room + " reads your message" : "The message is taken away", pause: room + " is paused", resume: room + " goes on", end: room + " has ended" }[what];
    },
  };

  function flow(room, figures) {
    if (room.is_closed) return "Closed: everybody is refused, also who is inside, until you resume. " + (room.waiting ? words.count(room.waiting, "person keeps their place.", "people keep their places.") : "Nobody waits.");
    if (room.open_until_ms) return "Open to all until " + clock(room.open_until_ms) + ": whoever comes goes in, whatever rate and cap say.";
    if (room.awaits_spin) return "The draw waits for its beacon: nobody is called before it is turned, or its time is up.";
    if (room.phase === "paused") return "Paused: nobody is called. " + (room.waiting ? words.count(room.waiting, "person waits.", "people wait.") : "Nobody waits.");
    if (room.phase === "ended") return "Over: nobody joins, nobody is called. Resume opens it again.";
    if (words.isGone(room)) return "Sold out, as the shop reports. Everybody keeps their place, and it goes on by itself as soon as something comes back.";
    if (room.phase === "sold_out") return "Sold out: nobody is called any more.";
    if (room.phase === "prequeue") return words.count(room.waiting, "person has", "people have") + " come for the opening." + (room.waiting ? " At " + words.number(room.rate_per_minute) + " a minute they are through " + words.duration(figures.through_at_rate_s) + " after it." : "")
      + (room.isHeld ? " Paused: at the opening nobody is called until you resume." : "");
    if (figures.limit === "health" && room.health) {
      if (room.health.circuit === "open") return "The shop does not answer: nobody is let in, and who is inside sees a page that tries again. It opens by itself as soon as a try succeeds.";
      return (room.health.circuit === "half_open" ? "The shop answers again: a few are let in to try it. " : "The shop is slow: ") + words.number(Math.round(room.effective_rate_per_minute)) + " of " + words.number(room.rate_per_minute) + " a minute are let in for now; at that pace the line is through in " + words.duration(figures.through_at_rate_s) + ".";
    }
    if (figures.limit === "stock") return room.stock.left ? "Nobody more is called than there are units left for." : "Nothing is left this moment: nobody is called until something comes back.";
    if (!room.waiting) return "Nobody is waiting: who comes goes straight in, up to " + words.number(room.rate_per_minute) + " a minute.";
    let told = "At " + words.number(room.rate_per_minute) + " a minute the line is through in " + words.duration(figures.through_at_rate_s) + ".";
    if (figures.limit === "cap") {
      told += figures.through_at_pace_s === null ? " The cap is full: people come in as others leave."
        : " The cap is full: at the pace of the last minute (" + integer.format(figures.admitted_last_minute) + ") it takes " + words.duration(figures.through_at_pace_s) + ".";
    }
    return told;
  }

  function changed(entry) {
    const before = entry.before === "" ? "" : words.number(Number(entry.before)) + " → ";
    switch (entry.what) {
      case "rate": return "Rate " + before + words.number(Number(entry.value)) + " a minute";
      case "cap": return "Cap " + before + words.number(Number(entry.value));
      case "message": return entry.value ? "Message: " + entry.value : "Message taken away";
      case "pause": return "Paused";
      case "resume": return ({ ended: "Opened again", closed: "Opened again", "open to all": "Back to the limits" })[entry.before] || "Resumed";
      case "end": return "Ended";
      case "sold-out": return "Sold out";
      case "close": return "Closed to everybody";
      case "open-all": return "Open to all for " + words.duration(Number(entry.value) / 1000);
      case "revoke-all": return "Ended all sessions" + (entry.before ? ": " + words.number(Number(entry.before)) : "");
      case "revoke": return "Ended the session " + entry.value + (entry.before === "inside" ? "" : ", which was not inside");
      case "spin": return "Turned the draw by " + entry.value;
      case "circuit": return entry.value === "open" ? "Shop does not answer: nobody is let in" : "Shop is back: people are let in again";
      default: return entry.what + " " + entry.value;
    }
  }
  return words;
}
