// Elements from data, and numbers as text. Text is never read as HTML. The scripts of a page share their names.
"use strict";

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const say = (text) => { $("said").textContent = text; }; // screen readers say it, too

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

function makeButton(attributes, onclick, ...children) {
  const button = make("button", { type: "button", ...attributes }, ...children);
  button.addEventListener("click", onclick);
  return button;
}

// A table with a name for screen readers, which scrolls by itself if it is too wide. Heads are texts, rows lists of cells.
function makeTable(name, heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => (text === "" ? make("td") : make("th", { scope: "col" }, text))));
  const body = rows.map((cells) => make("tr", {}, ...cells));
  return make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": name },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

const rowHead = (...children) => make("th", { scope: "row" }, ...children);
const numberCell = (text) => make("td", { class: "number" }, text);

// Labels along an axis: [[share of the width in percent, text], ...]. Charts say the same to screen readers in words.
function makeTicks(labels) {
  return make("div", { class: "ticks", "aria-hidden": "true" }, ...labels.map(([at, text]) => {
    const tick = make("span", {}, text);
    tick.style.left = percent(at);
    return tick;
  }));
}

const percent = (number) => `${number.toFixed(2)}%`;
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const several = (n, one, many) => `${n} ${n === 1 ? one : many}`;

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}
