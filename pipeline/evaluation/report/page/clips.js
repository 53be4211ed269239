// Clips to hear and see: for every system the worst, the best, and a table of all.
"use strict";

const MOST_MARKS = 60; // listed and drawn of a clip; noise may have thousands
const kinds = [...new Set(report.systems.flatMap((s) => s.clips.flatMap((c) => c.marks.map((m) => m.kind))))];
const shade = (mark) => `mark-${kinds.indexOf(mark.kind) % 5}`;

function wave(sound) {
  const values = new Int8Array(bytesOf(sound.outline).buffer);
  const n = values.length / 2;
  const tops = Array.from({ length: n }, (_, i) => `${i},${-Math.max(values[2 * i + 1], values[2 * i] + 2)}`);
  const bottoms = Array.from({ length: n }, (_, i) => `${n - 1 - i},${-values[2 * (n - 1 - i)]}`);
  const shape = draw("path", { d: `M${tops.join("L")}L${bottoms.join("L")}Z` });
  return draw("svg", { class: "wave", viewBox: `0 -128 ${n - 1} 256`, preserveAspectRatio: "none", "aria-hidden": "true" }, shape);
}

function spectrum(clip) {
  const label = `Spectrogram of ${clip.name}`;
  const made = make("div", { class: "spectrum" }, make("img", { alt: label, src: `data:image/webp;base64,${clip.sound.picture}` }));
  for (const octave of [1, 3, 5, 7]) { // of nine, from the lowest A on, half a key above the picture's edge
    const line = make("span", { class: "key", "aria-hidden": "true" }, `A${octave}`);
    line.style.bottom = percent((100 * (octave * 24 + 0.5)) / 216);
    made.append(line);
  }
  return made;
}

function timeline(seconds) {
  const step = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((s) => seconds / s <= 6) ?? 1200;
  const row = make("div", { class: "ticks", "aria-hidden": "true" });
  for (let at = 0; at <= seconds; at += step) {
    const tick = make("span", {}, `${at} s`);
    tick.style.left = percent((100 * at) / seconds);
    row.append(tick);
  }
  return row;
}

function overlay(mark, seconds) {
  const drawn = make("span", { class: `mark ${mark.seconds ? "passage" : "moment"} ${shade(mark)}` });
  drawn.style.left = percent((100 * mark.start) / seconds);
  drawn.style.width = percent((100 * mark.seconds) / seconds);
  return drawn;
}

// Marks of one text in one line: a button for each moment. What is there once comes first.
function markLine(player, marks) {
  const { kind, text } = marks[0];
  const swatch = make("i", { class: shade(marks[0]), title: measures.get(kind)?.title ?? kind });
  const jumps = marks.map((mark) => button({ "data-start": mark.start, "aria-label": `${text} at ${clock(mark.start)}` },
    () => playFrom(player, mark.start - LEAD_IN), clock(mark.start)));
  return make("li", {}, swatch, make("span", {}, text, marks.length > 1 ? ` × ${marks.length}` : ""), ...jumps);
}

function markList(player, marks) {
  if (!marks.length) return [];
  const shown = marks.slice(0, MOST_MARKS);
  const texts = [...new Set(shown.map((mark) => mark.text))];
  const groups = texts.map((text) => shown.filter((mark) => mark.text === text)).sort((a, b) => a.length - b.length);
  const rest = marks.length - shown.length;
  return [make("ol", { class: "marks", "aria-label": "Marks" }, ...groups.map((group) => markLine(player, group))),
    ...(rest > 0 ? [make("p", { class: "soft" }, `and ${several(rest, "mark", "marks")} more`)] : [])];
}

function oddity(clip, id) {
  const measure = measures.get(id);
  const [low, , high] = report.usual[id];
  return make("li", {}, make("b", {}, titleOf(measure)), ` ${number(measure, clip.values[id].value)}`,
    make("small", {}, ` usual ${range(measure, low, high)}`));
}

const strange = (clip) => (clip.strangeness === null ? "–" : clip.strangeness.toFixed(2));

