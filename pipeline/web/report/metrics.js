// Every metric, group by group: what it says, what it cannot tell, where systems and clips stand. Then distributions.
"use strict";

const clipValues = (metric, system) =>
  system.clips.map((clip) => clip.values[metric.id]?.value ?? null).filter((n) => n !== null);

function scaleFor(metric) {
  const numbers = report.systems.flatMap((system) =>
    [...Object.values(valueOf(system, metric)), ...clipValues(metric, system)]);
  return scaleOf([...numbers, ...(report.usual[metric.id] ?? [])]);
}

function metricRow(metric, system, scale) {
  const value = valueOf(system, metric);
  const label = `${metric.name}, ${system.name}: ${number(metric, value.value)}`;
  const strip = drawStrip(label, scale, clipValues(metric, system), value, report.usual[metric.id]);
  return make("tr", { class: `${system.kind} ${hue(system)}` }, rowHead(...nameOf(system)), valueCell(metric, system),
    make("td", { class: "track" }, strip));
}

function stripsHead(metric, { least, most }) {
  const unseen = (text) => make("th", { scope: "col", class: "unseen" }, text);
  const ends = least < most ? [make("span", {}, number(metric, least)), make("span", {}, number(metric, most))] : [];
  return make("thead", {}, make("tr", {}, unseen("System"), unseen("Value"), make("td", { class: "ends" }, ...ends)));
}

function showMetric(metric) {
  const shown = report.systems.filter(
    (system) => valueOf(system, metric).value !== null || clipValues(metric, system).length);
  if (!shown.length) return [];
  const scale = scaleFor(metric);
  return [make("article", { "data-metric": metric.id },
    make("h4", {}, titleOf(metric), " ", make("small", {}, direction(metric))),
    make("p", {}, metric.meaning),
    make("p", { class: "soft" }, make("b", {}, "What it cannot tell: "), metric.limits),
    make("table", { class: "strips" }, stripsHead(metric, scale),
      make("tbody", {}, ...shown.map((system) => metricRow(metric, system, scale)))))];
}

function showGroup(group) {
  const shown = report.metrics.filter((metric) => metric.group === group).flatMap(showMetric);
  if (!shown.length) return [];
  const names = shown.map((article) => metrics.get(article.dataset.metric).name).join(" · ");
  return [make("details", { class: "group" },
    make("summary", {}, make("h3", {}, capital(group)), " ", make("span", { class: "soft" }, names)), ...shown)];
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
$("groups").append(...groups.flatMap(showGroup));
$("usual").hidden = !$("groups").children.length;
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
