"""Rendering: what clips to make, and the roll-outs that make them.

checkpoint = load(path)
for clip in render(checkpoint, RenderRequest(seed=7), Path("clips")):
    clip.path, clip.loudness
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pipeline.checkpoint import Checkpoint
from pipeline.clips import Clip, ClipFormat, Take, write_clip
from pipeline.config import CLIP_SECONDS, Sampling
from pipeline.distributed import SingleProcess, derive_seed, keep_freed_memory
from pipeline.errors import SettingsError
from pipeline.prompts import Prompt, PromptRequest
from pipeline.session import Session, arithmetic
from waveforms.audio import ClipWriter
from waveforms.files import check_free, make_folder
from waveforms.notes.events import Notes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MOST_AT_ONCE = 32  # clips in a batch
ENDING_SECONDS = 1.0  # after the last prescribed note


@dataclass(frozen=True)
class RenderRequest:
    """Which clips to render.

    Attributes:
        seed: of every random number; with the checkpoint and the prompts it makes the same clips again, to the bit.
        n_clips: how many.
        seconds: length behind the prompt, whole blocks; None is 10 s, or as long as `notes` sound.
        prompt: what clips begin from.
        notes: prescribed, in seconds from the prompt's end; None lets the model sample them.
        sampling: temperatures and truncation.
        keep_prompt: whether the clip begins with its prompt.
        format: of the files.
        overwrite: whether files of the same names may be replaced.

    Raises:
        SettingsError: a value is not legal.
    """

    seed: int
    n_clips: int = 4
    seconds: float | None = None
    prompt: PromptRequest = field(default_factory=PromptRequest)
    notes: Notes | None = None
    sampling: Sampling = field(default_factory=Sampling)
    keep_prompt: bool = False
    format: ClipFormat = field(default_factory=ClipFormat)
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.n_clips < 1:
            raise SettingsError(f"clips must be at least 1 and not {self.n_clips}")
        if self.seed < 0:
            raise SettingsError(f"seed must be at least 0 and not {self.seed}")

    def n_blocks(self, checkpoint: Checkpoint) -> int:
        """Count the blocks that a checkpoint is to predict.

        Raises:
            SettingsError: `seconds` is not whole blocks.
        """
        codec = checkpoint.codec
        if self.seconds is None and self.notes is not None:
            return ceil((self.notes.seconds + ENDING_SECONDS) / codec.block_seconds)
        return codec.n_blocks_in(CLIP_SECONDS if self.seconds is None else self.seconds)

    def n_samples(self, checkpoint: Checkpoint) -> int:
        """Count the samples of a clip.

        Raises:
            SettingsError: a length is not whole blocks.
        """
        codec = checkpoint.codec
        n_prompt_blocks = codec.n_blocks_in(self.prompt.seconds) if self.keep_prompt else 0
        return (self.n_blocks(checkpoint) + n_prompt_blocks) * codec.block_size


def render(
    checkpoint: Checkpoint,
    request: RenderRequest,
    out: Path,
    *,
    source: str = "",
    prompts: Sequence[Prompt] | None = None,
    advanced: Callable[[int], None] = lambda n_samples: None,
    fabric: "Fabric | SingleProcess | None" = None,
) -> Iterator[Clip]:
    """Render clips into a folder.

    Several processes share whole batches. A batch is the same in every process, so all clips are, to the bit.

    Args:
        checkpoint: the model.
        request: which clips.
        out: the folder, which is made.
        source: the checkpoint's name, for the clips' provenance.
        prompts: one a clip, all of one length, instead of those of the request.
        advanced: receives the number of newly rendered samples, of all clips together.
        fabric: of several processes that share the clips.

    Yields:
        the clips of this process.

    Raises:
        AudioError: a prompt cannot be used, or a clip would be larger than a WAV can be.
        OutputError: a file exists and must not be overwritten, or there is no room.
        SettingsError: a length is not whole blocks, or the model does not sample by a setting of the request.
    """
    codec = checkpoint.codec
    if request.notes is not None and not codec.reads_notes:
        raise SettingsError(f"preset {checkpoint.settings.preset} reads no notes: leave out --notes")
    _check_sampling(checkpoint, request.sampling)
    n_samples = request.n_blocks(checkpoint) * codec.block_size
    if prompts is None:
        prompts = request.prompt.prompts(checkpoint, request.n_clips, seed=request.seed)
    if request.keep_prompt:
        n_samples += len(prompts[0].waveform)
    width = len(str(len(prompts)))
    paths = [out / f"clip-{request.seed}-{n + 1:0{width}}.wav" for n in range(len(prompts))]
    ClipWriter(paths[0], encoding=request.format.encoding, n_samples=n_samples)  # refuses a clip that is too long
    for path in paths:
        for file in request.format.files(path, has_notes=codec.reads_notes):
            check_free(file, force=request.overwrite)
    make_folder(out)
    fabric = fabric or SingleProcess()
    fabric.barrier()  # no process writes before all have checked
    return _render(checkpoint, request, source, prompts, paths, advanced, fabric)


def _render(
    checkpoint: Checkpoint,
    request: RenderRequest,
    source: str,
    prompts: Sequence[Prompt],
    paths: Sequence[Path],
    advanced: Callable[[int], None],
    fabric: "Fabric | SingleProcess",
) -> Iterator[Clip]:
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    n_blocks, keep_prompt = request.n_blocks(checkpoint), request.keep_prompt
    provenance = {
        "checkpoint": source,
        "preset": checkpoint.settings.preset,
        "step": checkpoint.history[-1]["step"] if checkpoint.history else 0,
        "seed": request.seed,
        "sampling": asdict(request.sampling),
        "blocks": n_blocks,
        "block_size": checkpoint.codec.block_size,
        "arithmetic": arithmetic(device),
        "settings": checkpoint.settings.to_json(),
    }
    session = Session(checkpoint.model, checkpoint.codec, device)
    for first in range(fabric.global_rank * MOST_AT_ONCE, len(prompts), fabric.world_size * MOST_AT_ONCE):
        batch = prompts[first : first + MOST_AT_ONCE]
        session.prime(batch, seed=derive_seed(request.seed, first))
        session.change(**asdict(request.sampling))
        takes = [
            Take(path, prompt, keep_prompt=keep_prompt) for path, prompt in zip(paths[first:], batch, strict=False)
        ]
        try:
            notes = None if request.notes is None else [request.notes] * len(batch)
            for chunk in session.stream(n_blocks, notes, with_prompt=keep_prompt):
                rows = chunk.samples.cpu().numpy()
                for take, samples, of_row in zip(takes, rows, chunk.notes, strict=True):
                    take.add(samples, of_row)
                advanced(rows.size)
            for take in takes:
                yield write_clip(take, request.format, checkpoint.codec, provenance)
        finally:
            for take in takes:
                take.close()


def _check_sampling(checkpoint: Checkpoint, sampling: Sampling) -> None:
    """Refuse settings that would change nothing."""
    changed = [f.name for f in fields(Sampling) if getattr(sampling, f.name) != f.default]
    if unused := [name for name in changed if name not in checkpoint.model.sampled_by]:
        known = " and ".join(checkpoint.model.sampled_by) or "no setting: it gives its one guess"
        raise SettingsError(f"preset {checkpoint.settings.preset} samples by {known}; leave out {', '.join(unused)}")
