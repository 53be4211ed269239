"""Transcribers: a quick one, basic-pitch, and a thorough one, transkun. Both run on the CPU and are deterministic.

quick: 44.1 kHz -> 22.05 kHz -> windows of 2 s, of which the middle 1.6 s count -> basic-pitch -> frames -> notes

A note begins at a peak of the onsets, the last first, and follows its key until that has been quiet for 11 frames. It
takes what sounds from its key and from both neighbours, which sound along with it: section 2.3 of the basic-pitch paper
(ICASSP 2022), without its notes that have no onset. A piano's note has an onset and does not swell; what has none is a
partial or the pedal's halo.
"""

import importlib
import json
import warnings
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import soxr
import torch

from pipeline.errors import EvaluationError
from pipeline.pretrained.basic_pitch import HOP, N_SAMPLES, BasicPitch, load_basic_pitch
from pipeline.pretrained.basic_pitch import SAMPLE_RATE as BASIC_PITCH_RATE
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.notes.events import Notes
from waveforms.notes.performance import LOWEST_PITCH

Frames = npt.NDArray[np.float32]  # (n_frames, 3, n_keys): probability that a key sounds; that a note begins; power
Keys = npt.NDArray[np.float32]  # (n_frames, n_keys): one of these
Row = tuple[float, float, int, float]  # onset, offset, pitch, velocity

DB_PER_VELOCITY = 0.3  # so much louder is a note of the sampled piano for each step of its velocity
MIDDLE_VELOCITY = 64  # of a clip's median note

# Chosen on seven pieces of the sampled piano, whose notes are known: F1 of the onsets is 0.89 so and 0.80 with the
# published thresholds for any instrument; on seven others 0.87 and 0.81.
_ONSET = 0.6  # probability from which a peak begins a note
_SOUNDING = 0.4  # probability below which a frame is quiet
_N_SHORTEST = 8  # frames that a note must have more of
_N_QUIET = 11  # so many quiet frames end a note
_N_BEFORE, _N_AFTER = 6, 8  # frames, 70 and 93 ms: the onset is a frame or two long, and the power's windows longer

