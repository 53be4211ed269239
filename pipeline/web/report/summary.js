// What the report's scripts share; then the head, how far each system has come, the table of the main metrics, and
// what the evaluation depended on.
"use strict";

const report = data;
const metrics = new Map(report.metrics.map((metric) => [metric.id, metric]));
const groups = [...new Set(report.metrics.map((metric) => metric.group))];
const real = report.systems.find((system) => system.name === "real"); // what is usual
const ours = report.systems.filter((system) => system.kind === "system");
const valueOf = (system, metric) => system.values[metric.id] ?? { value: null, low: null, high: null };

// What shows a system has its colour: systems take turns in eight, anchors are grey, real recordings have their own.
const hue = (system) =>
  system === real ? "real" : system.kind === "anchor" ? "anchor" : `hue-${ours.indexOf(system) % 8}`;
const nameOf = (system) => [make("span", { class: "swatch" }), system.name];

// ---- numbers as text ----

const titleOf = (metric) => capital(metric.name);
const plain = (metric, number) => number.toFixed(metric.digits).replace(/^-(0\.?0*)$/, "$1"); // no -0.0
const number = (metric, value) => value === null ? "–" : plain(metric, value) + (metric.unit && ` ${metric.unit}`);

function range(metric, low, high) {
  const [from, to] = [plain(metric, low), plain(metric, high)];
  return from === to ? from : `${from} to ${to}`;
}

function interval(metric, { value, low, high }) {
  if (value === null || low === null || high === null) return "";
  const text = range(metric, low, high);
  return text === plain(metric, value) ? "" : text; // which says no more
}

const direction = (metric) =>
  ({ higher: "higher is better", lower: "lower is better", reference: "as real is best" })[metric.direction];

function duration(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${+seconds.toFixed(1)} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

// ---- the head ----

function showHead() {
  $("title").textContent = report.title;
  const anchors = report.systems.length - ours.length;
  $("counts").textContent =
    `${several(ours.length, "system", "systems")} and ${several(anchors, "anchor", "anchors")}, `
    + `clips of ${duration(report.clip_seconds)}.`;
  $("notes").append(...report.notes.map((note) => make("li", {}, note)));
  $("notes").hidden = !report.notes.length;
}

// ---- the way from classic to real ----

function gapRow(metric, system, scale, whole) {
  const value = valueOf(system, metric);
  const said = number(metric, value.value);
  return make("tr", { class: hue(system) }, rowHead(...nameOf(system)),
    make("td", { class: "track" }, drawWay(`${system.name}: ${said}`, scale, [0, whole], value)),
    make("td", { class: "number" }, make("b", {}, said), make("small", {}, interval(metric, value))));
}

function showGap(metric) {
  const shown = ours.filter((system) => valueOf(system, metric).value !== null);
  if (!shown.length) return;
  const whole = metric.unit === "%" ? 100 : 1;
  const numbers = shown.flatMap((system) => Object.values(valueOf(system, metric)));
  const scale = scaleOf([0, whole, ...numbers]);
  const ends = make("td", { class: "ends" }, makeTicks([[scale(0), "classic"], [scale(whole), "real"]]));
  $("gaps").append(
    make("h3", {}, titleOf(metric)),
    make("p", { class: "soft" }, metric.meaning),
    make("table", { class: "gap" },
      make("thead", { "aria-hidden": "true" }, make("tr", {}, make("td"), ends, make("td"))),
      make("tbody", {}, ...shown.map((system) => gapRow(metric, system, scale, whole)))));
}

// ---- the table ----

// Whether a system is better than every other, and chance is no excuse.
function standsOut(metric, system) {
  const mine = valueOf(system, metric);
  if (system.kind !== "system" || ours.length < 2 || mine.low === null || metric.direction === "reference") return false;
  return ours.every((other) => {
    const theirs = valueOf(other, metric);
    if (other === system || theirs.value === null) return true;
    if (theirs.low === null) return false;
    return metric.direction === "higher" ? mine.low > theirs.high : mine.high < theirs.low;
  });
}

function valueCell(metric, system) {
  const cell = make("td", { class: `number ${system.kind}` });
  const value = system.values[metric.id];
  if (!value) return cell;
  cell.append(make(standsOut(metric, system) ? "b" : "span", {}, number(metric, value.value)));
  cell.append(make("small", {}, interval(metric, value)));
  return cell;
}

function headlineHead(system) {
  const kind = system.kind === "anchor" ? "anchor" : several(system.n_clips, "clip", "clips");
  const name = make("span", { class: hue(system), title: system.description }, ...nameOf(system));
  return make("th", { scope: "col", class: system.kind }, name, make("small", {}, kind));
}

function headlineRow(metric) {
  const head = rowHead(titleOf(metric), make("small", {}, direction(metric)));
  head.title = `${metric.meaning} ${metric.limits}`;
  return make("tr", { "data-metric": metric.id }, head, ...report.systems.map((system) => valueCell(metric, system)));
}

function showHeadline() {
  $("headline").append(make("thead", {}, make("tr", {}, make("td"), ...report.systems.map(headlineHead))));
  for (const group of groups) {
    const rows = report.metrics.filter((metric) => metric.headline && metric.group === group).map(headlineRow);
    const head = make("tr", {}, make("th", { scope: "rowgroup", colspan: report.systems.length + 1 }, capital(group)));
    if (rows.length) $("headline").append(make("tbody", {}, head, ...rows));
  }
}

// ---- about ----

function asText(facts) {
  const short = (value) => (typeof value === "number" && !Number.isInteger(value) ? +value.toPrecision(4) : value);
  const words = (name) => name.replace(/^n_/, "").replaceAll("_", " ");
  return Object.entries(facts).map(([name, value]) => `${words(name)} ${short(value)}`).join(", ");
}

function showAbout() {
  const rows = report.systems.map((system) => [rowHead(system.name), make("td", {}, system.kind),
    numberCell(String(system.n_clips)), numberCell(duration(system.seconds)),
    make("td", {}, system.description, make("small", {}, asText(system.facts)))]);
  $("origins").append(makeTable("Systems", ["", "Kind", "Clips", "Sound", "What it is"], rows));
  const facts = {
    Reference: asText(report.reference), "Length of every clip": duration(report.clip_seconds),
    "Seed of every random choice": String(report.seed), Versions: asText(report.versions),
    "Time it took": duration(report.seconds),
  };
  $("facts").append(...Object.entries(facts).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

showHead();
report.metrics.filter((metric) => metric.headline && metric.id.startsWith("gap")).forEach(showGap);
showHeadline();
showAbout();
