// Every measure, room by room: what it says, what it cannot tell, where systems and clips stand. Then distributions.
"use strict";

const clipValues = (measure, system) =>
  system.clips.map((clip) => clip.values[measure.id]?.value ?? null).filter((n) => n !== null);

function scaleFor(measure) {
  const numbers = report.systems.flatMap((system) =>
    [...Object.values(valueOf(system, measure)), ...clipValues(measure, system)]);
  return scaleOf([...numbers, ...(report.usual[measure.id] ?? [])]);
}

function measureRow(measure, system, scale) {
  const value = valueOf(system, measure);
  const label = `${measure.title}, ${system.name}: ${number(measure, value.value)}`;
  const strip = drawStrip(label, scale, clipValues(measure, system), value, report.usual[measure.id]);
  return make("tr", { class: `${system.kind} ${hue(system)}` }, rowHead(...nameOf(system)), valueCell(measure, system),
    make("td", { class: "track" }, strip));
}

function stripsHead(measure, { least, most }) {
  const unseen = (text) => make("th", { scope: "col", class: "unseen" }, text);
  const ends = least < most ? [make("span", {}, number(measure, least)), make("span", {}, number(measure, most))] : [];
  return make("thead", {}, make("tr", {}, unseen("System"), unseen("Value"), make("td", { class: "ends" }, ...ends)));
}

function showMeasure(measure) {
  const shown = report.systems.filter(
    (system) => valueOf(system, measure).value !== null || clipValues(measure, system).length);
  if (!shown.length) return [];
  const scale = scaleFor(measure);
  return [make("article", { "data-measure": measure.id },
    make("h4", {}, titleOf(measure), " ", make("small", {}, direction(measure))),
    make("p", {}, measure.meaning),
    make("p", { class: "soft" }, make("b", {}, "What it cannot tell: "), measure.blind),
    make("table", { class: "strips" }, stripsHead(measure, scale),
      make("tbody", {}, ...shown.map((system) => measureRow(measure, system, scale)))))];
}

function showRoom(room) {
  const shown = report.measures.filter((measure) => measure.room === room).flatMap(showMeasure);
  if (!shown.length) return [];
  const names = shown.map((article) => measures.get(article.dataset.measure).title).join(" · ");
  return [make("details", { class: "room" },
    make("summary", {}, make("h3", {}, capital(room)), " ", make("span", { class: "soft" }, names)), ...shown)];
}

// ---- distributions, each system's against that of real recordings ----

const histogramOf = (system, id) => system.histograms.find((histogram) => histogram.id === id);

function plot(system, { title, labels, shares }, usual) {
  const label = `${capital(title)}, ${system.name}`;
  return make("figure", { class: hue(system) }, make("figcaption", {}, ...nameOf(system)),
    drawBars(label, labels, shares, usual?.shares, "real"), binTicks(labels));
}

function histogramTable(id, shown) {
  const { title, axis, labels } = histogramOf(shown[0], id);
  const rows = labels.map((label, n) =>
    [rowHead(label), ...shown.map((system) => numberCell(shareText(histogramOf(system, id).shares[n])))]);
  return make("details", { class: "numbers" }, make("summary", {}, "Numbers"),
    makeTable(capital(title), [axis, ...shown.map((system) => system.name)], rows));
}

function showHistogram(id) {
  const shown = report.systems.filter((system) => histogramOf(system, id));
  const { title, axis } = histogramOf(shown[0], id);
  const usual = real && histogramOf(real, id);
  const plots = shown.filter((system) => system !== real || shown.length === 1)
    .map((system) => plot(system, histogramOf(system, id), usual));
  return [make("h3", {}, capital(title)), make("p", { class: "soft" }, capital(axis)),
    make("div", { class: "plots" }, ...plots), histogramTable(id, shown)];
}

const histogramIds = [...new Set(report.systems.flatMap((system) => system.histograms.map(({ id }) => id)))];
$("histograms").append(...histogramIds.flatMap(showHistogram));
$("plots").hidden = !histogramIds.length;
$("rooms").append(...rooms.flatMap(showRoom));
$("usual").hidden = !$("rooms").children.length;
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
