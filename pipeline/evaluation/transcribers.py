"""Transcribers: a quick one, basic-pitch, and a thorough one, transkun.

44.1 kHz -> 22.05 kHz -> windows of 2 s, of which the middle 1.6 s count -> basic-pitch -> frames -> tracking -> notes

The notes that were heard in a clip.

The thorough transcriber: transkun, through its own package, for those who have it and time.

Yan & Duan, "Scoring time intervals using non-hierarchical transformer for automatic piano transcription"
(ISMIR 2024; MIT). It needs one to three times as long as the music lasts, on a core.
"""

import importlib
import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import soxr
import torch

from pipeline.errors import EvaluationError
from pipeline.evaluation.basic_pitch import HOP, N_SAMPLES, BasicPitch, load_basic_pitch
from pipeline.evaluation.basic_pitch import SAMPLE_RATE as BASIC_PITCH_RATE
from pipeline.evaluation.embeddings import at_equal_loudness
from pipeline.evaluation.tracking import PIANO, Frames, Thresholds, Tracked, track
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.notes.performance import LOWEST_PITCH

Heard = tuple[float, float, int, float]  # onset, offset, pitch, velocity


@dataclass(frozen=True, eq=False)
class Transcription:
    """Notes, sorted by onset.

    Attributes:
        onsets: in seconds, float64 (n_notes,).
        offsets: in seconds, after the onsets and not after the clip's end, float64 (n_notes,).
        pitches: MIDI note numbers, 21 to 108, int64 (n_notes,).
        velocities: as MIDI counts them, 0 to 127, float64 (n_notes,). What they are worth, the transcriber tells.
        seconds: the clip's length.
    """

    onsets: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]
    pitches: npt.NDArray[np.int64]
    velocities: npt.NDArray[np.float64]
    seconds: float

    @property
    def n_notes(self) -> int:
        """How many notes."""
        return len(self.onsets)

    @classmethod
    def of(cls, notes: Iterable[Heard], seconds: float) -> Self:
        """Gather notes in any order; what sounds beyond the clip's end is cut off, and what begins there left out."""
        heard = sorted((onset, min(offset, seconds), pitch, velocity) for onset, offset, pitch, velocity in notes)
        table = np.array([note for note in heard if note[0] < seconds], np.float64).reshape(-1, 4)
        onsets, offsets, pitches, velocities = table.T
        return cls(onsets, offsets, pitches.astype(np.int64), velocities, seconds)


_ADVICE = (
    "install it with `pip install --no-deps transkun==2.0.1` and `pip install pretty-midi mir-eval`, "
    "which is what `make thorough` does"
)


class Thorough:
    """Hears notes with transkun; its velocities are the network's own. Deterministic, on the CPU.

    Args:
        model: the package's TransKun, or what has its `transcribe` and its `fs`.
    """

    name = "transkun"

    def __init__(self, model: Any) -> None:
        self._model = model

    def transcribe(self, waveform: Waveform) -> Transcription:
        """Write down a clip's notes; see `transcribers.Transcriber`."""
        if len(waveform) == 0 or not np.isfinite(waveform).all():
            raise EvaluationError("a waveform must have samples, and finite ones, to be transcribed")
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's own; ours are errors in the tests
            notes = self._model.transcribe(torch.from_numpy(waveform.astype(np.float32)).unsqueeze(1))
        heard = [(note.start, note.end, note.pitch, note.velocity) for note in notes if note.pitch > 0]  # not pedals
        return Transcription.of(heard, len(waveform) / SAMPLE_RATE)


def load_thorough() -> Thorough:
    """Build the network of the installed package, with the weights that it brings.

    Raises:
        EvaluationError: the package is not there, or not the one that we know.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports what torch has deprecated
            module: Any = importlib.import_module("transkun.ModelTransformer")
        return Thorough(_model(module))
    except ImportError as error:
        raise EvaluationError(f"the thorough transcriber is the package transkun ({error}); {_ADVICE}") from error
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise EvaluationError(f"the package transkun must be version 2.0.1 ({error}); {_ADVICE}") from error


def _model(module: Any) -> Any:
    folder = resources.files("transkun") / "pretrained"
    settings = module.ModelConfig()
    vars(settings).update(json.loads((folder / "2.0.conf").read_text())["Model"]["config"])
    model = module.TransKun(settings)
    if model.fs != SAMPLE_RATE:
        raise ValueError(f"it hears {model.fs} Hz and not {SAMPLE_RATE}")
    with (folder / "2.0.pt").open("rb") as file:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()


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
        return _transcription(notes, counted.n_samples / SAMPLE_RATE)


class _Counted:
    """Pieces at the network's rate, counted at the house's while they pass."""

    def __init__(self, pieces: Iterable[Waveform]) -> None:
        self._pieces = pieces
        self.n_samples = 0

    def __iter__(self) -> Iterator[Waveform]:
        resampler = soxr.ResampleStream(SAMPLE_RATE, BASIC_PITCH_RATE, 1, dtype="float32", quality="HQ")
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
    return (window * _N_STEP + rest * HOP) / BASIC_PITCH_RATE


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
