// Sound: one clip at a time, from any moment on. A player is a clip's card; it keeps its place while another plays.
// Clips are decoded whole: browsers seek to the sample in that, and not reliably in FLAC.
"use strict";

const LEAD_IN = 0.25; // seconds before a mark, so that what it marks is not lost in the beginning
const players = []; // {card, sound, marks, at (seconds), paint()}, in the order of the page
let current = null; // the player that keys act on
let decoded = null; // {player, buffer}: the last that was played
let source = null; // what sounds; null while nothing does
let began = 0; // when place 0 of it would have sounded, in the context's time
let frame = 0; // the next time it is painted
let turn = 0; // counts starts and stops: what was decoded too late is not played
let context = null; // made when first needed, as browsers allow no sound before a click or a key
let volume = null;

const playing = () => source !== null;

function bytesOf(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function wake() {
  if (!context) {
    context = new AudioContext({ sampleRate: 44100 });
    volume = context.createGain();
    volume.connect(context.destination);
  }
  context.resume();
}

async function decode(player) {
  if (decoded?.player !== player) {
    decoded = { player, buffer: await context.decodeAudioData(bytesOf($(player.sound.id).textContent).buffer) };
  }
  return decoded.buffer;
}

async function play(player) {
  choose(player);
  pause();
  if (player.at >= player.sound.seconds - 0.01) player.at = 0;
  const mine = ++turn;
  wake();
  try {
    const buffer = await decode(player);
    if (mine === turn) start(player, buffer);
  } catch (error) {
    say(`This browser cannot play the clip: ${error.message}`);
  }
}

function start(player, buffer) {
  setVolume();
  const mine = new AudioBufferSourceNode(context, { buffer });
  mine.connect(volume);
  mine.addEventListener("ended", () => {
    if (source !== mine) return; // it was stopped
    player.at = player.sound.seconds;
    pause();
  });
  source = mine;
  source.start(0, player.at);
  began = context.currentTime - player.at;
  follow();
}

function pause() {
  turn++;
  cancelAnimationFrame(frame);
  const ending = source;
  source = null;
  if (ending) {
    ending.disconnect();
    ending.stop();
  }
  current?.paint();
}

function follow() {
  current.at = Math.min(context.currentTime - began, current.sound.seconds);
  current.paint();
  frame = requestAnimationFrame(follow);
}

function choose(player) {
  if (player === current) return;
  const before = current;
  pause();
  current = player;
  before?.paint();
  player.paint();
}

function toggle(player) {
  if (player === current && playing()) pause();
  else play(player);
}

function seek(player, seconds) {
  choose(player);
  player.at = Math.max(0, Math.min(seconds, player.sound.seconds));
  if (playing()) play(player);
  else player.paint();
}

function playFrom(player, seconds) {
  choose(player);
  pause();
  seek(player, seconds);
  play(player);
}

function setVolume() {
  if (volume && current) volume.gain.value = $("equal").checked ? 1 : 1 / current.sound.gain;
}

$("equal").addEventListener("change", setVolume);
