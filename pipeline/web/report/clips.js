// Clips to play and see: of every system the worst, the best, and a table of all.
"use strict";

const strangeness = (clip) => (clip.strangeness === null ? "–" : clip.strangeness.toFixed(2));

function oddity(clip, id) {
  const metric = metrics.get(id);
  const [low, , high] = report.usual[id];
  return make("li", {}, make("b", {}, titleOf(metric)), ` ${number(metric, clip.values[id].value)}`,
    make("small", {}, ` usual ${range(metric, low, high)}`));
}

function oddities(clip) {
  if (!Object.keys(report.usual).length) return [];
  if (!clip.oddities.length) return [make("p", { class: "soft" }, "No metric is outside what is usual.")];
  return [make("ul", { class: "oddities", "aria-label": "Unusual" }, ...clip.oddities.map((id) => oddity(clip, id)))];
}

function clipCard(system, clip) {
  const rank = make("span", { class: `rank ${clip.rank}` }, clip.rank === "worst" ? "strangest" : "least strange");
  const title = make("h4", {}, make("span", { class: "name" }, clip.name), " ", rank, " ",
    make("small", {}, `strangeness ${strangeness(clip)}`));
  const track = makeClip(`${system.name}, ${clip.name}`, clip.sound, clip.annotations, [title], oddities(clip));
  track.renderedGain = 1 / clip.sound.gain;
  return track.card;
}

function clipRow(clip) {
  const track = clip.sound && player.tracks.find((each) => each.id === clip.sound.id);
  const name = track ? makeButton({ class: "quiet" }, () => { showClip(track); player.playFrom(track, 0); }, clip.name) : clip.name;
  const odd = clip.oddities.map((id) => `${titleOf(metrics.get(id))} ${number(metrics.get(id), clip.values[id].value)}`);
  return [rowHead(name), numberCell(strangeness(clip)), numberCell(String(clip.annotations.length)), make("td", {}, odd.join("; ")),
    make("td", { class: "soft" }, clip.source)];
}

function showSystem(system) {
  const cards = system.clips.filter((clip) => clip.sound).map((clip) => clipCard(system, clip));
  const name = `All ${several(system.clips.length, "clip", "clips")} of ${system.name}`;
  const all = make("details", { class: "clips" }, make("summary", {}, name),
    makeTable(name, ["Clip", "Strangeness", "Marks", "Unusual", "From"], system.clips.map(clipRow)));
  return make("section", { class: `system ${hue(system)}` }, make("h3", {}, ...nameOf(system)),
    make("p", { class: "soft" }, system.description), make("div", { class: "cards" }, ...cards), all);
}

function setGains() {
  for (const track of player.tracks) track.gain = $("equal").checked ? 1 : track.renderedGain;
  player.setVolume();
}

$("systems").append(...report.systems.filter((system) => system.clips.length).map(showSystem));
$("clips").hidden = !$("systems").children.length;
$("equal").addEventListener("change", setGains);
setGains();
