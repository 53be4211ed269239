"""Training examples of the transcriber: music whose notes are known, on several pianos, in many rooms.

An example is one performance, or two minutes of it: spectrograms and notes, kept as two files
`NAME.views.npy`, float16 (n_frames, SHORT_PER_FRAME + 1, N_BINS), the long view last, and `NAME.notes.npy`, float64
(n_notes, 4): onset, offset, pitch, velocity.
"""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from scipy import signal

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.audio.loudness import LoudnessMeter
from waveforms.notes import Note, Notes, PedalSpan, Performance
from waveforms.notes.midi import find_midi_files, read_midi
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH
from waveforms.notes.spectrogram import FRAME_SAMPLES, PADDING, SHORT_PER_FRAME, to_spectrograms
from waveforms.notes.transcriber import LOUDNESS
from waveforms.piano.hammer import TOUCH_VELOCITIES
from waveforms.piano.performer import perform
from waveforms.piano.pieces import first_pieces
from waveforms.piano.render import render
from waveforms.piano.steinway import N_LONGEST, Steinway

HELD_OUT = (
    *("johnson_lift", "handel_lascia", "dichterliebe_2", "bwv244_54", "maple_leaf_rag"),
    *("chopin_etudes_op10", "scarlatti_keyboard_sonata_in_f_minor", "debussy_suite_bergamasque_xakeiyjjtkk_cut_no_4"),
)
N_PIECES, N_BASE = 400, 35  # pieces of the demo corpus; the base repertoire, which is varied, is played twice
CHORALES = 4  # every fourth of the rest, chorales by Bach, is played
N_TAKES, TAKE_SECONDS = 2, 120.0  # excerpts of each performance, each on another piano
N_RANDOM, RANDOM_SECONDS = 24, 60.0
HELD_OUT_SECONDS = 60.0
TEMPOS = (0.85, 1.2)  # times as fast
CENTS = 15.0  # the most that a piano is out of tune
DECAY = (0.2, 2.2)  # seconds in which the room falls by 60 dB
WET = (-28.0, -6.0)  # dB, energy of the room against the direct sound


