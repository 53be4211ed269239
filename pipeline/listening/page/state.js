// What the listener answered and where they are, kept at every change. The three scripts share their names.
"use strict";
const test = JSON.parse(document.getElementById("test").textContent);
const pairs = new Map(test.pairs.map(([name, a, b]) => [name, [a, b]]));
const WORDS = ["Bad", "Poor", "Fair", "Good", "Excellent"]; // ITU-T P.800
const STORE = `listening-test-${test.id}`;
const $ = (id) => document.getElementById(id);

function shuffled(names) { // each listener in an order of their own, so that no clip profits from its place
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
const heard = (clip) => state.heard.includes(`${item()} ${clip}`); // here: a clip of a pair is heard anew
const answerTo = (name) => (state.answers[name] ??= {});
const answered = (name) => "rating" in answerTo(name) || "preferred" in answerTo(name);
const say = (text) => { $("said").textContent = text; };
