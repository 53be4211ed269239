"""Prompts: the blocks that a roll-out begins from, and where they come from.

A checkpoint carries a few passages of its held-out recordings, so a clip can begin from music that training never
saw even where the corpus is not at hand. A user may name a file instead, mix several, or ask for noise or silence.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch

from pipeline.checkpoint import Passage
from pipeline.errors import SettingsError
from pipeline.training.pieces import Piece
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform, probe, read
from waveforms.audio.gain import to_int16
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.events import Notes

N_PASSAGES = 8
PASSAGE_BLOCKS = 80  # 20 s: room to draw many prompts of a few seconds, 1.8 MB each
NOISE_PEAK = 0.1  # -20 dB re full scale: about as loud as music
BLOCK_SECONDS = BLOCK_SIZE / SAMPLE_RATE
NO_NOTES = Notes.of([])


@dataclass(frozen=True)
class PromptPart:
    """A stretch of a recording that is in a prompt.

    Attributes:
        recording: the name in its corpus, or that of a user's file.
        start: where in the recording the stretch begins, in seconds.
        stop: where it ends.
        weight: in a linear combination.
    """

    recording: str
    start: float
    stop: float
    weight: float = 1.0

    def __str__(self) -> str:
        return f"{self.recording} @ {self.start:.10g} s" + (f" * {self.weight:g}" if self.weight != 1 else "")


@dataclass(frozen=True)
class Prompt:
    """What a clip begins from.

    Attributes:
        waveform: (n_blocks * BLOCK_SIZE,).
        kind: where it is from.
        parts: the recordings in it, if there are any. Each ends where the prompt ends.
        notes: in seconds from its beginning, those that began before at times below 0; None where they are not known.
    """

    waveform: Waveform
    kind: Literal["held-out", "files", "noise", "silence"]
    parts: tuple[PromptPart, ...] = ()
    notes: Notes | None = None

    @property
    def source(self) -> str:
        """Where it is from, in words."""
        if not self.parts:
            return self.kind
        return " + ".join(map(str, self.parts)) + (" (held out)" if self.kind == "held-out" else "")

    def to_json(self) -> dict[str, Any]:
        """Where it is from, for programs."""
        return {"kind": self.kind, "parts": [asdict(part) for part in self.parts]}


class Prompts(Sequence[Prompt]):
    """Prompts that are drawn when they are asked for: ten thousand at once would take gigabytes.

    Args:
        n_prompts: how many.
        draw: gives the one of a number; the same whenever it is asked.
    """

    def __init__(self, n_prompts: int, draw: Callable[[int], Prompt]) -> None:
        self._numbers = range(n_prompts)
        self._draw = draw

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: int) -> Prompt: ...

    @overload
    def __getitem__(self, at: slice) -> list[Prompt]: ...

    def __getitem__(self, at: int | slice) -> Prompt | list[Prompt]:
        numbers = self._numbers[at]
        return self._draw(numbers) if isinstance(numbers, int) else [self._draw(n) for n in numbers]


@dataclass(frozen=True)
class FilePart:
    """A file of the user's, from `seconds` on, at `weight` in a mix."""

    path: Path
    seconds: float = 0.0
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "FilePart":
        """Read `FILE[@SECONDS][*WEIGHT]`.

        Raises:
            SettingsError: the text is not of that form.
        """
        if Path(text).exists():  # a name may hold any character
            return cls(Path(text))
        match = re.fullmatch(r"(?P<path>.+?)(@(?P<seconds>\d+(\.\d*)?))?(\*(?P<weight>-?\d+(\.\d*)?))?", text)
        if match is None:
            raise SettingsError(f"a prompt must be FILE[@SECONDS][*WEIGHT] and not {text!r}")
        return cls(Path(match["path"]), float(match["seconds"] or 0), float(match["weight"] or 1))