function oddities(clip) {
  if (!Object.keys(report.usual).length) return [];
  if (!clip.oddities.length) return [make("p", { class: "soft" }, "By no measure outside what is usual.")];
  return [make("ul", { class: "oddities", "aria-label": "Unusual" }, ...clip.oddities.map((id) => oddity(clip, id)))];
}

function makePlayer(system, clip) {
  const { sound } = clip;
  const card = make("article", { class: `clip ${hue(system)}`, "data-sound": sound.id, tabindex: "-1" });
  const player = { card, sound, marks: clip.marks, at: 0 };
  const name = `${system.name}, ${clip.name}`;
  const control = button({ class: "play", "aria-label": `Play ${name}` }, () => toggle(player));
  const time = make("span", { class: "time" });
  const head = make("span", { class: "head" });
  const place = make("input", {
    type: "range", min: 0, max: sound.seconds, step: "any", value: 0, "aria-label": `Place in ${name}`,
  });
  place.addEventListener("input", () => { const to = place.valueAsNumber; choose(player); pause(); seek(player, to); });
  place.addEventListener("change", () => play(player));
  player.paint = () => {
    const on = player === current && playing();
    control.setAttribute("aria-label", `${on ? "Pause" : "Play"} ${name}`);
    card.classList.toggle("playing", on);
    card.classList.toggle("current", player === current);
    time.textContent = `${clock(player.at)} / ${clock(sound.seconds)}`;
    place.value = player.at;
    place.setAttribute("aria-valuetext", clock(player.at));
    head.style.left = percent((100 * player.at) / sound.seconds);
  };
  players.push(player);
  const rank = make("span", { class: `rank ${clip.rank}` }, clip.rank === "worst" ? "strangest" : "least strange");
  const title = make("h4", {}, make("span", { class: "name" }, clip.name), " ", rank, " ",
    make("small", {}, `strangeness ${strange(clip)}`));
  const marks = clip.marks.slice(0, MOST_MARKS).map((mark) => overlay(mark, sound.seconds));
  const seen = make("div", { class: "seen" }, wave(sound), spectrum(clip), ...marks, head, place);
  card.append(make("div", { class: "controls" }, control, title, time), seen, timeline(sound.seconds),
    ...oddities(clip), ...markList(player, clip.marks));
  player.paint();
  return card;
}

// ---- all of them ----

function clipRow(clip) {
  const card = clip.sound && players.find((player) => player.sound.id === clip.sound.id);
  const name = card ? button({ class: "quiet" }, () => { show(card); playFrom(card, 0); }, clip.name) : clip.name;
  const odd = clip.oddities.map((id) => `${titleOf(measures.get(id))} ${number(measures.get(id), clip.values[id].value)}`);
  return make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }, strange(clip)),
    make("td", { class: "number" }, String(clip.marks.length)), make("td", {}, odd.join("; ")),
    make("td", { class: "soft" }, clip.source));
}

function allClips(system) {
  const head = ["Clip", "Strangeness", "Marks", "Unusual", "From"].map((text) => make("th", { scope: "col" }, text));
  return make("details", {}, make("summary", {}, `All ${several(system.clips.length, "clip", "clips")} of ${system.name}`),
    make("div", { class: "wide" }, make("table", { class: "clips" }, make("thead", {}, make("tr", {}, ...head)),
      make("tbody", {}, ...system.clips.map(clipRow)))));
}

function showSystem(system) {
  const title = make("h3", { class: hue(system) }, make("span", { class: "swatch" }), system.name);
  const cards = system.clips.filter((clip) => clip.sound).map((clip) => makePlayer(system, clip));
  const about = make("p", { class: "soft" }, system.about);
  return make("section", { class: `system ${system.kind}` }, title, about,
    make("div", { class: "cards" }, ...cards), ...(system.clips.length ? [allClips(system)] : []));
}

$("systems").append(...report.systems.filter((system) => system.clips.length).map(showSystem));
$("clips").hidden = !$("systems").children.length;
