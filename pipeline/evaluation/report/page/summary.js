// The head, how far each system has come, and the table of the main measures.
"use strict";

function showHead() {
  $("title").textContent = report.title;
  const anchors = report.systems.length - ours.length;
  $("counts").textContent =
    `${several(ours.length, "system", "systems")} and ${several(anchors, "anchor", "anchors")}, `
    + `clips of ${length(report.clip_seconds)}.`;
}

// ---- the way from classic to real ----

const isGap = (measure) => measure.headline && measure.id.startsWith("gap");
const share = (measure, n) => (n === null ? null : measure.unit === "%" ? n / 100 : n);

function gapRow(measure, system, scale) {
  const found = system.values[measure.id];
  const [value, low, high] = [found.value, found.low, found.high].map((n) => share(measure, n));
  const said = number(measure, found.value);
  const shapes = [draw("line", { x1: "0", x2: "100%", y1: 16, y2: 16, class: "rail" })];
  for (const end of [0, 1]) {
    shapes.push(draw("line", { x1: percent(scale(end)), x2: percent(scale(end)), y1: 4, y2: 28, class: "end" }));
  }
  if (low !== null && high !== null) {
    shapes.push(draw("line", { x1: percent(scale(low)), x2: percent(scale(high)), y1: 16, y2: 16, class: "interval" }));
  }
  shapes.push(draw("circle", { cx: percent(scale(value)), cy: 16, r: 8, class: "point" }));
  const name = make("th", { scope: "row", class: hue(system) }, make("span", { class: "swatch" }), system.name);
  const text = make("td", { class: "number" }, make("b", {}, said), make("small", {}, interval(measure, found)));
  const way = picture(`${system.name}: ${said}`, { height: 32, class: `way ${hue(system)}` }, ...shapes);
  return make("tr", {}, name, make("td", { class: "track" }, way), text);
}

function showGap(measure) {
  const shown = ours.filter((system) => (system.values[measure.id]?.value ?? null) !== null);
  if (!shown.length) return;
  const numbers = shown.flatMap((system) => ["value", "low", "high"].map((part) => system.values[measure.id][part]));
  const scale = scaleOf([0, 1, ...numbers.map((n) => share(measure, n))]);
  const end = (at, text, side) => {
    const label = make("span", { class: side }, text);
    label.style.left = percent(scale(at));
    return label;
  };
  const ends = make("td", { class: "ends" }, end(0, "classic", "from"), end(1, "real", "to"));
  $("gaps").append(
    make("h3", {}, titleOf(measure)),
    make("p", { class: "soft" }, measure.meaning),
    make("table", { class: "gap" },
      make("thead", { "aria-hidden": "true" }, make("tr", {}, make("td"), ends, make("td"))),
      make("tbody", {}, ...shown.map((system) => gapRow(measure, system, scale)))),
  );
}

// ---- the table ----

// Whether a system is better than every other, and chance is no excuse.
function stands(measure, system) {
  const mine = system.values[measure.id];
  if (system.kind !== "system" || ours.length < 2 || !mine || mine.low === null || measure.better === "reference") return false;
  return ours.every((other) => {
    const theirs = other.values[measure.id];
    if (other === system || !theirs || theirs.value === null) return true;
    if (theirs.low === null) return false;
    return measure.better === "higher" ? mine.low > theirs.high : mine.high < theirs.low;
  });
}

function cell(measure, system) {
  const value = system.values[measure.id];
  const made = make("td", { class: `number ${system.kind}` });
  if (!value) return made;
  made.append(make(stands(measure, system) ? "b" : "span", {}, number(measure, value.value)));
  made.append(make("small", {}, interval(measure, value)));
  return made;
}

function headCell(system) {
  const name = make("span", { class: hue(system), title: system.about }, make("span", { class: "swatch" }), system.name);
  const kind = make("small", {}, system.kind === "anchor" ? "anchor" : several(system.n_clips, "clip", "clips"));
  return make("th", { scope: "col", class: system.kind }, name, kind);
}

function headlineRow(measure) {
  return make("tr", { "data-measure": measure.id },
    make("th", { scope: "row", title: `${measure.meaning} ${measure.blind}` }, titleOf(measure), make("small", {}, direction(measure))),
    ...report.systems.map((system) => cell(measure, system)));
}

function showHeadline() {
  $("headline").append(make("thead", {}, make("tr", {}, make("td"), ...report.systems.map(headCell))));
  for (const room of rooms) {
    const rows = report.measures.filter((measure) => measure.headline && measure.room === room).map(headlineRow);
    const head = make("tr", {}, make("th", { scope: "rowgroup", colspan: report.systems.length + 1 }, capital(room)));
    if (rows.length) $("headline").append(make("tbody", {}, head, ...rows));
  }
}

function showNotes() {
  $("notes").replaceChildren(...report.notes.map((note) => make("li", {}, note)));
  $("notes").hidden = report.notes.length === 0;
}

showHead();
for (const measure of report.measures) if (isGap(measure)) showGap(measure);
showHeadline();
showNotes();