def choose_passages(held_out: Sequence[Piece]) -> list[Passage]:
    """Passages spread evenly over the held-out recordings, the longest that fit up to PASSAGE_BLOCKS."""
    n_each = math.ceil(N_PASSAGES / len(held_out))
    n_recordings = min(N_PASSAGES, len(held_out))
    passages = []
    for n in range(n_recordings):
        piece = held_out[(2 * n + 1) * len(held_out) // (2 * n_recordings)]
        recording = piece.recording
        assert recording is not None
        n_blocks = min(PASSAGE_BLOCKS, recording.n_samples // BLOCK_SIZE)
        n_places = min(n_each, piece.n_blocks // n_blocks)  # without overlap
        for place in range(n_places):
            first = place * (piece.n_blocks // n_places)
            waveform = recording.read(first * BLOCK_SIZE, (first + n_blocks) * BLOCK_SIZE)
            samples = torch.from_numpy(to_int16(waveform))
            start, stop = first * BLOCK_SECONDS, (first + n_blocks) * BLOCK_SECONDS
            notes = (piece.notes or NO_NOTES).between(-math.inf, stop).sounding_from(start)
            passages.append(Passage(recording.name, start, samples, notes.moved(seconds=-start)))
    return passages[:N_PASSAGES]


def held_out(passages: Sequence[Passage], n_blocks: int, rng: np.random.Generator) -> Prompt:
    """A prompt drawn from a checkpoint's passages; one that is shorter than asked begins in silence.

    Raises:
        SettingsError: the checkpoint carries none.
    """
    if not passages:
        raise SettingsError("this checkpoint carries no prompts: name one with --prompt FILE")
    passage = passages[int(rng.integers(len(passages)))]
    first = int(rng.integers(max(len(passage.samples) // BLOCK_SIZE - n_blocks, 0) + 1))
    part = passage.part(first, n_blocks)
    waveform = part.samples.numpy().astype(np.float32) / np.float32(32768)
    seconds = len(waveform) / SAMPLE_RATE
    late = n_blocks * BLOCK_SECONDS - seconds  # of one that begins in silence
    source = PromptPart(part.source, part.seconds, part.seconds + seconds)
    return Prompt(_padded_before(waveform, n_blocks), "held-out", (source,), part.notes.moved(seconds=late))


def from_files(parts: Sequence[FilePart], n_blocks: int) -> Prompt:
    """A file's passage, or the linear combination of several.

    Raises:
        AudioError: a file cannot be used.
        SettingsError: a file ends before the prompt begins.
    """
    total = np.zeros(n_blocks * BLOCK_SIZE, np.float32)
    used = []
    for part in parts:
        start = round(part.seconds * SAMPLE_RATE)
        n_samples = probe(part.path).n_samples
        if start + BLOCK_SIZE > n_samples:
            last = (n_samples - BLOCK_SIZE) / SAMPLE_RATE
            raise SettingsError(
                f"{part.path}: a prompt must begin between 0 and {last:.2f} s and not at {part.seconds:g} s"
            )
        waveform = read(part.path, start, start + n_blocks * BLOCK_SIZE)
        waveform = waveform[: len(waveform) // BLOCK_SIZE * BLOCK_SIZE]
        total += np.float32(part.weight) * _padded_before(waveform, n_blocks)
        stop = (start + len(waveform)) / SAMPLE_RATE
        used.append(PromptPart(part.path.name, start / SAMPLE_RATE, stop, part.weight))
    return Prompt(total, "files", tuple(used))


def noise(n_blocks: int, rng: np.random.Generator) -> Prompt:
    """Uniform noise, the prompt that knows nothing."""
    waveform = rng.uniform(-NOISE_PEAK, NOISE_PEAK, n_blocks * BLOCK_SIZE).astype(np.float32)
    return Prompt(waveform, "noise", notes=NO_NOTES)


def silence(n_blocks: int) -> Prompt:
    """Zeros."""
    return Prompt(np.zeros(n_blocks * BLOCK_SIZE, np.float32), "silence", notes=NO_NOTES)


def _padded_before(waveform: Waveform, n_blocks: int) -> Waveform:
    """Silence before what is too short: a prompt must run right up to where the clip begins."""
    return np.pad(waveform, (n_blocks * BLOCK_SIZE - len(waveform), 0))
