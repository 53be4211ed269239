// Sound: one clip at a time, or two in a row.
"use strict";

const audio = new Audio();
let playing = null;
let queue = [];

function blobOf(name) {
  const binary = atob($(name).textContent);
  return new Blob([Uint8Array.from(binary, (c) => c.charCodeAt(0))], { type: "audio/flac" });
}

function play(names) {
  stop();
  queue = [...names];
  playNext();
}

function playNext() {
  playing = queue.shift() ?? null;
  if (playing) {
    URL.revokeObjectURL(audio.src);
    audio.src = URL.createObjectURL(blobOf(playing));
    audio.play().catch((error) => {
      if (error.name === "AbortError") return; // stopped before it began
      stop();
      say(`This browser cannot play the clip: ${error.message}`);
    });
  }
  paintPlayers();
}

function stop() {
  queue = [];
  playing = null;
  audio.pause();
  paintPlayers();
}

audio.addEventListener("ended", playNext);
audio.addEventListener("timeupdate", () => {
  if (playing && item() && audio.currentTime > 0 && !heard(playing)) {
    state.heard.push(`${item()} ${playing}`);
    keep();
    paintAnswers();
  }
  paintPlayers();
});

function paintPlayers() {
  for (const player of document.querySelectorAll(".player")) {
    const on = player.dataset.clip === playing;
    const [button, bar] = player.children;
    player.classList.toggle("playing", on);
    player.classList.toggle("heard", heard(player.dataset.clip));
    button.textContent = `${on ? "Stop" : "Play"} ${player.dataset.name}`.trim();
    bar.value = on && audio.duration ? audio.currentTime / audio.duration : 0;
  }
}

function makePlayers(place, names) {
  place.replaceChildren(...names.map((clip, n) => {
    const player = document.createElement("div");
    player.className = "player";
    player.dataset.clip = clip;
    player.dataset.name = names.length > 1 ? "AB"[n] : "";
    const button = document.createElement("button");
    button.addEventListener("click", () => (playing === clip ? stop() : play([clip])));
    const bar = document.createElement("progress");
    bar.setAttribute("aria-label", `Played ${player.dataset.name}`.trim());
    player.append(button, bar);
    return player;
  }));
  paintPlayers();
}
