"""Transcribers: a quick one, basic-pitch, and a thorough one, transkun.

44.1 kHz -> 22.05 kHz -> windows of 2 s, of which the middle 1.6 s count -> basic-pitch -> frames -> tracking -> notes
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import soxr
import torch

from pipeline.errors import EvaluationError
from pipeline.evaluation.basic_pitch import HOP, N_SAMPLES, SAMPLE_RATE, BasicPitch, load_basic_pitch
from pipeline.evaluation.embeddings import at_equal_loudness
from pipeline.evaluation.thorough import load_thorough
from pipeline.evaluation.tracking import PIANO, Frames, Thresholds, Tracked, track
from pipeline.evaluation.transcription import Transcription
from waveforms import SAMPLE_RATE as HOUSE_RATE
from waveforms.audio import Waveform
from waveforms.notes.performance import LOWEST_PITCH

DB_PER_VELOCITY = 0.3  # so much louder is a note of the sampled piano for each step of its velocity
MIDDLE_VELOCITY = 64  # of a clip's median note

_N_EDGE = 15  # frames at either end of a window, where the network hears too little around a frame
_N_LAP = _N_EDGE * HOP
_N_STEP = N_SAMPLES - 2 * _N_LAP  # 36164 samples from window to window, as published; frames do not divide it,
_N_KEPT = -(-_N_STEP // HOP)  # so that the last of these 142 frames lies only 69 samples before the next window's first
_N_WINDOWS_PER_BATCH = 8


class Transcriber(Protocol):
    """Hears notes.

    Attributes:
        name: of the network.
    """

    name: str

    def transcribe(self, waveform: Waveform) -> Transcription:
        """Write down a clip's notes.

        Args:
            waveform: mono float32 (n_samples,) at 44.1 kHz.

        Raises:
            EvaluationError: the waveform is empty or not finite.
        """
        ...


def load_transcribers(*, thorough: bool = False) -> dict[str, Transcriber]:
    """Load the quick transcriber, whose weights are fetched the first time, and where asked for the thorough one.

    Returns:
        transcribers by "quick" and "thorough".

    Raises:
        EvaluationError: see `weights.load_weights`; or the thorough one is not installed.
    """
    found: dict[str, Transcriber] = {"thorough": load_thorough()} if thorough else {}  # what may be missing, first
    return {"quick": Quick(load_basic_pitch())} | found


class Quick:
    """Hears notes with basic-pitch: a second a minute, and nearly nine onsets of ten. Deterministic, on the CPU.

    It hears the ends of notes too early, so that fewer sound at once than are played: compare with a reference
    that was heard likewise, not with a score.

    Its velocities are estimated from the power that an onset adds to the three lowest harmonics, relative to the
    clip's median note: their spread within a clip tells something, their mean does not.

    Attributes:
        network: see there.
        thresholds: what counts as a note.
    """

    name = "basic-pitch"

    def __init__(self, network: BasicPitch, thresholds: Thresholds = PIANO) -> None:
        self.network = network
        self.thresholds = thresholds

    def transcribe(self, waveform: Waveform) -> Transcription:
        """See `Transcriber`. Clips are heard at equal loudness: 20 dB less would change a note of 25."""
        if not np.isfinite(waveform).all():
            raise EvaluationError("a waveform must be finite to be transcribed, and this one is not")
        return self.transcribe_stream([at_equal_loudness(waveform)])

    def transcribe_stream(self, pieces: Iterable[Waveform]) -> Transcription:
        """Write down a recording's notes at the loudness that it has, in memory that only its notes add to.

        Args:
            pieces: the recording's waveform, as `waveforms.audio.stream` gives it.

        Raises:
            EvaluationError: as `transcribe`.
        """
        counted = _Counted(pieces)
        notes = list(track(_frames(self.network, counted), self.thresholds))
        if counted.n_samples == 0:
            raise EvaluationError("a waveform must have samples to be transcribed, and this one has none")
        return _transcription(notes, counted.n_samples / HOUSE_RATE)


class _Counted:
    """Pieces at the network's rate, counted at the house's while they pass."""

    def __init__(self, pieces: Iterable[Waveform]) -> None:
        self._pieces = pieces
        self.n_samples = 0

    def __iter__(self) -> Iterator[Waveform]:
        resampler = soxr.ResampleStream(HOUSE_RATE, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        for piece in self._pieces:
            if not np.isfinite(piece).all():
                raise EvaluationError("a waveform must be finite to be transcribed, and this one is not")
            self.n_samples += len(piece)
            yield resampler.resample_chunk(piece.astype(np.float32))
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _frames(network: BasicPitch, pieces: Iterable[Waveform]) -> Iterator[Frames]:
    """Yield what the network says of a recording, _N_KEPT frames for each window; the last go on beyond its end."""
    batch: list[Waveform] = []
    for window in _windows(pieces):
        batch.append(window)
        if len(batch) == _N_WINDOWS_PER_BATCH:
            yield _heard(network, batch)
            batch = []
    if batch:
        yield _heard(network, batch)


def _windows(pieces: Iterable[Waveform]) -> Iterator[Waveform]:
    """Cut windows of N_SAMPLES, with zeros before and behind the recording."""
    held = np.zeros(_N_LAP, np.float32)
    for piece in pieces:
        held = np.concatenate((held, piece))
        while len(held) >= N_SAMPLES:
            yield held[:N_SAMPLES]
            held = held[_N_STEP:]
    while len(held) > _N_LAP:  # no more than that has been heard by the window before
        yield np.pad(held, (0, N_SAMPLES))[:N_SAMPLES]
        held = held[_N_STEP:]


def _heard(network: BasicPitch, windows: list[Waveform]) -> Frames:
    """(n, N_SAMPLES) -> (n * _N_KEPT, 3, 88), without the windows' edges."""
    with torch.inference_mode():
        answer: Frames = network(torch.from_numpy(np.stack(windows))).numpy()
    return answer[:, _N_EDGE : _N_EDGE + _N_KEPT].reshape(-1, *answer.shape[2:])


def _seconds(frame: int) -> float:
    """When a frame of `_frames` is."""
    window, rest = divmod(frame, _N_KEPT)
    return (window * _N_STEP + rest * HOP) / SAMPLE_RATE


def _transcription(notes: list[Tracked], seconds: float) -> Transcription:
    levels = 10.0 * np.log10([note.attack for note in notes])
    steps = (levels - np.median(levels)) / DB_PER_VELOCITY if notes else levels
    velocities = np.clip(MIDDLE_VELOCITY + steps, 1.0, 127.0)
    return Transcription.of(
        [
            (_seconds(note.start), _seconds(note.stop), LOWEST_PITCH + note.key, float(velocity))
            for note, velocity in zip(notes, velocities, strict=True)
        ],
        seconds,
    )
