// Every measure, room by room: what it says, what it cannot tell, and where systems and clips stand.
"use strict";

const clipValues = (measure, system) =>
  system.clips.map((clip) => clip.values[measure.id]?.value ?? null).filter((n) => n !== null);

function scaleFor(measure) {
  const numbers = [...(report.usual[measure.id] ?? [])];
  for (const system of report.systems) {
    const { value = null, low = null, high = null } = system.values[measure.id] ?? {};
    numbers.push(value, low, high, ...clipValues(measure, system));
  }
  return scaleOf(numbers);
}

function strip(measure, system, scale) {
  const { value = null, low = null, high = null } = system.values[measure.id] ?? {};
  const shapes = [];
  const usual = report.usual[measure.id];
  if (usual) {
    const [from, middle, to] = usual.map(scale);
    shapes.push(draw("rect", { x: percent(from), width: percent(Math.max(to - from, 0.3)), y: 0, height: 28, class: "usual" }));
    shapes.push(draw("line", { x1: percent(middle), x2: percent(middle), y1: 0, y2: 28, class: "middle" }));
  }
  for (const n of clipValues(measure, system)) {
    shapes.push(draw("circle", { cx: percent(scale(n)), cy: 14, r: 4, class: "dot" }));
  }
  if (low !== null && high !== null) {
    shapes.push(draw("line", { x1: percent(scale(low)), x2: percent(scale(high)), y1: 14, y2: 14, class: "interval" }));
  }
  if (value !== null) {
    const x = percent(scale(value));
    shapes.push(draw("line", { x1: x, x2: x, y1: 4, y2: 24, class: "value" }));
  }
  const label = `${measure.title}, ${system.name}: ${number(measure, value)}`;
  return picture(label, { height: 28, class: `strip ${hue(system)}` }, ...shapes);
}

function measureRow(measure, system, scale) {
  const name = make("th", { scope: "row", class: hue(system) }, make("span", { class: "swatch" }), system.name);
  return make("tr", { class: system.kind }, name, cell(measure, system),
    make("td", { class: "track" }, strip(measure, system, scale)));
}

function showMeasure(measure) {
  const shown = report.systems.filter(
    (system) => (system.values[measure.id]?.value ?? null) !== null || clipValues(measure, system).length);
  if (!shown.length) return [];
  const scale = scaleFor(measure);
  const { least, most } = scale;
  const ends = make("td", { class: "ends" }, ...(least < most
    ? [make("span", {}, number(measure, least)), make("span", { class: "most" }, number(measure, most))] : []));
  return [make("article", { "data-measure": measure.id },
    make("h4", {}, titleOf(measure), " ", make("small", {}, direction(measure))),
    make("p", {}, measure.meaning),
    make("p", { class: "soft" }, make("b", {}, "What it cannot tell: "), measure.blind),
    make("table", { class: "strips" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col", class: "unseen" }, "System"),
        make("th", { scope: "col", class: "unseen" }, "Value"), ends)),
      make("tbody", {}, ...shown.map((system) => measureRow(measure, system, scale)))))];
}

function showRoom(room) {
  const shown = report.measures.filter((measure) => measure.room === room).flatMap(showMeasure);
  if (!shown.length) return [];
    const names = shown.map((article) => measures.get(article.dataset.measure).title).join(", ");
  return [make("details", { class: "room" },
    make("summary", {}, make("h3", {}, capital(room)), " ", make("span", { class: "soft" }, names)), ...shown)];
}

$("rooms").append(...rooms.flatMap(showRoom));
$("usual").hidden = !$("rooms").children.length;
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
