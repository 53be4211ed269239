// Answers, screens and keys.
"use strict";

// ---- answers ----

const unheard = () => clipsOf(item()).filter((clip) => !heard(clip));

function answer(value) {
  if (unheard().length) {
    say(pairs.has(item()) ? "Listen to both first." : "Listen first.");
    return;
  }
  answerTo(item())[pairs.has(item()) ? "preferred" : "rating"] = value;
  keep();
  paintAnswers();
  say(pairs.has(item()) ? `You prefer ${value}.` : `Rated ${value}, ${WORDS[value - 1].toLowerCase()}.`);
}

function makeAnswers() {
  const choices = pairs.has(item())
    ? [["A", "sounds better"], ["B", "sounds better"]]
    : WORDS.map((word, n) => [n + 1, word]);
  $("answers").replaceChildren(...choices.map(([value, word]) => {
    const button = document.createElement("button");
    const [strong, small] = [document.createElement("b"), document.createElement("span")];
    strong.textContent = value;
    small.textContent = word;
    button.append(strong, small);
    button.dataset.value = value;
    button.addEventListener("click", () => answer(value));
    return button;
  }));
  paintAnswers();
}

function paintAnswers() {
  if (!item()) return;
  const { rating, preferred } = answerTo(item());
  $("answers").classList.toggle("unheard", unheard().length > 0);
  for (const button of $("answers").children) {
    button.setAttribute("aria-pressed", String(button.dataset.value === String(rating ?? preferred)));
  }
}

// ---- from screen to screen ----

function go(at) {
  stop();
  state.at = Math.max(0, Math.min(at, state.order.length + 1));
  keep();
  say("");
  show();
}

function show() {
  const section = state.at === 0 ? "intro" : item() ? "trial" : "end";
  for (const id of ["intro", "trial", "end"]) $(id).hidden = id !== section;
  $("progress").value = state.at / (state.order.length + 1);
  for (const id of ["tryout", "players"]) $(id).replaceChildren(); // what is out of sight must not look as if it played
  ({ intro: showIntro, trial: showTrial, end: showEnd })[section]();
  $(section).querySelector("h1").focus({ preventScroll: true });
  scrollTo(0, 0);
}

function showIntro() {
  $("where").textContent = "";
  $("then").hidden = pairs.size === 0;
  $("initials").value = state.initials;
  makePlayers($("tryout"), [state.order[0]]);
}

function showTrial() {
  const isPair = pairs.has(item());
  const number = isPair ? state.at - test.clips.length : state.at;
  $("where").textContent = isPair ? `Pair ${number} of ${pairs.size}` : `Clip ${number} of ${test.clips.length}`;
  $("question").textContent = isPair
    ? "Which of the two sounds better?"
    : "How good does this sound, as a recording of a piano?";
  $("remarks").value = answerTo(item()).remarks ?? "";
  $("keys-clip").hidden = isPair;
  $("keys-pair").hidden = !isPair;
  makePlayers($("players"), clipsOf(item()));
  makeAnswers();
}

function showEnd() {
  const open = state.order.filter((name) => !answered(name));
  $("where").textContent = "End";
  $("thanks").textContent = open.length ? "Almost done" : "Thank you";
  $("sum").textContent = `You answered ${state.order.length - open.length} of ${state.order.length} questions.`
    + (open.length ? " You can go back to those left open:" : "");
  $("open").replaceChildren(...open.map((name) => {
    const button = document.createElement("button");
    const at = state.order.indexOf(name) + 1;
    button.textContent = pairs.has(name) ? `Pair ${at - test.clips.length}` : `Clip ${at}`;
    button.addEventListener("click", () => go(at));
    return button;
  }));
}

function save() {
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

$("begin").addEventListener("click", () => go(1));
$("back").addEventListener("click", () => go(state.at - 1));
$("next").addEventListener("click", () => go(state.at + 1));
$("back-in").addEventListener("click", () => go(state.at - 1));
$("save").addEventListener("click", save);
$("again").addEventListener("click", () => {
  if (!confirm("Forget these answers and start again?")) return;
  state = fresh();
  go(0);
});
$("initials").addEventListener("input", () => { state.initials = $("initials").value.trim(); keep(); });
$("remarks").addEventListener("input", () => {
  const text = $("remarks").value.trim();
  if (text) answerTo(item()).remarks = text;
  else delete answerTo(item()).remarks;
  keep();
});

// A button that was clicked with the mouse gives the focus back, so that Space goes on playing and not clicking it.
document.addEventListener("click", (event) => { if (event.detail) event.target.closest("button")?.blur(); });

// ---- keys ----

function onTrial(key) {
  const isPair = pairs.has(item());
  const [first, second] = clipsOf(item());
  if (isPair && (key === "a" || key === "arrowleft")) answer("A");
  else if (isPair && (key === "b" || key === "arrowright")) answer("B");
  else if (isPair && (key === "1" || key === "2")) play([key === "1" ? first : second]);
  else if (!isPair && "12345".includes(key)) answer(Number(key));
  else return false;
  return true;
}

function onAny(key) {
  if (key === " ") playing ? stop() : play(clipsOf(item() ?? state.order[0]));
  else if (key === "n" || key === "enter") go(state.at + 1);
  else if (key === "p") go(state.at - 1);
  else if (key === "s") save();
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  const on = document.activeElement.tagName;
  if (on === "INPUT" && (event.key === "Enter" || event.key === "Escape")) document.activeElement.blur();
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || on === "INPUT") return;
  if (on === "BUTTON" && (event.key === " " || event.key === "Enter")) return; // the button's own
  const key = event.key.toLowerCase();
  if ((item() && onTrial(key)) || onAny(key)) event.preventDefault();
});

keep();
show();
