// What the listener answered and where they are, kept at every change.
"use strict";

const test = data; // {id, clips: [name, ...], pairs: [[name, clip, clip], ...]}
const pairs = new Map(test.pairs.map(([name, a, b]) => [name, [a, b]]));
const STORE = `listening-test-${test.id}`;

function shuffled(names) { // every listener has another order, so that no clip profits from its place
  const order = [...names];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function fresh() {
  const token = [...crypto.getRandomValues(new Uint8Array(8))].map((n) => n.toString(16).padStart(2, "0")).join("");
  return { token, initials: "", at: 0, order: [...shuffled(test.clips), ...shuffled(pairs.keys())], heard: [], answers: {} };
}

function recall() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? fresh();
  } catch {
    return fresh();
  }
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(state));
  } catch {
    $("unkept").hidden = false;
  }
}

let state = recall();
const item = () => state.order[state.at - 1]; // 0 is the introduction, order.length + 1 the end
const clipsOf = (name) => pairs.get(name) ?? [name];
const answerTo = (name) => (state.answers[name] ??= {});
const isAnswered = (name) => "rating" in answerTo(name) || "preferred" in answerTo(name);

// Whether a clip was heard for this question: a clip of a pair counts anew.
const isHeard = (clip) => state.heard.includes(`${item()} ${clip}`);
const unheard = () => clipsOf(item()).filter((clip) => !isHeard(clip));

function noteHeard(clip) {
  state.heard.push(`${item()} ${clip}`);
  keep();
}

function noteRemark(text) {
  if (text) answerTo(item()).remarks = text;
  else delete answerTo(item()).remarks;
  keep();
}

function saveResults() {
  const answers = Object.fromEntries(Object.entries(state.answers).filter(([, given]) => Object.keys(given).length));
  const results = {
    quarterwave: "results", format: 1, test: test.id, listener: state.token, initials: state.initials,
    saved: new Date().toISOString(), answers,
  };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(results, null, 2) + "\n"], { type: "application/json" }));
  const who = state.initials.replace(/[^\p{L}\p{N}]/gu, "");
  link.download = `results-${test.id}-${who ? who + "-" : ""}${state.token.slice(0, 4)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say(`Saved ${link.download} where your browser keeps downloads.`);
}
