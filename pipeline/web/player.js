// Sound: one track at a time, from any moment on. A track keeps its place while another plays. A page gives each track
//   id       of the element that holds its FLAC in base64
//   gain     by which it is played louder or softer, 1 if not given
//   paint()  which shows where it is and whether it plays
// and the player keeps `at` and `seconds`. Clips are decoded whole: only so do browsers seek to the sample in FLAC.
"use strict";

const player = {
  tracks: [], // in the order of the page
  current: null, // the track that shortcuts act on
  playing: false, // whether it plays, or will as soon as it is decoded
  queue: [], // the tracks that follow it
  decoded: null, // {track, buffer}: the last that was played
  source: null, // the node that sounds
  began: 0, // when second 0 of the track would have sounded, in the context's time
  attempt: 0, // counts starts and stops: a track that is decoded after the next of them is not played
  frame: 0, // of the animation
  context: null, // made when first needed: browsers allow no sound before a click or a key
  volume: null,

  add(track) {
    this.tracks.push(Object.assign(track, { at: 0 }));
    return track;
  },

  clear() {
    this.pause();
    Object.assign(this, { tracks: [], current: null });
  },

  isPlaying(track) {
    return this.playing && track === this.current;
  },

  choose(track) {
    if (track === this.current) return;
    this.pause();
    const before = this.current;
    this.current = track;
    before?.paint();
    track.paint();
  },

  // Play a track from its place, or from the beginning if it is at its end, and others after it.
  async play(track, ...queue) {
    this.pause();
    this.choose(track);
    if (track.at >= track.seconds - 0.01) track.at = 0;
    this.queue = queue;
    this.playing = true;
    track.paint();
    const attempt = this.attempt;
    try {
      const buffer = await this.decode(track);
      if (attempt === this.attempt) this.start(buffer);
    } catch (error) {
      if (attempt === this.attempt) this.pause();
      say(`This browser cannot play the clip: ${error.message}`);
    }
  },

  async decode(track) {
    if (!this.context) {
      this.context = new AudioContext({ sampleRate: 44100 });
      this.volume = new GainNode(this.context);
      this.volume.connect(this.context.destination);
    }
    this.context.resume();
    if (this.decoded?.track !== track) {
      this.decoded = { track, buffer: await this.context.decodeAudioData(bytesOf($(track.id).textContent).buffer) };
    }
    track.seconds = this.decoded.buffer.duration;
    return this.decoded.buffer;
  },

  start(buffer) {
    this.setVolume();
    this.source = new AudioBufferSourceNode(this.context, { buffer });
    this.source.connect(this.volume);
    this.source.addEventListener("ended", (event) => { if (event.target === this.source) this.end(); });
    this.source.start(0, this.current.at);
    this.began = this.context.currentTime - this.current.at;
    this.follow();
  },

  follow() {
    this.current.at = Math.min(this.context.currentTime - this.began, this.current.seconds);
    this.current.paint();
    this.frame = requestAnimationFrame(() => this.follow());
  },

  end() {
    const [next, ...queue] = this.queue;
    this.current.at = this.current.seconds;
    this.pause();
    if (next) this.playFrom(next, 0, ...queue);
  },

  pause() {
    this.attempt++;
    cancelAnimationFrame(this.frame);
    const { source } = this;
    Object.assign(this, { playing: false, queue: [], source: null });
    source?.disconnect();
    source?.stop();
    this.current?.paint();
  },

  toggle(track) {
    if (this.isPlaying(track)) this.pause();
    else this.play(track);
  },

  seek(track, seconds) {
    this.choose(track);
    track.at = Math.max(0, Math.min(seconds, track.seconds));
    if (this.playing) this.play(track);
    else track.paint();
  },

  playFrom(track, seconds, ...queue) {
    this.pause();
    track.at = Math.max(0, seconds);
    this.play(track, ...queue);
  },

  setVolume() {
    if (this.volume && this.current) this.volume.gain.value = this.current.gain ?? 1;
  },
};

function bytesOf(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