_N_EDGE = 15  # frames at either end of a window, where the network knows too little around a frame
_N_OVERLAP = _N_EDGE * HOP
_N_STEP = N_SAMPLES - 2 * _N_OVERLAP  # 36164 samples from window to window, as published; frames do not divide it,
_N_KEPT = -(-_N_STEP // HOP)  # so that the last of these 142 frames lies only 69 samples before the next window's first
_N_WINDOWS_PER_BATCH = 8

_ADVICE = (
    "install it with `pip install --no-deps transkun==2.0.1` and `pip install pretty-midi mir-eval`, "
    "which is what `make thorough` does"
)


class Transcriber(Protocol):
    """Finds the notes of clips.

    Attributes:
        name: of the network.
    """

    name: str

    def transcribe(self, waveform: Waveform) -> Notes:
        """Find a clip's notes, none of which sounds beyond its end.

        Args:
            waveform: mono float32 (n_samples,) at 44.1 kHz, at a loudness of -23 LUFS: 20 dB less would change a note
                of 25.

        Raises:
            EvaluationError: the waveform is empty or not finite.
        """
        ...


class Quick:
    """Transcribes with basic-pitch: a second a minute, and nearly nine onsets of ten.

    Its notes end too early, so that fewer sound at once than are played: compare with a reference that was transcribed
    likewise, not with a score. Its velocities are estimated from the power that an onset adds to the three lowest
    harmonics, relative to the clip's median note: their deviations within a clip say something, their mean does not.
    """

    name = "basic-pitch"

    def __init__(self, network: BasicPitch) -> None:
        self.network = network

    def transcribe(self, waveform: Waveform) -> Notes:
        """See `Transcriber`."""
        _check(waveform)
        notes = sorted(notes_of(self._frames(waveform)))
        decibels = 10.0 * np.log10([attack for *_, attack in notes])
        steps = (decibels - np.median(decibels)) / DB_PER_VELOCITY if notes else decibels
        velocities = np.clip(MIDDLE_VELOCITY + steps, 1.0, 127.0).tolist()
        rows = [
            (_seconds(start), _seconds(stop), LOWEST_PITCH + key, velocity)
            for (start, stop, key, _), velocity in zip(notes, velocities, strict=True)
        ]
        return _cut_off(rows, len(waveform) / SAMPLE_RATE)

    def _frames(self, waveform: Waveform) -> Frames:
        """(n_samples,) -> (n_windows * _N_KEPT, 3, n_keys), without the windows' edges; the last lie behind the end."""
        resampled = soxr.resample(waveform.astype(np.float32), SAMPLE_RATE, BASIC_PITCH_RATE, quality="HQ")
        padded = torch.from_numpy(np.pad(resampled, (_N_OVERLAP, N_SAMPLES)))
        windows = padded.unfold(0, N_SAMPLES, _N_STEP)[: -(-len(resampled) // _N_STEP) or 1]
        with torch.inference_mode():
            parts = [self.network(batch) for batch in torch.split(windows, _N_WINDOWS_PER_BATCH)]
        return torch.cat(parts)[:, _N_EDGE : _N_EDGE + _N_KEPT].flatten(0, 1).numpy()


class Thorough:
    """Transcribes with transkun, through its own package; velocities are the network's own.

    Yan & Duan, "Scoring time intervals using non-hierarchical transformer for automatic piano transcription" (ISMIR
    2024; MIT). It needs one to three times as long as the music lasts, on a core.

    Args:
        model: the package's TransKun, or what has its `transcribe` and its `fs`.
    """

    name = "transkun"

    def __init__(self, model: Any) -> None:
        self._model = model

    def transcribe(self, waveform: Waveform) -> Notes:
        """See `Transcriber`."""
        _check(waveform)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's own; ours are errors in the tests
            notes = self._model.transcribe(torch.from_numpy(waveform.astype(np.float32)).unsqueeze(1))
        rows = [(note.start, note.end, note.pitch, note.velocity) for note in notes if note.pitch > 0]  # not pedals
        return _cut_off(rows, len(waveform) / SAMPLE_RATE)


def load_transcribers(*, thorough: bool = False) -> dict[str, Transcriber]:
    """Load the quick transcriber, whose weights are fetched the first time, and where asked for the thorough one.

    Returns:
        transcribers by "quick" and "thorough".

    Raises:
        EvaluationError: see `weights.load_weights`; or the thorough one is not installed.
    """
    found: dict[str, Transcriber] = {"thorough": load_thorough()} if thorough else {}  # what may be missing, first
    return {"quick": Quick(load_basic_pitch())} | found


def load_thorough() -> Thorough:
    """Build the network of the installed package, with the weights that it brings.

    Raises:
        EvaluationError: the package is not there, or not the one that we know.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports what torch has deprecated
            module: Any = importlib.import_module("transkun.ModelTransformer")
        return Thorough(_transkun(module))
    except ImportError as error:
        raise EvaluationError(f"the thorough transcriber is the package transkun ({error}); {_ADVICE}") from error
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise EvaluationError(f"the package transkun must be version 2.0.1 ({error}); {_ADVICE}") from error


def notes_of(frames: Frames) -> Iterator[tuple[int, int, int, float]]:
    """Find the notes in frames, the last first.

    Yields:
        the first frame, the frame after the last, the key, counted from 0, and the power that the onset adds.
    """
    left = frames[:, 0].copy()
    for start, key in _onsets(frames[:, 1]):
        stop = start + 1 + _n_sounding(left[start + 1 :, key])
        if stop - start > _N_SHORTEST:
            left[start:stop, max(key - 1, 0) : key + 2] = 0.0
            yield start, stop, key, _attack(frames[:, 2, key], start)


def _onsets(begins: Keys) -> list[tuple[int, int]]:
    """Frames and keys of the onsets' peaks, the last first."""
    before = np.pad(begins, ((1, 0), (0, 0)))[:-2]  # a recording may begin with a note
    peaks = (begins[:-1] > before) & (begins[:-1] > begins[1:]) & (begins[:-1] >= _ONSET)
    found: list[tuple[int, int]] = np.argwhere(peaks)[::-1].tolist()
    return found


def _n_sounding(column: Keys) -> int:
    """How many frames from the beginning of a column a note goes on."""
    sounding = np.flatnonzero(column >= _SOUNDING)
    ends = np.flatnonzero(np.diff(sounding, prepend=-1) > _N_QUIET)
    n_sounding = int(ends[0]) if len(ends) else len(sounding)
    return int(sounding[n_sounding - 1]) + 1 if n_sounding else 0


def _attack(power: Keys, start: int) -> float:
    """The greatest power soon after an onset, less what was there before; not below 1e-12."""
    before = float(power[max(start - _N_BEFORE, 0)])
    return max(float(power[start : start + _N_AFTER].max()) - before, 1e-12)


def _cut_off(rows: Iterable[Row], seconds: float) -> Notes:
    """Notes without what sounds beyond the clip's end."""
    return Notes.of((row[0], min(row[1], seconds), row[2], row[3]) for row in rows if row[0] < seconds)


def _seconds(frame: int) -> float:
    window, rest = divmod(frame, _N_KEPT)
    return (window * _N_STEP + rest * HOP) / BASIC_PITCH_RATE


def _check(waveform: Waveform) -> None:
    if len(waveform) == 0 or not np.isfinite(waveform).all():
        raise EvaluationError("a waveform must have samples, and finite ones, to be transcribed")


def _transkun(module: Any) -> Any:
    folder = resources.files("transkun") / "pretrained"
    settings = module.ModelConfig()
    vars(settings).update(json.loads((folder / "2.0.conf").read_text())["Model"]["config"])
    model = module.TransKun(settings)
    if model.fs != SAMPLE_RATE:
        raise ValueError(f"it reads {model.fs} Hz and not {SAMPLE_RATE}")
    with (folder / "2.0.pt").open("rb") as file:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()
