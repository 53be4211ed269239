// Elements from data, and numbers as text. Text is never read as HTML. The scripts share their names.
"use strict";

const report = JSON.parse(document.getElementById("report").textContent);
const measures = new Map(report.measures.map((measure) => [measure.id, measure]));
const real = report.systems.find((system) => system.name === "real"); // what is usual
const ours = report.systems.filter((system) => system.kind === "system");
const rooms = [...new Set(report.measures.map((measure) => measure.room))];
const $ = (id) => document.getElementById(id);
const say = (text) => { $("said").textContent = text; };

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function picture(label, attributes, ...shapes) {
  return draw("svg", { role: "img", "aria-label": label, ...attributes }, ...shapes);
}

function button(attributes, onclick, ...children) {
  const made = make("button", { type: "button", ...attributes }, ...children);
  made.addEventListener("click", onclick);
  return made;
}

// What an element shows of a system has its colour: systems take turns in eight, anchors are grey, real has its own.
const hue = (system) =>
  system === real ? "real" : system.kind === "anchor" ? "anchor" : `hue-${ours.indexOf(system) % 8}`;

// ---- numbers as text ----

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
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
  return text === plain(measure, value) ? "" : text; // which tells no more
}
const direction = (measure) =>
  ({ higher: "higher is better", lower: "lower is better", reference: "as real is best" })[measure.better];

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

function length(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${+seconds.toFixed(1)} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

const several = (n, one, many) => `${n} ${n === 1 ? one : many}`;

// ---- scales ----

// From the least to the most of some numbers and a little more, as a function to percent of a width.
function scaleOf(numbers) {
  const known = numbers.filter((n) => n !== null && n !== undefined);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const scale = (n) => (least === most ? 3 : 3 + (94 * (n - least)) / (most - least));
  return Object.assign(scale, { least, most });
}
const percent = (n) => `${n.toFixed(2)}%`;
