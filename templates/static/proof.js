// The proof page: fetch the proof, check it here, show each check. Everything personal stays in this browser.
(function () {
  "use strict";
  const room = document.body.dataset.room, base = "/.waitroom/" + encodeURIComponent(room) + "/proof";
  const $ = id => document.getElementById(id), solver = makeSolver();
  const field = $("ticket");

  function known() {
    const asked = new URLSearchParams(location.search).get("ticket_id");
    try {
      return asked || (JSON.parse(localStorage.getItem("wr:" + room + ":ticket")) || {}).id || "";
    } catch (_) {
      return asked || "";
    }
  }

  async function read(path) {
    const answer = await fetch(path, { headers: { Accept: "application/json" } });
    return { status: answer.status, data: await answer.json() };
  }

  async function look() {
    const ticket = field.value.trim();
    let told = ticket ? await read(base + "?ticket_id=" + encodeURIComponent(ticket)) : null, why = "";
    if (told && told.status !== 200) why = told.data.detail || "";
    if (!told || told.status !== 200) told = await read(base);
    if (told.status !== 200) throw new Error("away");
    show(checkProof(solver, told.data, ticket), why, ticket);
    $("document").href = told.data.ticket ? base + "?ticket_id=" + encodeURIComponent(ticket) : base;
  }

  function show(checks, why, ticket) {
    const wrong = checks.some(check => check.is === "wrong"), open = checks.some(check => check.is === "open");
    $("verdict").textContent = wrong ? "Something does not fit" : open ? "Nothing is wrong, not everything is out yet" : "Everything fits";
    document.body.dataset.verdict = wrong ? "wrong" : open ? "open" : "fits";
    $("lead").textContent = why || (ticket ? "Your browser computed all of this anew, from what is published." : "Enter your ticket to check your own place too.");
    $("checks").replaceChildren(...checks.map(check => {
      const item = document.createElement("li"), text = document.createElement("div");
      const name = document.createElement("b"), told = document.createElement("span");
      item.dataset.is = check.is;
      name.textContent = check.name;
      told.textContent = check.told;
      text.append(name, told);
      item.append(text);
      return item;
    }));
  }

  function again() {
    look().catch(() => {
      $("verdict").textContent = "We cannot reach the waiting room at the moment";
      $("lead").textContent = "Please try again shortly.";
    });
  }

  field.value = known();
  $("ask").onsubmit = event => {
    event.preventDefault();
    again();
  };
  again();
})();