class SampledPiano(Steinway):
    """Another piano: a folder with a recording of each key at each of TOUCH_VELOCITIES, called 060-070.flac."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._notes: dict[int, Waveform] = {}

    def note(self, pitch: int) -> Waveform:
        """See `Steinway.note`; all touches have one level, because `render` gives each its own."""
        if pitch not in self._notes:
            touches = np.zeros((len(TOUCH_VELOCITIES), N_LONGEST), np.float32)
            for touch, velocity in zip(touches, TOUCH_VELOCITIES, strict=True):
                recorded, _ = soundfile.read(self.folder / f"{pitch:03d}-{velocity:03.0f}.flac", dtype="float32")
                start = int(np.argmax(np.abs(recorded) > 0.01 * np.abs(recorded).max()))
                recorded = recorded[max(0, start - 16) :][:N_LONGEST]
                level = np.sqrt(np.mean(recorded[: SAMPLE_RATE // 2] ** 2)) + 1e-9
                touch[: len(recorded)] = recorded * (0.1 * _evenness(pitch) / level)
            self._notes[pitch] = touches
        return self._notes[pitch]


def held_out(name: str) -> bool:
    """Report whether this work is held out, in every key and on every piano."""
    return any(part in name for part in HELD_OUT)


def make_examples(folder: Path, midi: Path | None, pianos: Sequence[Path]) -> None:
    """Render all examples; existing ones stay."""
    folder.mkdir(parents=True, exist_ok=True)
    instruments = {"steinway": Steinway()} | {path.name: SampledPiano(path) for path in pianos}
    planned = list(_performances(midi, list(instruments)))
    _rng("order").shuffle(planned)  # so that the examples made so far are a fair sample
    for number, (piano, performance) in enumerate(planned, start=1):
        name = f"{performance.name}@{piano}"
        if not (folder / f"{name}.notes.npy").exists():
            _keep(folder / name, *_example(performance, instruments[piano], _rng(name)))
        print(f"\r{number} of {len(planned)} examples", end="", flush=True)
    print()


def held_out_performances(midi: Path | None) -> Iterator[Performance]:
    """Yield at most a minute of each held-out work."""
    for piece in first_pieces(N_BASE):
        if held_out(piece.name):
            yield perform(piece.score, piece.work.style, name=piece.name)
    for path in find_midi_files(midi)[0] if midi else ():
        if held_out(path.stem):
            performance = read_midi(path).beginning_within(0.5)
            notes = tuple(note for note in performance.notes if note.onset < HELD_OUT_SECONDS)
            yield replace(
                performance, notes=notes, pedal=tuple(p for p in performance.pedal if p.start < HELD_OUT_SECONDS)
            )


def views_of(waveform: Waveform) -> NDArray[np.float16]:
    """Compute the spectrograms of a waveform at LOUDNESS: (n_frames, SHORT_PER_FRAME + 1, N_BINS)."""
    meter = LoudnessMeter()
    meter.add(waveform)
    n_frames = len(waveform) // FRAME_SAMPLES
    padded = np.pad(waveform[: n_frames * FRAME_SAMPLES] * 10 ** ((LOUDNESS - meter.integrated()) / 20), PADDING)
    parts = []
    for first in range(0, n_frames, 1000):
        part = padded[first * FRAME_SAMPLES : (first + 1000) * FRAME_SAMPLES + 2 * PADDING]
        short, long = to_spectrograms(torch.from_numpy(part.astype(np.float32)))
        both = torch.cat((short.reshape(-1, SHORT_PER_FRAME, short.shape[-1]), long[:, None]), dim=1)
        parts.append(both.numpy().astype(np.float16))
    return np.concatenate(parts)


def _evenness(pitch: int) -> float:
    """Return a key's level: bass and treble are softer than the middle, as on the instrument."""
    return float(1 - 0.6 * ((pitch - 60) / 48) ** 2)


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _keep(path: Path, views: NDArray[np.float16], notes: Notes) -> None:
    np.save(f"{path}.views.npy", views)
    np.save(f"{path}.notes.npy", notes.table)


def _performances(midi: Path | None, pianos: Sequence[str]) -> Iterator[tuple[str, Performance]]:
    """Yield each performance with the piano that plays it."""
    next_piano = cycle(pianos)
    for index, piece in enumerate(first_pieces(N_PIECES)):
        if not held_out(piece.name) and (index < N_BASE or index % CHORALES == 0):
            for seed in range(1 + (index < N_BASE)):
                yield next(next_piano), perform(piece.score, piece.work.style, name=piece.name, seed=seed)
    for path in find_midi_files(midi)[0] if midi else ():
        if not held_out(path.stem):
            performance = read_midi(path)
            takes = [_take(performance, take) for take in range(N_TAKES)]
            yield from ((next(next_piano), take) for take in takes if take.notes)
    for index in range(N_RANDOM):
        yield next(next_piano), _random_performance(f"random_{index}")


def _take(performance: Performance, take: int) -> Performance:
    """Cut one excerpt from a performance; the takes are spread evenly over it."""
    spare = max(0.0, performance.seconds - TAKE_SECONDS)
    start = max(0.0, spare * take / (N_TAKES - 1) - 0.5)
    notes = [replace(n, onset=n.onset - start) for n in performance.notes if start <= n.onset < start + TAKE_SECONDS]
    end = max((note.release for note in notes), default=0.0) + 1.0
    pedal = [PedalSpan(max(p.start - start, 0.0), min(p.end - start, end)) for p in performance.pedal]
    return Performance(f"{performance.name}_{take}", tuple(notes), tuple(p for p in pedal if p.start < p.end))


