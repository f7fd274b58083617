// What an operator turns. Nothing is sent while somebody types: a change is staged, previewed, then sent as one.
function makeControls(words, send, toast) {
  "use strict";
  const $ = function (id) { return document.getElementById(id); };
  if (!$("rate-form")) return { show: function () {} };
  let room = null;

  function number(text) { return /^\s*\d[\d\s.,']*$/.test(text) ? Number(text.replace(/[\s,']/g, "")) : NaN; }

  // A number with two steppers: it follows the room until somebody changes it, and then waits for them.
  function dial(kind, current, check, preview, apply) {
    const form = $(kind + "-form"), input = $(kind + "-input"), fault = $(kind + "-fault"), told = $(kind + "-preview");
    const staged = form.querySelector(".staged"), button = staged.querySelector(".primary");
    let isDirty = false, refused = "";
    function refresh() {
      const value = number(input.value), wrong = isDirty ? check(value) : "";
      form.classList.toggle("is-staged", isDirty);
      staged.hidden = !isDirty; fault.hidden = !wrong && !refused;
      if (fault.textContent !== (wrong || refused)) fault.textContent = wrong || refused;
      input.setAttribute("aria-invalid", String(Boolean(wrong)));
      button.disabled = Boolean(wrong); button.textContent = wrong ? "Set" : apply(value);
      told.textContent = wrong ? "" : preview(value, isDirty);
    }
    function stage() { isDirty = number(input.value) !== current(); refresh(); }
    function reset() { isDirty = false; refused = ""; const value = words.plain(current()); if (input.value !== value) input.value = value; refresh(); }
    input.addEventListener("input", function () { refused = ""; stage(); });
    for (const step of form.querySelectorAll("[data-factor]")) step.addEventListener("click", function () {
      refused = "";
      const from = number(input.value), to = (isNaN(from) ? current() : from) * Number(step.dataset.factor);
      input.value = words.plain(kind === "cap" || to >= 20 ? Math.max(kind === "cap" ? 0 : 1, Math.round(to)) : Math.round(to * 100) / 100);
      if (number(input.value) === from && kind === "cap") input.value = String(Math.max(0, from + (step.dataset.factor > 1 ? 1 : -1)));
      stage();
    });
    form.querySelector("[data-undo]").addEventListener("click", function () { reset(); input.focus(); });
    form.addEventListener("submit", async function (event) {
      event.preventDefault();
      if (!isDirty || button.disabled) return;
      const value = number(input.value);
      const reason = $("why").value, answer = await change(kind, kind === "rate" ? { per_minute: value } : { total_active_users: value });
      if (answer && answer.kind === "above-ceiling") { reset(); dangers.ask("rate", { per_minute: value, ceiling: answer.ceiling }, reason); return; }
      refused = answer ? answer.detail : "";
      if (refused) refresh(); else reset();
    });
    return { follow: function () { if (isDirty) stage(); else reset(); }, reset: reset };
  }

  const rate = dial("rate", function () { return room.rate_per_minute; },
    function (value) { return value > 0 && value <= 1e8 ? "" : "Give a number above 0. To admit nobody, pause the room."; },
    function (value, isDirty) { return room.waiting ? "At " + words.number(value) + " a minute the line is through in " + words.duration(room.waiting / value * 60) + "." + (isDirty ? " Now: " + words.number(room.rate_per_minute) + "." : "") : (isDirty ? "Now: " + words.number(room.rate_per_minute) + " a minute." : "Nobody is waiting."); },
    function (value) { return "Set " + words.number(value) + " a minute"; });
  const cap = dial("cap", function () { return room.total_active_users; },
    function (value) { return Number.isInteger(value) && value >= 0 && value <= 1e8 ? "" : "Give a whole number, 0 or more."; },
    function (value) { return value < room.sessions ? words.number(room.sessions) + " are inside: nobody is called until " + words.number(room.sessions - value + 1) + " have left." : words.number(Math.max(0, value - room.sessions - room.outstanding)) + " more fit in now."; },
    function (value) { return "Set " + words.number(value); });

  // Send a change; return why it was refused, or null.
  async function change(what, body) {
    const name = room.room;
    if (body.why === undefined) body.why = $("why").value.trim();
    const refused = await send(name, what, body);
    if (refused) return refused;
    $("why").value = "";
    toast(words.done(what, body, name));
    return null;
  }
  function tell(fault, refused) { fault.textContent = refused ? refused.detail : ""; fault.hidden = !refused; }
  const dangers = makeDangers(words, change, tell);

  // The message: what is typed is previewed as the line will read it.
  const message = $("message-input"), messageForm = $("message-form");
  let isTyping = false;
  function showMessage() {
    const text = message.value.trim(), live = room ? room.message : "";
    messageForm.classList.toggle("is-staged", isTyping);
    messageForm.querySelector(".staged").hidden = !isTyping;
    messageForm.querySelector(".primary").disabled = !text;
    $("message-count").textContent = message.value ? message.value.length + " of 280" : "";
    $("message-shown").hidden = !(isTyping ? text : live);
    $("message-state").textContent = isTyping ? "Preview" : "Shown to everybody in line";
    $("message-text").textContent = isTyping ? text : live;
    $("message-clear").hidden = isTyping || !live;
  }
  message.addEventListener("input", function () { isTyping = message.value.trim() !== ""; showMessage(); });
  messageForm.querySelector("[data-undo]").addEventListener("click", function () { message.value = ""; isTyping = false; showMessage(); message.focus(); });
  async function sendMessage(text) {
    const refused = await change("message", { text: text });
    tell($("message-fault"), refused);
    if (!refused) { message.value = ""; isTyping = false; showMessage(); }
  }
  messageForm.addEventListener("submit", function (event) { event.preventDefault(); if (isTyping) sendMessage(message.value.trim()); });
  $("message-clear").addEventListener("click", function () { sendMessage(""); message.focus(); });

  // Pause, resume, end: asked back, because everybody in line notices.
  function asking(what, open) {
    const dialog = $(what + "-dialog"), why = $(what + "-why");
    dialog.querySelector("[data-cancel]").addEventListener("click", function () { dialog.close("cancel"); });
    dialog.addEventListener("close", async function () {
      if (dialog.returnValue !== "go") return;
      const refused = await change(what, { why: why.value.trim() });
      tell($("switch-fault"), refused);
      if (!refused) $(what === "resume" ? "pause" : "resume").focus(); // the button that was pressed is gone
    });
    $(what).addEventListener("click", function () {
      for (const name of dialog.querySelectorAll("[data-room]")) name.textContent = room.room;
      why.value = $("why").value; dialog.returnValue = "cancel"; $("switch-fault").hidden = true;
      open(); dialog.showModal();
    });
  }
  asking("pause", function () { $("pause-people").textContent = words.count(room.waiting, "waiting person keeps their place.", "waiting people keep their places."); });
  asking("resume", function () { $("resume-rate").textContent = words.number(room.rate_per_minute); });
  asking("end", function () {
    $("end-people").textContent = words.count(room.waiting, "waiting person is told that it is over.", "waiting people are told that it is over.");
    $("end-room").value = ""; $("end-go").disabled = true;
  });
  for (const id of ["end-room", "end-why"]) $(id).addEventListener("input", function () { $("end-go").disabled = $("end-room").value.trim() !== room.room || !$("end-why").value.trim(); });

  function follow() {
    rate.follow(); cap.follow(); showMessage();
    const isStopped = /paused|sold_out|ended/.test(room.phase) && !words.isGone(room) || room.isHeld || room.is_closed || Boolean(room.open_until_ms);
    dangers.show(room);
    $("pause").hidden = isStopped; $("resume").hidden = !isStopped; $("end").hidden = room.phase === "ended";
  }
  return {
    show: function (next) {
      const isOther = !room || room.room !== next.room;
      room = next;
      if (isOther) { message.value = ""; isTyping = false; rate.reset(); cap.reset(); }
      follow();
    },
  };
}
