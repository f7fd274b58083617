// What many people notice at once: asked back with its effect, and never without a reason.
function makeDangers(words, change, tell) {
  "use strict";
  const $ = function (id) { return document.getElementById(id); };
  const dialog = $("danger-dialog"), why = $("danger-why"), minutes = $("danger-minutes"), session = $("danger-session"), go = $("danger-go");
  let room = null, asked = null, extra = {};

  function inside() { return words.count(room.sessions, "session", "sessions"); }
  function waiting(one, many) { return words.count(room.waiting, "waiting person " + one, "waiting people " + many); }
  function length() { return Number(minutes.value.replace(",", ".")) * 60; }
  const DANGERS = {
    "sold-out": {
      title: "Say that everything is sold?", go: function () { return "Say sold out"; },
      effect: function () { return waiting("reads", "read") + " that everything is sold. They keep their places, nobody is called until you resume. Who is inside stays inside."; },
    },
    close: {
      title: "Close to everybody?", go: function () { return "Refuse everybody"; },
      effect: function () { return "Everybody is refused until you resume, also who is inside (" + inside() + "). " + waiting("keeps their place.", "keep their places."); },
    },
    "open-all": {
      title: "Open to all?", field: "minutes", go: function () { return "Let everybody in for " + words.duration(length()); },
      effect: function () { return waiting("goes", "go") + " in at once, and so does whoever comes, whatever rate and cap say: the store bears the whole crowd. Resume ends it."; },
      isFit: function () { return length() >= 1 && length() <= 86400; },
      body: function () { return { for_s: length() }; },
    },
    "revoke-all": {
      title: "End all sessions?", go: function () { return "End " + inside(); },
      effect: function () { return "Ends " + inside() + ": who is inside loses the pass and waits again, also in the middle of a checkout."; },
    },
    revoke: {
      title: "End one session?", field: "session", go: function () { return "End this session"; },
      effect: function () { return "Its pass is worth nothing from its next visit on, on every worker within a second of it."; },
      isFit: function () { return /^[A-Za-z0-9_-]{1,64}$/.test(session.value.trim()); },
      body: function () { return { session: session.value.trim() }; },
    },
    rate: {
      title: "Above the ceiling?", go: function () { return "Set " + words.number(extra.per_minute) + " a minute all the same"; },
      effect: function () { return words.number(extra.per_minute) + " a minute is above what the configuration allows (" + words.number(extra.ceiling) + "). Now: " + words.number(room.rate_per_minute) + "."; },
      body: function () { return { per_minute: extra.per_minute, force: true }; },
    },
  };

  function refresh() {
    if (!asked || !dialog.open) return;
    const danger = DANGERS[asked], effect = danger.effect();
    if ($("danger-effect").textContent !== effect) $("danger-effect").textContent = effect;
    const isFit = danger.isFit ? danger.isFit() : true;
    go.textContent = isFit ? danger.go() : danger.title.replace("?", "");
    go.disabled = !isFit || !why.value.trim();
  }
  function ask(what, given, reason) {
    asked = what; extra = given || {};
    $("danger-title").textContent = DANGERS[what].title.replace("?", "") + " – " + room.room;
    $("danger-minutes-row").hidden = DANGERS[what].field !== "minutes"; $("danger-session-row").hidden = DANGERS[what].field !== "session";
    minutes.value = "10"; session.value = ""; why.value = reason || $("why").value; dialog.returnValue = "cancel"; tell($("switch-fault"), null);
    dialog.showModal(); refresh();
  }
  for (const field of [why, minutes, session]) field.addEventListener("input", refresh);
  dialog.querySelector("[data-cancel]").addEventListener("click", function () { dialog.close("cancel"); });
  dialog.querySelector("form").addEventListener("submit", function (event) { if (go.disabled) event.preventDefault(); });
  dialog.addEventListener("close", async function () {
    const danger = DANGERS[asked];
    if (dialog.returnValue !== "go" || !danger) return;
    tell($("switch-fault"), await change(asked, Object.assign({ why: why.value.trim() }, danger.body ? danger.body() : {})));
  });
  for (const button of document.querySelectorAll("[data-danger]")) button.addEventListener("click", function () { ask(button.dataset.danger); });
  return { ask: ask, show: function (next) { room = next; refresh(); } };
}
