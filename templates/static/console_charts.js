// One curve of the last minutes, as SVG: grid, area, line, a dashed limit, and what it was at the pointer.
function makeChart(figure, name, read) {
  "use strict";
  const PAD = { top: 14, right: 8, bottom: 20, left: 44 };
  const plot = figure.querySelector(".plot"), now = figure.querySelector("figcaption b"), note = figure.querySelector("figcaption .soft");
  const svg = element("svg", { role: "img" }, plot);
  const grid = element("g", {}, svg), area = element("path", { class: "area" }, svg), line = element("path", { class: "line" }, svg);
  const limit = element("path", { class: "limit" }, svg), limitLabel = element("text", { class: "limit-label", "text-anchor": "end" }, svg);
  const cross = element("line", { class: "cross", visibility: "hidden" }, svg), dot = element("circle", { class: "dot", r: 4, visibility: "hidden" }, svg);
  const tip = document.createElement("div");
  tip.className = "tip"; tip.hidden = true; plot.append(tip);
  let shown = null, pointed = null;

  function element(tag, attributes, parent) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    parent.append(made);
    return made;
  }
  function place(made, attributes) { for (const key in attributes) made.setAttribute(key, attributes[key]); }

  // A round number at or above `most`, so that the grid has round labels.
  function ceiling(most) {
    const step = Math.pow(10, Math.floor(Math.log10(most)));
    for (const factor of [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]) if (factor * step >= most) return factor * step;
    return most;
  }

  // `series.limits` is what was allowed at each instant: a change by ops is a step.
  function draw(series, boundText) {
    shown = { series: series, boundText: boundText };
    const width = plot.clientWidth, height = plot.clientHeight;
    if (!width || !series.at.length) return;
    const last = series.at[series.at.length - 1], span = Math.min(600000, Math.max(120000, last - series.at[0]));
    const from = last - span, begin = Math.max(0, series.at.findIndex(function (at) { return at >= from; }) - 1);
    let peak = 0;
    for (let i = begin; i < series.at.length; i++) peak = Math.max(peak, series.values[i]);
    const bound = series.limits ? series.limits[series.limits.length - 1] : 0, isNear = bound > 0 && bound <= peak * 4;
    let most = Math.max(read.least, peak);
    if (isNear) for (let i = begin; i < series.at.length; i++) if (series.limits[i] <= peak * 4) most = Math.max(most, series.limits[i] * 1.08);
    const top = ceiling(most);
    const x = function (at) { return PAD.left + (Math.max(at, from) - from) / span * (width - PAD.left - PAD.right); };
    const y = function (value) { return height - PAD.bottom - value / top * (height - PAD.top - PAD.bottom); };
    svg.setAttribute("viewBox", "0 0 " + width + " " + height);
    drawGrid(width, height, top, y, span);
    let path = "";
    for (let i = begin; i < series.at.length; i++) path += (path ? "L" : "M") + x(series.at[i]).toFixed(1) + " " + y(series.values[i]).toFixed(1);
    line.setAttribute("d", path);
    area.setAttribute("d", path + "L" + x(last).toFixed(1) + " " + y(0) + "L" + x(series.at[begin]).toFixed(1) + " " + y(0) + "Z");
    let steps = "";
    if (isNear) for (let i = begin; i < series.at.length; i++) {
      const level = Math.max(PAD.top - 8, y(series.limits[i])).toFixed(1);
      steps += steps ? "H" + x(series.at[i]).toFixed(1) + "V" + level : "M" + x(series.at[i]).toFixed(1) + " " + level;
    }
    limit.setAttribute("d", steps);
    place(limitLabel, { x: width - PAD.right, y: isNear ? Math.max(10, y(bound) - 5) : 0, visibility: isNear ? "visible" : "hidden" });
    limitLabel.textContent = boundText;
    shown.x = x; shown.y = y; shown.begin = begin; shown.from = from; shown.span = span; shown.width = width; shown.height = height;
    const value = series.values[series.values.length - 1];
    now.textContent = read.text(value);
    note.textContent = "peak " + read.text(peak);
    svg.setAttribute("aria-label", name + ": now " + read.text(value) + ", highest " + read.text(peak) + " in the last " + Math.round(span / 60000) + " minutes");
    if (pointed !== null) point(pointed);
  }

  function drawGrid(width, height, top, y, span) {
    grid.replaceChildren();
    for (const share of [0, .5, 1]) {
      element("line", { class: "grid", x1: PAD.left, x2: width - PAD.right, y1: y(top * share), y2: y(top * share) }, grid);
      element("text", { x: PAD.left - 7, y: y(top * share) + 4, "text-anchor": "end" }, grid).textContent = read.axis(top * share);
    }
    const minutes = span / 60000, middle = PAD.left + (width - PAD.left - PAD.right) / 2;
    element("text", { x: PAD.left, y: height - 5 }, grid).textContent = ago(minutes);
    element("text", { x: middle, y: height - 5, "text-anchor": "middle" }, grid).textContent = ago(minutes / 2);
    element("text", { x: width - PAD.right, y: height - 5, "text-anchor": "end" }, grid).textContent = "now";
  }
  function ago(minutes) { return minutes >= 1 ? "−" + (minutes < 5 ? Math.round(minutes * 10) / 10 : Math.round(minutes)) + " min" : "−" + Math.round(minutes * 60) + " s"; }

  function point(clientX) {
    if (!shown || !shown.x) return;
    pointed = clientX;
    const series = shown.series, share = (clientX - plot.getBoundingClientRect().left - PAD.left) / (shown.width - PAD.left - PAD.right);
    const at = shown.from + Math.min(1, Math.max(0, share)) * shown.span;
    let nearest = shown.begin;
    for (let i = shown.begin; i < series.at.length; i++) if (Math.abs(series.at[i] - at) < Math.abs(series.at[nearest] - at)) nearest = i;
    const px = shown.x(series.at[nearest]), py = shown.y(series.values[nearest]);
    place(cross, { x1: px, x2: px, y1: PAD.top, y2: shown.height - PAD.bottom, visibility: "visible" });
    place(dot, { cx: px, cy: py, visibility: "visible" });
    tip.textContent = read.text(series.values[nearest]) + " at " + new Date(series.at[nearest]).toLocaleTimeString();
    tip.hidden = false;
    tip.style.transform = "translateX(" + Math.min(shown.width - tip.offsetWidth, Math.max(0, px - tip.offsetWidth / 2)) + "px)";
  }
  function leave() { pointed = null; tip.hidden = true; place(cross, { visibility: "hidden" }); place(dot, { visibility: "hidden" }); }

  plot.addEventListener("pointermove", function (event) { point(event.clientX); });
  plot.addEventListener("pointerleave", leave);
  new ResizeObserver(function () { if (shown) draw(shown.series, shown.boundText); }).observe(plot);
  return { draw: draw };
}
