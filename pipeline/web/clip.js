// A clip as a card: play button, waveform, spectrogram, marks, and a slider over them. Needs player.js and charts.js.
"use strict";

const MOST_MARKS = 60; // listed and drawn; noise may have thousands
const LEAD_IN = 0.25; // seconds before a mark, so that what it marks is not lost in the beginning
const markKinds = []; // in the order in which they appear, which gives each its colour

function markColour({ kind }) {
  if (!markKinds.includes(kind)) markKinds.push(kind);
  return `mark-${markKinds.indexOf(kind) % 5}`;
}

function drawWaveform(outline) {
  const values = new Int8Array(bytesOf(outline).buffer); // lowest and highest of each column
  const n = values.length / 2;
  const tops = Array.from({ length: n }, (_, i) => `${i},${-Math.max(values[2 * i + 1], values[2 * i] + 2)}`);
  const bottoms = Array.from({ length: n }, (_, i) => `${n - 1 - i},${-values[2 * (n - 1 - i)]}`);
  const shape = draw("path", { d: `M${tops.join("L")}L${bottoms.join("L")}Z` });
  return draw("svg", { class: "wave", viewBox: `0 -128 ${n - 1} 256`, preserveAspectRatio: "none", "aria-hidden": "true" }, shape);
}

function makeSpectrogram(name, picture) {
  const image = make("img", { alt: `Spectrogram of ${name}`, src: `data:image/webp;base64,${picture}` });
  return make("div", { class: "spectrum" }, image, ...[1, 3, 5, 7].map((octave) => { // of nine, from the lowest A on
    const label = make("span", { class: "pitch", "aria-hidden": "true" }, `A${octave}`);
    label.style.bottom = percent((100 * (octave * 24 + 0.5)) / 216); // half a bin above the picture's edge
    return label;
  }));
}

function timeTicks(seconds) {
  const step = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((s) => seconds / s <= 6) ?? 1200;
  return makeTicks(Array.from({ length: Math.floor(seconds / step) + 1 }, (_, n) => [(100 * n * step) / seconds, `${n * step} s`]));
}

function markOverlay(mark, seconds) {
  const overlay = make("span", { class: `mark ${mark.seconds ? "stretch" : "moment"} ${markColour(mark)}` });
  overlay.style.left = percent((100 * mark.start) / seconds);
  overlay.style.width = percent((100 * mark.seconds) / seconds);
  return overlay;
}

const playMark = (track, mark) => player.playFrom(track, mark.start - LEAD_IN);

// Marks of one text in one line: a button for each moment.
function markLine(track, marks) {
  const { text } = marks[0];
  const jumps = marks.map((mark) => makeButton({ "data-start": mark.start, "aria-label": `${text} at ${clock(mark.start)}` },
    () => playMark(track, mark), clock(mark.start)));
  return make("li", {}, make("i", { class: markColour(marks[0]) }),
    make("span", {}, text, marks.length > 1 ? ` × ${marks.length}` : ""), ...jumps);
}

// What is marked once comes first.
function markList(track) {
  const [shown, n] = [track.marks.slice(0, MOST_MARKS), track.marks.length];
  if (!n) return [];
  const texts = [...new Set(shown.map((mark) => mark.text))];
  const groups = texts.map((text) => shown.filter((mark) => mark.text === text)).sort((a, b) => a.length - b.length);
  return [make("ol", { class: "marks", "aria-label": "Marks" }, ...groups.map((group) => markLine(track, group))),
    ...(n > MOST_MARKS ? [make("p", { class: "soft" }, `and ${several(n - MOST_MARKS, "mark", "marks")} more`)] : [])];
}

function makeSlider(track, name) {
  const slider = make("input", {
    type: "range", min: 0, max: track.seconds, step: "any", value: 0, "aria-label": `Place in ${name}`,
  });
  slider.addEventListener("input", () => { const to = slider.valueAsNumber; player.pause(); player.seek(track, to); });
  slider.addEventListener("change", () => player.play(track));
  return slider;
}

// Make a clip's card and its track. sound: {id, seconds, gain, outline, picture}; heading: elements beside the button;
// details: elements between the picture and the list of marks.
function makeClip(name, sound, marks, heading, details) {
  const { id, seconds } = sound;
  const track = player.add({ id, seconds, marks, card: make("article", { class: "clip", "data-sound": id, tabindex: "-1" }) });
  const play = makeButton({ class: "play" }, () => player.toggle(track));
  const [time, head, slider] = [make("span", { class: "time" }), make("span", { class: "head" }), makeSlider(track, name)];
  track.paint = () => {
    const on = player.isPlaying(track);
    play.setAttribute("aria-label", `${on ? "Pause" : "Play"} ${name}`);
    track.card.classList.toggle("playing", on);
    track.card.classList.toggle("current", track === player.current);
    time.textContent = `${clock(track.at)} / ${clock(seconds)}`;
    slider.value = track.at;
    slider.setAttribute("aria-valuetext", clock(track.at));
    head.style.left = percent((100 * track.at) / seconds);
  };
  track.paint();
  const overlays = marks.slice(0, MOST_MARKS).map((mark) => markOverlay(mark, seconds));
  const seen = make("div", { class: "seen" }, drawWaveform(sound.outline), makeSpectrogram(name, sound.picture), ...overlays, head, slider);
  track.card.append(make("div", { class: "controls" }, play, ...heading, time), seen, timeTicks(seconds), ...details, ...markList(track));
  return track;
}

// ---- shortcuts ----

function showClip({ card }) {
  const behavior = matchMedia("(prefers-reduced-motion)").matches ? "auto" : "smooth";
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest", behavior });
}

function stepClip(by) {
  const at = player.current ? player.tracks.indexOf(player.current) + by : 0;
  const next = player.tracks[Math.max(0, Math.min(at, player.tracks.length - 1))];
  showClip(next);
  player.play(next);
}

function nextMark(track) {
  const next = track.marks.find((mark) => mark.start - LEAD_IN > track.at + 0.05) ?? track.marks[0];
  if (next) playMark(track, next);
}

const CLIP_SHORTCUTS = {
  " ": (track) => player.toggle(track),
  ArrowLeft: (track) => player.seek(track, track.at - 1),
  ArrowRight: (track) => player.seek(track, track.at + 1),
  n: () => stepClip(1),
  p: () => stepClip(-1),
  m: nextMark,
};

// The track that a shortcut acts on: the card's that has the focus, or else the last that was played.
function focusedTrack() {
  const card = document.activeElement.closest(".clip");
  return player.tracks.find((track) => track.card === card) ?? player.current ?? player.tracks[0];
}

onShortcut((key) => player.tracks.length && CLIP_SHORTCUTS[key] && (() => CLIP_SHORTCUTS[key](focusedTrack())));
