"""Prompts: the blocks that roll-outs begin from.

A checkpoint carries a few excerpts of its held-out recordings, so that a clip can begin from music that training
never saw, even without the corpus. A user may name a recording instead, mix several, or ask for noise or silence.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from pipeline.checkpoint import Checkpoint, Excerpt
from pipeline.errors import SettingsError
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform, probe, read
from waveforms.notes.events import Notes

NOISE_PEAK = 0.1  # -20 dB re full scale: about as loud as music
NO_NOTES = Notes.of([])


@dataclass(frozen=True)
class PromptPart:
    """A part of a recording in a prompt.

    Attributes:
        recording: its name in its corpus, or that of a user's file.
        start: where in the recording the part begins, in seconds.
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
    """The beginning of a roll-out.

    Attributes:
        waveform: whole blocks, (n_samples,).
        kind: of its origin.
        parts: the recordings in it, if there are any. Each ends where the prompt ends.
        notes: in seconds from its beginning, earlier onsets below 0; None where they are unknown.
    """

    waveform: Waveform
    kind: Literal["held-out", "files", "noise", "silence"]
    parts: tuple[PromptPart, ...] = ()
    notes: Notes | None = None

    @property
    def source(self) -> str:
        """Its origin in words."""
        if not self.parts:
            return self.kind
        return " + ".join(map(str, self.parts)) + (" (held out)" if self.kind == "held-out" else "")

    def to_json(self) -> dict[str, Any]:
        """Return its origin as plain dictionaries."""
        return {"kind": self.kind, "parts": [asdict(part) for part in self.parts]}


class Prompts(Sequence[Prompt]):
    """Prompts that are made when they are read: ten thousand at once would take gigabytes.

    Args:
        n_prompts: how many.
        make: makes the prompt of a number; the same one in every call.
    """

    def __init__(self, n_prompts: int, make: Callable[[int], Prompt]) -> None:
        self._numbers = range(n_prompts)
        self._make = make

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: int) -> Prompt: ...

    @overload
    def __getitem__(self, at: slice) -> list[Prompt]: ...

    def __getitem__(self, at: int | slice) -> Prompt | list[Prompt]:
        numbers = self._numbers[at]
        return self._make(numbers) if isinstance(numbers, int) else [self._make(n) for n in numbers]


@dataclass(frozen=True)
class FilePart:
    """A user's recording from `seconds` on, with its weight in a mix."""

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


@dataclass(frozen=True)
class PromptRequest:
    """Which prompts clips begin from.

    Attributes:
        source: "held-out", "noise", "silence" or `FILE[@SECONDS]`.
        mix: `FILE[@SECONDS][*WEIGHT]` each, mixed into one prompt that replaces `source`.
        seconds: the length, whole blocks.
        variation: whether all clips begin from the same prompt.
    """

    source: str = "held-out"
    mix: tuple[str, ...] = ()
    seconds: float = 5.0
    variation: bool = False

    def prompts(self, checkpoint: Checkpoint, n_prompts: int, *, seed: int) -> Sequence[Prompt]:
        """Make the prompts; each depends on the seed and its own number only.

        Args:
            checkpoint: whose excerpts are the held-out prompts, and whose codec defines a block.
            n_prompts: how many.
            seed: of every random choice.

        Raises:
            AudioError: a file cannot be used.
            SettingsError: the length is not whole blocks, a text is not of its form, a recording ends before its prompt
                begins, or the checkpoint carries no excerpts.
        """
        block_size = checkpoint.codec.block_size
        n_blocks = checkpoint.codec.n_blocks_in(self.seconds)

        def rng(n: int) -> np.random.Generator:
            return np.random.default_rng([seed, 0 if self.variation else n])

        if self.source == "held-out" and not self.mix:
            return Prompts(n_prompts, lambda n: held_out(checkpoint.excerpts, n_blocks, block_size, rng(n)))
        if self.source == "noise" and not self.mix:
            return Prompts(n_prompts, lambda n: noise(n_blocks * block_size, rng(n)))
        if self.source == "silence" and not self.mix:
            return [silence(n_blocks * block_size)] * n_prompts
        parts = [FilePart.parse(text) for text in self.mix or (self.source,)]
        return [from_files(parts, n_blocks, block_size)] * n_prompts


def held_out(excerpts: Sequence[Excerpt], n_blocks: int, block_size: int, rng: np.random.Generator) -> Prompt:
    """Choose a prompt among a checkpoint's excerpts; one that is shorter than asked begins with silence.

    Raises:
        SettingsError: the checkpoint carries none.
    """
    if not excerpts:
        raise SettingsError("this checkpoint carries no prompts: name one with --prompt FILE")
    excerpt = excerpts[int(rng.integers(len(excerpts)))]
    first = int(rng.integers(max(len(excerpt.samples) // block_size - n_blocks, 0) + 1))
    part = excerpt.part(first * block_size, (first + n_blocks) * block_size)
    waveform = part.samples.numpy().astype(np.float32) / np.float32(32768)
    seconds = len(waveform) / SAMPLE_RATE
    silent = n_blocks * block_size / SAMPLE_RATE - seconds
    source = PromptPart(part.source, part.seconds, part.seconds + seconds)
    padded = _padded_before(waveform, n_blocks * block_size)
    return Prompt(padded, "held-out", (source,), part.notes.moved(seconds=silent))


def from_files(parts: Sequence[FilePart], n_blocks: int, block_size: int) -> Prompt:
    """Read a prompt from a recording, or the linear combination of several.

    Raises:
        AudioError: a file cannot be used.
        SettingsError: a file ends before the prompt begins.
    """
    total = np.zeros(n_blocks * block_size, np.float32)
    used = []
    for part in parts:
        start = round(part.seconds * SAMPLE_RATE)
        n_samples = probe(part.path).n_samples
        if start + block_size > n_samples:
            last = (n_samples - block_size) / SAMPLE_RATE
            raise SettingsError(
                f"{part.path}: a prompt must begin between 0 and {last:.2f} s and not at {part.seconds:g} s"
            )
        waveform = read(part.path, start, start + n_blocks * block_size)
        waveform = waveform[: len(waveform) // block_size * block_size]
        total += np.float32(part.weight) * _padded_before(waveform, len(total))
        stop = (start + len(waveform)) / SAMPLE_RATE
        used.append(PromptPart(part.path.name, start / SAMPLE_RATE, stop, part.weight))
    return Prompt(total, "files", tuple(used))


def noise(n_samples: int, rng: np.random.Generator) -> Prompt:
    """Make a prompt of uniform noise."""
    waveform = rng.uniform(-NOISE_PEAK, NOISE_PEAK, n_samples).astype(np.float32)
    return Prompt(waveform, "noise", notes=NO_NOTES)


def silence(n_samples: int) -> Prompt:
    """Make a prompt of zeros."""
    return Prompt(np.zeros(n_samples, np.float32), "silence", notes=NO_NOTES)


def _padded_before(waveform: Waveform, n_samples: int) -> Waveform:
    """Put silence before a waveform that is too short: a prompt always reaches to the beginning of the clip."""
    return np.pad(waveform, (n_samples - len(waveform), 0))
