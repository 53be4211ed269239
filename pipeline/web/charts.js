// Charts as SVG, each with its words for screen readers.
"use strict";

const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const chart = (label, attributes, ...shapes) => draw("svg", { role: "img", "aria-label": label, ...attributes }, ...shapes);
const vertical = (x, y1, y2, name) => draw("line", { x1: percent(x), x2: percent(x), y1, y2, class: name });
const horizontal = (x1, x2, y, name) => draw("line", { x1: percent(x1), x2: percent(x2), y1: y, y2: y, class: name });

// A function from numbers to percent of a width that shows the least and the most of them and a little more.
function scaleOf(numbers) {
  const known = numbers.filter((n) => n !== null && n !== undefined);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const scale = (n) => (least === most ? 3 : 3 + (94 * (n - least)) / (most - least));
  return Object.assign(scale, { least, most });
}

const isKnown = (value) => value !== null && value !== undefined;
const intervalLine = (scale, { low, high }, y) =>
  isKnown(low) && isKnown(high) ? [horizontal(scale(low), scale(high), y, "interval")] : [];

// Where one value stands between two ends.
function drawWay(label, scale, ends, value) {
  return chart(label, { height: 32, class: "way" },
    horizontal(0, 100, 16, "rail"), ...ends.map((end) => vertical(scale(end), 4, 28, "end")),
    ...intervalLine(scale, value, 16), draw("circle", { cx: percent(scale(value.value)), cy: 16, r: 8, class: "point" }));
}

// Where many numbers stand, a dot each, with a value and its interval, over the band [low, median, high] that is usual.
function drawStrip(label, scale, dots, value, usual) {
  const shapes = [horizontal(0, 100, 14, "rail")];
  if (usual) {
    const [from, middle, to] = usual.map(scale);
    shapes.push(draw("rect", { x: percent(from), width: percent(Math.max(to - from, 0.3)), y: 0, height: 28, class: "usual" }));
    shapes.push(vertical(middle, 0, 28, "middle"));
  }
  shapes.push(...dots.map((n) => draw("circle", { cx: percent(scale(n)), cy: 14, r: 4, class: "dot" })));
  shapes.push(...intervalLine(scale, value, 14));
  if (isKnown(value.value)) shapes.push(vertical(scale(value.value), 4, 24, "value"));
  return chart(label, { height: 28, class: "strip" }, ...shapes);
}

// A histogram: filled shares, and outlined those to compare with, if any. Pointing at a bar says both.
function drawBars(label, labels, shares, outlined, outlinedName) {
  const [height, width] = [120, 100 / shares.length];
  const most = Math.max(...shares, ...(outlined ?? [])) || 1;
  const box = (share, n, name) => draw("rect", {
    x: percent((n + 0.1) * width), width: percent(0.8 * width), y: height - (share / most) * (height - 4),
    height: (share / most) * (height - 4), class: name,
  });
  return chart(label, { height, class: "bars" }, ...shares.map((share, n) => {
    const other = outlined ? `; ${outlinedName} ${shareText(outlined[n])}` : "";
    const whole = draw("rect", { x: percent(n * width), width: percent(width), y: 0, height, class: "bin" });
    return draw("g", {}, draw("title", {}, `${labels[n]}: ${shareText(share)}${other}`), whole, box(share, n, "bar"),
      ...(outlined ? [box(outlined[n], n, "outline")] : []));
  }));
}

const shareText = (share) => `${(100 * share).toFixed(1)} %`;

// At most 13 labels under the bars, evenly spaced.
function binTicks(labels) {
  const n = labels.length;
  const step = n <= 13 ? 1 : [2, 3, 4, 6, 12].find((s) => n / s <= 9) ?? Math.ceil(n / 8);
  return makeTicks(labels.map((text, at) => [(100 * (at + 0.5)) / n, text.replace(" or more", "+")]).filter((_, at) => at % step === 0));
}
