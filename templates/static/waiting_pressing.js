// What a visitor may press, and what the browser tells of itself.
$("sound").onclick = () => {
  if (audio) audio.close();
  audio = audio || !window.AudioContext ? null : new AudioContext();
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
  // Who lapsed asks first whether the room lets them come back, and joins anew where it does not.
  me.again = me.stop === "lapsed";
  me.asked = !me.again;
  me.stop = null;
  me.retry_ms = Infinity;
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
  if (me.stop ? me.retry_ms < Infinity : pulse && pulse.phase === "prequeue") paint();
}, 250);
