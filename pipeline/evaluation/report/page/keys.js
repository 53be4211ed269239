// Keys, and what an evaluation depended on.
"use strict";

function show(player) {
  player.card.focus({ preventScroll: true });
  player.card.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion)").matches ? "auto" : "smooth" });
}

function step(by) {
  const at = current ? players.indexOf(current) + by : 0;
  const next = players[Math.max(0, Math.min(at, players.length - 1))];
  show(next);
  play(next);
}

function nextMark(player) {
  const next = player.marks.find((mark) => mark.start - LEAD_IN > player.at + 0.05) ?? player.marks[0];
  if (next) playFrom(player, next.start - LEAD_IN);
}

const COMMANDS = {
  " ": (player) => toggle(player),
  ArrowLeft: (player) => seek(player, player.at - 1),
  ArrowRight: (player) => seek(player, player.at + 1),
  n: () => step(1),
  p: () => step(-1),
  m: (player) => nextMark(player),
};

addEventListener("keydown", (event) => {
  const on = document.activeElement;
  if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || !players.length) return;
  if (event.key === " " && on.matches("button, summary, a, input:not([type=range])")) return; // the element's own
  if (event.key.startsWith("Arrow") && on.matches(".wide")) return; // it scrolls
  const command = COMMANDS[event.key];
  if (!command || (event.repeat && event.key.length === 1)) return;
  const card = on.closest(".clip");
  command(players.find((player) => player.card === card) ?? current ?? players[0]);
  event.preventDefault();
});

// A button that was clicked with the mouse gives the focus back, so that Space goes on playing and not clicking it.
addEventListener("click", (event) => {
  if (event.detail > 0) event.target.closest?.("button, input[type=checkbox]")?.blur();
});

// ---- about ----

function fact(term, text) {
  return [make("dt", {}, term), make("dd", {}, text)];
}

function told(data) {
  const short = (value) => (typeof value === "number" && !Number.isInteger(value) ? +value.toPrecision(4) : value);
  const words = (name) => name.replace(/^n_/, "").replaceAll("_", " ");
  return Object.entries(data).map(([name, value]) => `${words(name)} ${short(value)}`).join(", ");
}

function showAbout() {
  const head = ["", "Kind", "Clips", "Sound", "What it is"].map((text) => make("th", { scope: "col" }, text));
  const rows = report.systems.map((system) => make("tr", {}, make("th", { scope: "row" }, system.name), make("td", {}, system.kind),
    make("td", { class: "number" }, String(system.n_clips)), make("td", { class: "number" }, length(system.seconds)),
    make("td", {}, system.about, make("small", {}, told(system.facts)))));
  $("origins").append(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  $("facts").append(...fact("Reference", told(report.reference)), ...fact("Length of every clip", length(report.clip_seconds)),
    ...fact("Seed of every random choice", String(report.seed)), ...fact("Versions", told(report.versions)),
    ...fact("Time it took", length(report.seconds)));
}

showAbout();
