// What the report's scripts share; then the head, how far each system has come, the table of the main measures, and
// what the evaluation depended on.
"use strict";

const report = data;
const measures = new Map(report.measures.map((measure) => [measure.id, measure]));
const rooms = [...new Set(report.measures.map((measure) => measure.room))];
const real = report.systems.find((system) => system.name === "real"); // what is usual
const ours = report.systems.filter((system) => system.kind === "system");
const valueOf = (system, measure) => system.values[measure.id] ?? { value: null, low: null, high: null };

// What shows a system has its colour: systems take turns in eight, anchors are grey, real recordings have their own.
const hue = (system) =>
  system === real ? "real" : system.kind === "anchor" ? "anchor" : `hue-${ours.indexOf(system) % 8}`;
const nameOf = (system) => [make("span", { class: "swatch" }), system.name];

// ---- numbers as text ----

const titleOf = (measure) => capital(measure.title);
const plain = (measure, number) => number.toFixed(measure.digits).replace(/^-(0\.?0*)$/, "$1"); // no -0.0
const number = (measure, value) => value === null ? "–" : plain(measure, value) + (measure.unit && ` ${measure.unit}`);

function range(measure, low, high) {
  const [from, to] = [plain(measure, low), plain(measure, high)];
  return from === to ? from : `${from} to ${to}`;
}

function interval(measure, { value, low, high }) {
  if (value === null || low === null || high === null) return "";
  const text = range(measure, low, high);
  return text === plain(measure, value) ? "" : text; // which says no more
}

const direction = (measure) =>
  ({ higher: "higher is better", lower: "lower is better", reference: "as real is best" })[measure.better];

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

function gapRow(measure, system, scale, whole) {
  const value = valueOf(system, measure);
  const said = number(measure, value.value);
  return make("tr", { class: hue(system) }, rowHead(...nameOf(system)),
    make("td", { class: "track" }, drawWay(`${system.name}: ${said}`, scale, [0, whole], value)),
    make("td", { class: "number" }, make("b", {}, said), make("small", {}, interval(measure, value))));
}

function showGap(measure) {
  const shown = ours.filter((system) => valueOf(system, measure).value !== null);
  if (!shown.length) return;
  const whole = measure.unit === "%" ? 100 : 1;
  const numbers = shown.flatMap((system) => Object.values(valueOf(system, measure)));
  const scale = scaleOf([0, whole, ...numbers]);
  const ends = make("td", { class: "ends" }, makeTicks([[scale(0), "classic"], [scale(whole), "real"]]));
  $("gaps").append(
    make("h3", {}, titleOf(measure)),
    make("p", { class: "soft" }, measure.meaning),
    make("table", { class: "gap" },
      make("thead", { "aria-hidden": "true" }, make("tr", {}, make("td"), ends, make("td"))),
      make("tbody", {}, ...shown.map((system) => gapRow(measure, system, scale, whole)))));
}

// ---- the table ----

// Whether a system is better than every other, and chance is no excuse.
function standsOut(measure, system) {
  const mine = valueOf(system, measure);
  if (system.kind !== "system" || ours.length < 2 || mine.low === null || measure.better === "reference") return false;
  return ours.every((other) => {
    const theirs = valueOf(other, measure);
    if (other === system || theirs.value === null) return true;
    if (theirs.low === null) return false;
    return measure.better === "higher" ? mine.low > theirs.high : mine.high < theirs.low;
  });
}

function valueCell(measure, system) {
  const cell = make("td", { class: `number ${system.kind}` });
  const value = system.values[measure.id];
  if (!value) return cell;
  cell.append(make(standsOut(measure, system) ? "b" : "span", {}, number(measure, value.value)));
  cell.append(make("small", {}, interval(measure, value)));
  return cell;
}

function headlineHead(system) {
  const kind = system.kind === "anchor" ? "anchor" : several(system.n_clips, "clip", "clips");
  const name = make("span", { class: hue(system), title: system.about }, ...nameOf(system));
  return make("th", { scope: "col", class: system.kind }, name, make("small", {}, kind));
}

function headlineRow(measure) {
  const head = rowHead(titleOf(measure), make("small", {}, direction(measure)));
  head.title = `${measure.meaning} ${measure.blind}`;
  return make("tr", { "data-measure": measure.id }, head, ...report.systems.map((system) => valueCell(measure, system)));
}

function showHeadline() {
  $("headline").append(make("thead", {}, make("tr", {}, make("td"), ...report.systems.map(headlineHead))));
  for (const room of rooms) {
    const rows = report.measures.filter((measure) => measure.headline && measure.room === room).map(headlineRow);
    const head = make("tr", {}, make("th", { scope: "rowgroup", colspan: report.systems.length + 1 }, capital(room)));
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
    make("td", {}, system.about, make("small", {}, asText(system.facts)))]);
  $("origins").append(makeTable("Systems", ["", "Kind", "Clips", "Sound", "What it is"], rows));
  const facts = {
    Reference: asText(report.reference), "Length of every clip": duration(report.clip_seconds),
    "Seed of every random choice": String(report.seed), Versions: asText(report.versions),
    "Time it took": duration(report.seconds),
  };
  $("facts").append(...Object.entries(facts).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

showHead();
report.measures.filter((measure) => measure.headline && measure.id.startsWith("gap")).forEach(showGap);
showHeadline();
showAbout();
