// Screens: an introduction, a question for each clip and each pair, the end.
"use strict";

const WORDS = ["Bad", "Poor", "Fair", "Good", "Excellent"]; // ITU-T P.800
const isPair = () => pairs.has(item());

// ---- sound ----

function makePlayers(place, clips) {
  place.replaceChildren(...clips.map((clip, n) => makePlayer(clip, clips.length > 1 ? "AB"[n] : "")));
}

function makePlayer(clip, name) {
  const button = makeButton({}, () => (player.isPlaying(track) ? player.pause() : player.playFrom(track, 0)));
  const bar = make("progress", { "aria-label": `Played ${name}`.trim() });
  const row = make("div", { class: "player", "data-clip": clip, "data-name": name }, button, bar);
  const track = player.add({ id: clip, paint() {
    const on = player.isPlaying(track);
    if (track.at > 0 && unheard().includes(clip)) {
      noteHeard(clip);
      paintAnswers();
    }
    row.classList.toggle("playing", on);
    row.classList.toggle("heard", isHeard(clip));
    button.textContent = `${on ? "Stop" : "Play"} ${name}`.trim();
    bar.value = on && track.at ? track.at / track.seconds : 0;
  } });
  track.paint();
  return row;
}

function playAll() {
  const [first, ...others] = player.tracks;
  if (player.playing) player.pause();
  else if (first) player.playFrom(first, 0, ...others);
}

// ---- answers ----

function answer(value) {
  if (unheard().length) {
    say(isPair() ? "Listen to both first." : "Listen first.");
    return;
  }
  answerTo(item())[isPair() ? "preferred" : "rating"] = value;
  keep();
  paintAnswers();
  say(isPair() ? `You prefer ${value}.` : `Rated ${value}, ${WORDS[value - 1].toLowerCase()}.`);
}

function makeAnswers() {
  const choices = isPair() ? [["A", "sounds better"], ["B", "sounds better"]] : WORDS.map((word, n) => [n + 1, word]);
  $("answers").replaceChildren(...choices.map(([value, word]) =>
    makeButton({ "data-value": value }, () => answer(value), make("b", {}, value), make("span", {}, word))));
  paintAnswers();
}

function paintAnswers() {
  const { rating, preferred } = answerTo(item());
  $("answers").classList.toggle("unheard", unheard().length > 0);
  for (const button of $("answers").children) {
    button.setAttribute("aria-pressed", String(button.dataset.value === String(rating ?? preferred)));
  }
}

// ---- from screen to screen ----

function go(at) {
  player.clear(); // first: what plays was heard for the question that is left
  state.at = Math.max(0, Math.min(at, state.order.length + 1));
  keep();
  say("");
  show();
}

function show() {
  const section = state.at === 0 ? "intro" : item() ? "trial" : "end";
  for (const id of ["intro", "trial", "end"]) $(id).hidden = id !== section;
  $("progress").value = state.at / (state.order.length + 1);
  for (const id of ["tryout", "players"]) makePlayers($(id), []);
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
  const number = isPair() ? state.at - test.clips.length : state.at;
  $("where").textContent = isPair() ? `Pair ${number} of ${pairs.size}` : `Clip ${number} of ${test.clips.length}`;
  $("question").textContent = isPair()
    ? "Which of the two sounds better?"
    : "How good does this sound, as a recording of a piano?";
  $("remarks").value = answerTo(item()).remarks ?? "";
  $("shortcuts-clip").hidden = isPair();
  $("shortcuts-pair").hidden = !isPair();
  makeAnswers();
  makePlayers($("players"), clipsOf(item()));
}

function showEnd() {
  const open = state.order.filter((name) => !isAnswered(name));
  $("where").textContent = "End";
  $("thanks").textContent = open.length ? "Almost done" : "Thank you";
  $("sum").textContent = `You answered ${state.order.length - open.length} of ${state.order.length} questions.`
    + (open.length ? " You can go back to those left open:" : "");
  $("open").replaceChildren(...open.map((name) => {
    const at = state.order.indexOf(name) + 1;
    return makeButton({}, () => go(at), pairs.has(name) ? `Pair ${at - test.clips.length}` : `Clip ${at}`);
  }));
}

function startAgain() {
  if (!confirm("Forget these answers and start again?")) return;
  state = fresh();
  go(0);
}

const next = () => go(state.at + 1);
const back = () => go(state.at - 1);
const ON_CLICK = { begin: next, next, back, "back-in": back, save: saveResults, again: startAgain };
for (const [id, command] of Object.entries(ON_CLICK)) $(id).addEventListener("click", command);
$("initials").addEventListener("input", () => { state.initials = $("initials").value.trim(); keep(); });
$("remarks").addEventListener("input", () => noteRemark($("remarks").value.trim()));

// ---- shortcuts ----

const SHORTCUTS = { " ": playAll, n: next, Enter: next, p: back, s: saveResults };
const RATE = Object.fromEntries(WORDS.map((_, n) => [n + 1, () => answer(n + 1)]));
const preferA = () => answer("A");
const preferB = () => answer("B");
const PREFER = {
  a: preferA, ArrowLeft: preferA, b: preferB, ArrowRight: preferB,
  1: () => player.playFrom(player.tracks[0], 0), 2: () => player.playFrom(player.tracks[1], 0),
};

onShortcut((key) => (item() && (isPair() ? PREFER : RATE)[key]) || SHORTCUTS[key]);
keep();
show();
