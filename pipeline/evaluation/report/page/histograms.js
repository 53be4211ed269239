// Distributions: every system's against that of real recordings.
"use strict";

const PLOT_HEIGHT = 120;
const histogramOf = (system, id) => system.histograms.find((histogram) => histogram.id === id);

function bars(histogram, usual) {
  const most = Math.max(...histogram.shares, ...(usual?.shares ?? [])) || 1;
  const width = 100 / histogram.shares.length;
  const height = (part) => (part / most) * (PLOT_HEIGHT - 4);
  const shapes = histogram.shares.map((part, n) => {
    const theirs = usual ? usual.shares[n] : null;
    const said = `${histogram.labels[n]}: ${(100 * part).toFixed(1)} %`
      + (theirs === null ? "" : `; real ${(100 * theirs).toFixed(1)} %`);
    const box = (share, name) => draw("rect", {
      x: percent(n * width + 0.1 * width), width: percent(0.8 * width),
      y: PLOT_HEIGHT - height(share), height: height(share), class: name,
    });
    const whole = draw("rect", { x: percent(n * width), width: percent(width), y: 0, height: PLOT_HEIGHT, class: "bin" });
    return draw("g", {}, draw("title", {}, said), whole, box(part, "bar"), ...(theirs === null ? [] : [box(theirs, "outline")]));
  });
  return shapes;
}

function ticks(labels) {
  const step = labels.length <= 13 ? 1 : [2, 3, 4, 6, 12].find((s) => labels.length / s <= 9) ?? Math.ceil(labels.length / 8);
  const row = make("div", { class: "ticks", "aria-hidden": "true" });
  labels.forEach((label, n) => {
    if (n % step) return;
    const tick = make("span", {}, label.replace(" or more", "+"));
    tick.style.left = percent((100 * (n + 0.5)) / labels.length);
    row.append(tick);
  });
  return row;
}

function plot(system, histogram, usual) {
  const label = `${capital(histogram.title)}, ${system.name}`;
  return make("figure", { class: hue(system) },
    make("figcaption", {}, make("span", { class: "swatch" }), system.name),
    picture(label, { height: PLOT_HEIGHT, class: "bars" }, ...bars(histogram, usual)),
    ticks(histogram.labels));
}

function numbersOf(id, shown) {
  const { axis, labels } = histogramOf(shown[0], id);
  const rows = labels.map((label, n) => make("tr", {}, make("th", { scope: "row" }, label),
    ...shown.map((system) => make("td", { class: "number" }, `${(100 * histogramOf(system, id).shares[n]).toFixed(1)} %`))));
  const head = make("tr", {}, make("th", { scope: "col" }, axis),
    ...shown.map((system) => make("th", { scope: "col" }, system.name)));
  return make("details", { class: "numbers" }, make("summary", {}, "Numbers"),
    make("div", { class: "wide" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))));
}

function showHistogram(id) {
  const shown = report.systems.filter((system) => histogramOf(system, id));
  const first = histogramOf(shown[0], id);
  const usual = real && histogramOf(real, id);
  const plots = shown.filter((system) => system !== real || shown.length === 1)
    .map((system) => plot(system, histogramOf(system, id), usual));
  return [make("h3", {}, capital(first.title)), make("p", { class: "soft" }, capital(first.axis)),
    make("div", { class: "plots" }, ...plots), numbersOf(id, shown)];
}

const histograms = [...new Set(report.systems.flatMap((system) => system.histograms.map((histogram) => histogram.id)))];
$("histograms").append(...histograms.flatMap(showHistogram));
$("plots").hidden = !histograms.length;
