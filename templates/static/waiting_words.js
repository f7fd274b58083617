// What the waiting page says. Pure: the same state has the same words.
function count(n) {
  return n.toLocaleString("en");
}

function many(n, one, more) {
  return count(n) + " " + (n === 1 ? one : more);
}

// A wait as an honest range, rounded outwards; the server has the same rule for pages without JavaScript.
function waitText(low_s, high_s) {
  const unit = high_s > 7200 ? [3600, 1, "hours"] : high_s > 3600 ? [60, 5, "minutes"] : [60, 1, "minutes"];
  const low = Math.floor(low_s / unit[0] / unit[1]) * unit[1], high = Math.ceil(high_s / unit[0] / unit[1]) * unit[1];
  if (high <= 1) return "Less than a minute";
  if (!low) return "Up to " + high + " " + unit[2];
  return (low === high ? "About " + high : low + "–" + high) + " " + unit[2];
}

// What is left, rounded down to two figures, for it changes while it is read; the server has the same rule.
function about(n) {
  return n < 20 ? n : "About " + count(n - n % Math.pow(10, String(n).length - 2));
}

function stockText(stock, ahead) {
  if (!stock.left) return "Nothing is free this moment. " + count(stock.held) + " set aside may come back: then the line moves on.";
  return about(stock.left) + " left, " + (ahead ? count(ahead) : "nobody") + " ahead of you" + (isShort(stock, ahead) ? ": it may sell out before your turn." : ".");
}

const isShort = (stock, ahead) => stock && (!stock.left || ahead >= stock.left + stock.held);

function clockParts(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000)), two = n => String(n).padStart(2, "0");
  const parts = [[two(Math.floor(s / 3600) % 24), "hours"], [two(Math.floor(s / 60) % 60), "minutes"], [two(s % 60), "seconds"]];
  if (s >= 86400) parts.unshift([String(Math.floor(s / 86400)), s < 172800 ? "day" : "days"]);
  else if (s < 3600) parts.shift();
  return parts;
}

function openingText(starts_ms, now_ms) {
  const at = new Date(starts_ms), today = new Date(now_ms).toDateString() === at.toDateString();
  const day = today ? "Today" : at.toLocaleDateString("en", { weekday: "long", day: "numeric", month: "long" });
  return day + " at " + at.toLocaleTimeString([], { hour: "numeric", minute: "2-digit" }) + ", your time";
}

// The head of the page: [view, eyebrow, headline, lead, button].
function describe(s) {
  if (s.turn === "in") return ["called", "Your turn", "You are in", "Your place inside is yours. Come in when you are ready.", "Go to the shop"];
  if (s.turn === "soon") return ["called", "Almost there", "You are next", (s.phase === "paused" ? "Nobody is let in at the moment, and you are among the first when it goes on." : "The shop is full this very moment. You are let in as soon as somebody leaves.")];
  if (s.turn) return ["called", "Your turn", "It is your turn", "You are being let in."];
  if (s.stop === "left") return ["left", "Waiting room", "You have left the line", "Your place is free for somebody else. You can join again at any time.", "Join again"];
  if (s.stop === "lapsed") return ["lapsed", "Waiting room", "Your turn has passed", "You were called, but nobody came in in time. You can join again at the end of the line.", "Join again"];
  if (s.stop === "cookies") return ["refused", "Waiting room", "Please allow cookies", "Your place in line is kept in a cookie, and this browser does not keep it. Allow cookies for this site, then try again.", "Try again"];
  if (s.stop === "full") return ["refused", "Waiting room", "The waiting room is full", "As many people wait as the shop takes, so nobody else gets a place at the moment." + againText(s), "Try again now"];
  if (s.stop) return ["refused", "Waiting room", "Not just now", (s.detail || "We cannot give you a place at the moment.") + againText(s), "Try again now"];
  if (s.phase === "ended") return ["ended", "Closed", "This sale has ended", "Thank you for coming. Nobody is let in any more."];
  if (s.phase === "sold_out") return ["sold_out", "Sold out", "Everything is sold", s.ticket ? "Your place is kept: should something come back, the line moves on by itself." : "Should something come back, this page goes on by itself."];
  if (s.closed) return ["paused", "Closed", s.place ? "Your place in line" : "Closed for the moment", "Nobody is let in until the shop opens again. Your place is kept, and the line goes on by itself."];
  if (s.phase === "paused") return ["paused", "Paused", s.place ? "Your place in line" : "Admission is paused", "Nobody is let in at the moment. Your place is kept, and the line goes on by itself."];
  if (s.phase === "prequeue") return ["prequeue", "Opening soon", s.clock ? "Doors open in" : "Doors open any moment", (s.stock ? about(s.stock.left) + " to sell. " : "") + prequeueLead(s)];
  if (s.ticket && s.place) return ["waiting", s.phase === "idle" ? "Busy right now" : "Doors are open", "Your place in line", (s.stock ? stockText(s.stock, s.place - 1) + " " : "") + "This page lets you in by itself when it is your turn."];
  if (s.ticket) return ["waiting", "Doors are open", "You are in line", "Your place is being worked out."];
  if (s.phase) return ["joining", "Waiting room", "Getting you a place", "Many people are here, so everybody waits in line for a while."];
  return ["checking", "Waiting room", "One moment, please", "Many people are here, so everybody waits in line for a while."];
}

function againText(s) {
  return " This page tries again by itself in " + many(Math.max(1, Math.ceil(s.again_ms / 1000)), "second", "seconds") + ".";
}

function prequeueLead(s) {
  if (!s.ticket) return "You can wait right here. There is nothing you have to do.";
  if (s.draw) return "You are in the draw. At the opening everybody here gets a place by lot: having come earlier makes no difference, and reloading costs nothing.";
  return "Your place is kept. This page lets you in by itself when it is your turn.";
}

function downText() {
  return "The shop does not answer at the moment. Nobody is let in until it does. Your place is kept, and the line goes on by itself.";
}

function openToAllText() {
  return "Everybody is let in at the moment. You come in within half a minute, by yourself.";
}

function longerText(others) {
  return (others ? "People with a place in another lane, such as invited guests, are let in beside you" : "People come in more slowly than before") + ", so the expected wait has grown. Your place is the same.";
}

function movedBackText(by) {
  return by === 1
    ? "Your number went up by one: somebody who asked for a place before you has only now finished the check."
    : "Your number went up by " + count(by) + ": people who asked for a place before you have only now finished the check.";
}

function orderText(drawn) {
  if (drawn) return "Everybody who is here before the opening takes part in a draw. Its seed is fixed already: the fingerprint is published now, the seed at the opening, and then anybody can check every place.";
  return "By the moment you asked for a place, to the millisecond. A slow phone or a reload costs nothing, and nobody can ask twice for a better place.";
}