def _random_performance(name: str) -> Performance:
    """Sample keys, chords and trills: every key equally often, every velocity, with and without pedal."""
    rng = _rng(name)
    notes, pedal, now = [], [], 0.5
    pause = rng.uniform(0.05, 0.6)
    while now < RANDOM_SECONDS:
        velocity = rng.integers(8, 124)
        for pitch in rng.integers(LOWEST_PITCH, HIGHEST_PITCH + 1, rng.integers(1, 5)):
            touch = int(np.clip(velocity + rng.integers(-15, 16), 4, 127))
            notes.append(Note(now + rng.uniform(0, 0.02), rng.exponential(0.5) + 0.05, int(pitch), touch))
        if rng.random() < 0.3:
            for _ in range(rng.integers(1, 6)):  # a trill on the last key
                now += rng.uniform(0.07, 0.2)
                notes.append(replace(notes[-1], onset=now, duration=0.05, velocity=int(rng.integers(30, 110))))
        now += rng.exponential(pause) + 0.03
    if rng.random() < 0.6:
        changes = np.cumsum(rng.exponential(1.5, 60) + 0.2)
        changes = changes[changes < RANDOM_SECONDS]
        pedal = [PedalSpan(float(a) + 0.1, float(b)) for a, b in pairwise(changes)]
    return Performance(name, tuple(sorted(notes)), tuple(pedal))


def _example(performance: Performance, piano: Steinway, rng: np.random.Generator) -> tuple[NDArray[np.float16], Notes]:
    """Render a performance at some tempo and tuning, in a room, and through a codec."""
    tempo = rng.uniform(*TEMPOS)
    played = Performance(
        performance.name,
        tuple(replace(n, onset=n.onset / tempo, duration=n.duration / tempo) for n in performance.notes),
        tuple(PedalSpan(p.start / tempo, p.end / tempo) for p in performance.pedal),
    )
    waveform = render(played, piano)
    notes = Notes.of_performance(played)
    slower = 2 ** (rng.uniform(-CENTS, CENTS) / 1200)
    waveform = soxr.resample(waveform, SAMPLE_RATE, SAMPLE_RATE * slower)
    notes = Notes(notes.onsets * slower, notes.offsets * slower, notes.pitches, notes.velocities)
    if rng.random() < 0.7:
        waveform = _in_a_room(waveform, rng)
    if rng.random() < 0.3:
        waveform = _through_a_codec(waveform, rng)
    return views_of(waveform), notes


def _in_a_room(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Add reverberation: decaying noise, darker than the sound itself."""
    decay = rng.uniform(*DECAY)
    time = np.arange(round(decay * SAMPLE_RATE)) / SAMPLE_RATE
    noise = rng.standard_normal(len(time)) * np.exp(-np.log(1000) * time / decay)
    noise[: round(rng.uniform(0, 0.03) * SAMPLE_RATE)] = 0
    sos = signal.butter(1, rng.uniform(1500, 8000), "lowpass", fs=SAMPLE_RATE, output="sos")
    noise = signal.sosfilt(sos, noise)
    response = noise * np.sqrt(10 ** (rng.uniform(*WET) / 10) / np.sum(noise**2))
    response[0] += 1
    wet: Waveform = signal.oaconvolve(waveform, response.astype(np.float32))[: len(waveform)]
    return wet


def _through_a_codec(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Write MP3 or Ogg Vorbis of some quality, and read it again."""
    container, subtype = [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")][rng.integers(2)]
    file = io.BytesIO()
    sound = np.clip(waveform, -1, 1)
    level = float(rng.uniform(0.2, 0.9))
    with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, subtype, format=container, compression_level=level) as writer:
        for first in range(0, len(sound), SAMPLE_RATE):  # libsndfile's Vorbis overruns its stack on long pieces
            writer.write(sound[first : first + SAMPLE_RATE])
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.pad(decoded, (0, max(0, len(sound) - len(decoded))))[: len(sound)]
