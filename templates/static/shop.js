// The shop without this script sells too; with it, stock and clock are live, and a second click does nothing.
"use strict";
(function () {
  var all = function (wanted) { return Array.prototype.slice.call(document.querySelectorAll(wanted)) };
  var sale = document.body.dataset.sale, heard = document.querySelector("[data-heard]");
  function say(text) { if (heard && heard.textContent !== text) heard.textContent = text }

  all("form[data-once]").forEach(function (form) {
    form.addEventListener("submit", function (event) {
      if (form.dataset.sent) { event.preventDefault(); return }
      form.dataset.sent = "1";
      var button = form.querySelector("button");
      if (button) button.setAttribute("aria-busy", "true");
    });
  });
  addEventListener("pageshow", function (event) { if (event.persisted) location.reload() });

  // stock
  var counters = all("[data-sku]");
  function show(item, state) {
    counters.forEach(function (box) {
      if (box.dataset.sku !== item.sku) return;
      box.querySelector("[data-available]").textContent = item.available.toLocaleString("en");
      box.querySelector("meter").value = item.available;
      var buy = document.querySelector('[data-buy="' + item.sku + '"]'), gone = item.available === 0;
      var open = state === "ACTIVE" || state === "SOLD_OUT";
      if (buy.disabled !== (gone || !open) && !buy.hasAttribute("aria-busy")) {
        buy.disabled = gone || !open;
        if (open) buy.textContent = gone ? "Sold out" : "Reserve mine";
        say(gone ? "Sold out" : "Available again");
      }
      document.querySelector("[data-sold-out]").hidden = !gone;
    });
  }
  function look() {
    var again = 2000 + Math.random() * 1000;
    if (document.hidden) { setTimeout(look, again); return }
    fetch("/sales/" + sale, { headers: { Accept: "application/json" } })
      .then(function (answer) { if (!answer.ok) throw 0; return answer.json() })
      .then(function (found) { found.skus.forEach(function (item) { show(item, found.state) }) })
      .catch(function () { again *= 3 })
      .then(function () { setTimeout(look, again) });
  }
  if (counters.length) setTimeout(look, 1500);

  // the time a hold still stands, counted from when the page came: no clock of this device matters
  var held = document.querySelector("[data-left-ms]");
  if (held) {
    var until = performance.now() + Number(held.dataset.leftMs), clock = held.querySelector("[data-clock]");
    (function count() {
      var left = Math.max(0, until - performance.now()), whole = Math.ceil(left / 1000);
      clock.textContent = Math.floor(whole / 60) + ":" + ("0" + whole % 60).slice(-2);
      held.querySelector("progress").value = left;
      held.classList.toggle("short", left < 60000);
      if (whole === 60) say("One minute left to pay");
      if (!left) { say("Time is up"); location.reload(); return }
      setTimeout(count, 250);
    })();
  }

  // an order that is being paid
  var watch = document.body.dataset.watch;
  function ask() {
    fetch(watch, { headers: { Accept: "application/json" } })
      .then(function (answer) { if (!answer.ok) throw 0; return answer.json() })
      .then(function (order) { if (order.status === "paying") throw 0; location.reload() })
      .catch(function () { setTimeout(ask, 900) });
  }
  if (watch) setTimeout(ask, 500);

  all("time").forEach(function (time) {
    var at = new Date(time.dateTime);
    if (!isNaN(at)) time.textContent = at.toLocaleString();
  });
})();
