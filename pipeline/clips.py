"""Roll-outs become files: for each clip a WAV with marks and provenance, a label file and a picture.

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
from pipeline.errors import OutputError
from pipeline.generate import arithmetic, ready, roll_out
from pipeline.memory import keep_freed_memory
from pipeline.pictures import SECONDS_SHOWN, draw_clip, save_picture
from pipeline.processes import mixed
from pipeline.prompts import Prompt
from pipeline.settings import Sampling
from waveforms import BLOCK_SIZE, SAMPLE_RATE
from waveforms.audio import ClipWriter, Waveform, read
from waveforms.level import Level
from waveforms.loudness import LoudnessMeter
from waveforms.marks import Mark, write_labels

MOST_AT_ONCE = 32  # clips in a batch
PIECE = 1 << 20  # samples read back at a time


@dataclass(frozen=True)
class Rendering:
    """How clips are made.

    Attributes:
        n_blocks: to predict.
        seed: of every random draw; with the checkpoint and the prompts it makes the clips again, to the bit.
        sampling: how a head draws.
        level: the policy of loudness and peaks.
        encoding: of the samples, as `ClipWriter` has it.
        keep_prompt: whether the clip begins with its prompt.
        mark_blocks: whether every block gets a mark.
        pictures: whether each clip gets a picture.
    """

    n_blocks: int
    seed: int
    sampling: Sampling = field(default_factory=Sampling)
    level: Level = field(default_factory=Level)
    encoding: str = "PCM_16"
    keep_prompt: bool = False
    mark_blocks: bool = False
    pictures: bool = True


@dataclass(frozen=True)
class Clip:
    """A rendered clip.

    Attributes:
        path: of the WAV; labels and picture lie beside it as .txt and .png.
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


def files_of(path: Path, rendering: Rendering) -> list[Path]:
    """Every file that a clip consists of."""
    return [path, path.with_suffix(".txt")] + ([path.with_suffix(".png")] if rendering.pictures else [])


def check_free(paths: Sequence[Path], rendering: Rendering) -> None:
    """Refuse to overwrite.

    Raises:
        OutputError: one of the clips' files exists.
    """
    for path in paths:
        for file in files_of(path, rendering):
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
    predictor, representation = ready(checkpoint.predictor, device), checkpoint.representation.to(device)
    for first in range(rank * MOST_AT_ONCE, len(prompts), n_ranks * MOST_AT_ONCE):
        batch = prompts[first : first + MOST_AT_ONCE]
        waveforms = torch.from_numpy(np.stack([p.waveform for p in batch])).to(device)
        generator = torch.Generator(device).manual_seed(mixed(rendering.seed, first))
        takes = [_Take(paths[0].parent) for _ in batch]
        try:
            n_to_skip = 0 if rendering.keep_prompt else waveforms.shape[1]
            for piece in roll_out(
                predictor, representation, waveforms, rendering.n_blocks, generator, rendering.sampling
            ):
                kept = piece[:, n_to_skip:].cpu().numpy()
                n_to_skip = max(n_to_skip - piece.shape[1], 0)
                for take, samples in zip(takes, kept, strict=True):
                    take.add(samples)
                advanced(kept.size)
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
        # Beside the clips and not in the system's place for such files, which may be small or memory.
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`

    def add(self, samples: Waveform) -> None:
        self.meter.add(samples)
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
    if rendering.pictures:
        _picture(path, prompt, n_prompt)
    return Clip(path, prompt.source, meter.n_samples, _decibels(gain), loudness + _decibels(gain), writer.n_clipped)


def _marks(prompt: Prompt, n_prompt: int, rendering: Rendering) -> list[Mark]:
    marks = [Mark(0, f"prompt: {prompt.source}", n_prompt)] if n_prompt else []
    marks.append(Mark(n_prompt, f"prompt end ({prompt.source})"))
    if rendering.mark_blocks:
        marks += [Mark(n_prompt + n * BLOCK_SIZE, f"block {n + 1}") for n in range(rendering.n_blocks)]
    return marks


def _picture(path: Path, prompt: Prompt, n_prompt: int) -> None:
    """Draw the clip as written, with its prompt before it even where the clip leaves it out."""
    waveform = read(path, 0, SECONDS_SHOWN * SAMPLE_RATE)
    if not n_prompt:
        waveform = np.concatenate([prompt.waveform, waveform])
    title = f"{path.stem}: {prompt.source}"
    save_picture(draw_clip(waveform, prompt_samples=len(prompt.waveform), title=title), path.with_suffix(".png"))


def _decibels(gain: float) -> float:
    return float(20 * np.log10(gain))
