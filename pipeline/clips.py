"""Roll-outs become files: for each clip a WAV with marks and provenance, a label file, its notes as MIDI and a picture.

A clip is rendered into a nameless file of float samples first and measured on the way; then, its gain known, it is
written in its final form. So a clip of any length takes constant memory, and no half-written clip is ever seen.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from pipeline import __version__
from pipeline.checkpoint import Checkpoint
from pipeline.config import Sampling
from pipeline.distributed import derive_seed, keep_freed_memory
from pipeline.errors import OutputError
from pipeline.pictures import SECONDS_SHOWN, draw_clip, save_picture
from pipeline.prompts import Prompt
from pipeline.session import Session, arithmetic
from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter, Waveform, read
from waveforms.audio.gain import GainPolicy
from waveforms.audio.loudness import LoudnessMeter
from waveforms.audio.marks import Mark, write_labels
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.events import Notes
from waveforms.notes.midi import write_midi

MOST_AT_ONCE = 32  # clips in a batch
PIECE = 1 << 20  # samples read back at a time


@dataclass(frozen=True)
class Rendering:
    """How clips are made.

    Attributes:
        n_blocks: to predict.
        seed: of every random draw; with the checkpoint and the prompts it makes the clips again, to the bit.
        sampling: how daring the samples are.
        level: the policy of loudness and peaks.
        encoding: of the samples, as `ClipWriter` has it.
        keep_prompt: whether the clip begins with its prompt.
        mark_blocks: whether every block gets a mark.
        pictures: whether each clip gets a picture.
        notes: to play, in seconds from the prompt's end; None lets the model choose.
    """

    n_blocks: int
    seed: int
    sampling: Sampling = field(default_factory=Sampling)
    level: GainPolicy = field(default_factory=GainPolicy)
    encoding: str = "PCM_16"
    keep_prompt: bool = False
    mark_blocks: bool = False
    pictures: bool = True
    notes: Notes | None = None


@dataclass(frozen=True)
class Clip:
    """A rendered clip.

    Attributes:
        path: of the WAV; labels, notes and picture lie beside it as .txt, .mid and .png.
        prompt: where the prompt is from.
        n_samples: its length.
        gain: in dB, by which the roll-out was turned.
        loudness: integrated, in LUFS, as written.
        n_clipped: samples that lay beyond full scale.
    """

    path: Path
    prompt: str
    n_samples: int
    gain: float
    loudness: float
    n_clipped: int


def files_of(path: Path, rendering: Rendering, *, has_notes: bool) -> list[Path]:
    """Every file that a clip consists of."""
    suffixes = [".wav", ".txt", *([".mid"] if has_notes else []), *([".png"] if rendering.pictures else [])]
    return [path.with_suffix(suffix) for suffix in suffixes]


def check_free(paths: Sequence[Path], rendering: Rendering, *, has_notes: bool) -> None:
    """Refuse to overwrite.

    Raises:
        OutputError: one of the clips' files exists.
    """
    for path in paths:
        for file in files_of(path, rendering, has_notes=has_notes):
            if file.exists():
                raise OutputError(f"{file}: exists already; --force overwrites it")


def render_clips(
    checkpoint: Checkpoint,
    source: str,
    prompts: Sequence[Prompt],
    paths: Sequence[Path],
    rendering: Rendering,
    advanced: Callable[[int], None],
    *,
    rank: int = 0,
    n_ranks: int = 1,
) -> Iterator[Clip]:
    """Render one clip a prompt, or those that fall to one process of `n_ranks`.

    Processes share whole batches. A batch is the same whoever renders it, so all clips are, to the bit.

    Args:
        checkpoint: the model.
        source: its name, for the clips' provenance.
        prompts: of one length.
        paths: of the WAVs, in folders that exist.
        rendering: how.
        advanced: is told how many more samples are rendered, of all clips together.
        rank: of this process.
        n_ranks: how many processes share the work.

    Raises:
        OutputError: there is no room for the clips.
        AudioError: a clip would be larger than a WAV can be.
    """
    keep_freed_memory()
    n_samples = rendering.n_blocks * BLOCK_SIZE + (len(prompts[0].waveform) if rendering.keep_prompt else 0)
    ClipWriter(paths[0], encoding=rendering.encoding, n_samples=n_samples)  # too long is said now, not at the end
    device = _device()
    session = Session(checkpoint.model, checkpoint.codec, device)
    for first in range(rank * MOST_AT_ONCE, len(prompts), n_ranks * MOST_AT_ONCE):
        batch = prompts[first : first + MOST_AT_ONCE]
        session.prime(batch, seed=derive_seed(rendering.seed, first))
        session.change(**asdict(rendering.sampling))
        takes = [_Take(paths[0].parent) for _ in batch]
        try:
            given = None if rendering.notes is None else [rendering.notes] * len(batch)
            for part in session.stream(rendering.n_blocks, given, with_prompt=rendering.keep_prompt):
                rows = part.samples.cpu().numpy()
                for take, samples, notes in zip(takes, rows, part.notes, strict=True):
                    take.add(samples, notes)
                advanced(rows.size)
            for take, prompt, path in zip(takes, batch, paths[first:], strict=False):
                yield _finish(take, prompt, path, rendering, checkpoint, source)
        finally:
            for take in takes:
                take.close()


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


class _Take:
    """A roll-out on disk, measured as it grows."""

    def __init__(self, folder: Path) -> None:
        self.meter = LoudnessMeter()
        self.notes: list[Notes] = []
        # Beside the clips and not in the system's place for such files, which may be small or memory.
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`

    def add(self, samples: Waveform, notes: Notes) -> None:
        self.meter.add(samples)
        self.notes.append(notes)
        try:
            self._file.write(samples.astype(np.float32).tobytes())
        except OSError as error:
            raise OutputError(f"no room for the clip: {error.strerror}") from error

    def pieces(self) -> Iterator[Waveform]:
        self._file.seek(0)
        while content := self._file.read(4 * PIECE):
            yield np.frombuffer(content, np.float32)

    def close(self) -> None:
        self._file.close()


def _finish(take: _Take, prompt: Prompt, path: Path, rendering: Rendering, checkpoint: Checkpoint, source: str) -> Clip:
    meter = take.meter
    loudness = meter.integrated()
    gain = rendering.level.gain(meter.peak, loudness)
    n_prompt = len(prompt.waveform) if rendering.keep_prompt else 0
    marks = _marks(prompt, n_prompt, rendering)
    provenance = {
        "checkpoint": source,
        "preset": checkpoint.settings.preset,
        "step": checkpoint.history[-1]["step"] if checkpoint.history else 0,
        "seed": rendering.seed,
        "sampling": asdict(rendering.sampling),
        "clip": path.stem,
        "prompt": prompt.to_json(),
        "prompt_seconds": len(prompt.waveform) / SAMPLE_RATE,
        "blocks": rendering.n_blocks,
        "gain_db": _decibels(gain),
        "arithmetic": arithmetic(_device()),
        "settings": checkpoint.settings.to_json(),
    }
    metadata = {
        "title": path.stem,
        "software": f"quarterwave {__version__}",
        "comment": json.dumps(provenance),
    }
    with ClipWriter(
        path, encoding=rendering.encoding, n_samples=meter.n_samples, marks=marks, metadata=metadata
    ) as writer:
        for piece in take.pieces():
            writer.write(piece * np.float32(gain))
    write_labels(path.with_suffix(".txt"), marks)
    notes = _notes(take, prompt, n_prompt, meter.n_samples)
    if checkpoint.codec.reads_notes:
        write_midi(path.with_suffix(".mid"), notes.to_performance(path.stem))
    if rendering.pictures:
        _picture(path, prompt, n_prompt, notes)
    return Clip(path, prompt.source, meter.n_samples, _decibels(gain), loudness + _decibels(gain), writer.n_clipped)


def _notes(take: _Take, prompt: Prompt, n_prompt: int, n_samples: int) -> Notes:
    """A clip's notes at its own times, those of its prompt too where it is kept; none rings on beyond its end."""
    seconds = n_prompt / SAMPLE_RATE
    rows = [row for notes in take.notes for row in notes.moved(seconds=seconds).table.tolist()]
    if n_prompt and prompt.notes is not None:
        rows += [row for row in prompt.notes.table.tolist() if row[0] >= 0]
    end = n_samples / SAMPLE_RATE
    return Notes.of((on, min(off, end), int(pitch), velocity) for on, off, pitch, velocity in rows if on < end)


def _marks(prompt: Prompt, n_prompt: int, rendering: Rendering) -> list[Mark]:
    marks = [Mark(0, f"prompt: {prompt.source}", n_prompt)] if n_prompt else []
    marks.append(Mark(n_prompt, f"prompt end ({prompt.source})"))
    if rendering.mark_blocks:
        marks += [Mark(n_prompt + n * BLOCK_SIZE, f"block {n + 1}") for n in range(rendering.n_blocks)]
    return marks


def _picture(path: Path, prompt: Prompt, n_prompt: int, notes: Notes) -> None:
    """Draw the clip as written, with its prompt before it even where the clip leaves it out."""
    waveform = read(path, 0, SECONDS_SHOWN * SAMPLE_RATE)
    if not n_prompt:
        waveform = np.concatenate([prompt.waveform, waveform])
    title = f"{path.stem}: {prompt.source}"
    shown = notes.moved(seconds=-n_prompt / SAMPLE_RATE)
    figure = draw_clip(waveform, prompt_samples=len(prompt.waveform), title=title, notes=shown)
    save_picture(figure, path.with_suffix(".png"))


def _decibels(gain: float) -> float:
    return float(20 * np.log10(gain))
