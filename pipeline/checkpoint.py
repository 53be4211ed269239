"""A checkpoint: weights, fitted codec, settings, prompts and provenance in one safetensors file.

    tensors    model.*       the weights
               codec.*       what was fitted
               prompt.<n>    held-out excerpts to begin roll-outs from, int16
               notes.<n>     their notes, (n_notes, 4): onset, offset, pitch, velocity
               resume.*      with which training goes on: the optimiser's state, the model's in every lane and, where
                             weights are averaged, those as trained; absent from `best.safetensors`
    metadata   one JSON document under the key "quarterwave": see `Checkpoint`

Tensors are read one by one, so nobody who only renders pays for the optimiser's. Nothing is ever unpickled. Files are
written beside their place and moved there when complete.
"""

import contextlib
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline import __version__
from pipeline.codecs import Codec, make_codec
from pipeline.codecs.events import BLOCK_SECONDS
from pipeline.config import Settings
from pipeline.errors import CheckpointError, OutputError
from pipeline.models import Model, make_model
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.files import atomic_write
from waveforms.notes.events import Notes

FORMAT = 7
KEY = "quarterwave"
KEYS = {"format", "settings", "split", "history", "passages", "progress", "provenance", "ancestors"}


@dataclass(frozen=True)
class Passage:
    """A held-out passage that roll-outs can begin from.

    Attributes:
        source: the recording's name in its corpus.
        seconds: where in the recording it begins.
        samples: (n_samples,) int16, whole blocks.
        notes: in seconds from its beginning; of a codec that reads none there are none.
    """

    source: str
    seconds: float
    samples: Tensor
    notes: Notes

    def part(self, first: int, n_blocks: int) -> "Passage":
        """Some blocks of it."""
        begin, end = first * BLOCK_SECONDS, (first + n_blocks) * BLOCK_SECONDS
        notes = self.notes.between(-math.inf, end).sounding_from(begin).moved(seconds=-begin)
        samples = self.samples[first * BLOCK_SIZE : (first + n_blocks) * BLOCK_SIZE]
        return Passage(self.source, self.seconds + begin, samples, notes)


@dataclass
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        settings: that it was trained with.
        model: with its weights.
        codec: fitted on the training split.
        split: what it learned from and what was held out; see `pipeline.training.lineage`.
        history: one row a validation: step, loss, baselines, skills, seconds.
        passages: held-out prompts.
        progress: where the run stands, for one that goes on; empty where it cannot.
        provenance: versions and machine of each stretch that it was trained in, with the stretch's "first_step".
        ancestors: the checkpoints that this one goes on from, oldest first; see `pipeline.training.lineage`.
    """

    settings: Settings
    model: Model
    codec: Codec
    split: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)
    provenance: list[dict[str, Any]] = field(default_factory=list)
    ancestors: list[dict[str, Any]] = field(default_factory=list)


def save(checkpoint: Checkpoint, path: Path, *, resume: Mapping[str, Tensor] | None = None) -> None:
    """Write a checkpoint. The inverse is `load`.

    Without `resume`, what the model learned is written in float16: half the size, and the held-out loss of the
    checkpoint that comes along changes by less than 1e-4. Who goes on training needs all digits.

    Args:
        checkpoint: what to write.
        path: where; an older file stays whole until the new one is complete.
        resume: tensors with which training goes on, saved with `checkpoint.progress`.

    Raises:
        OutputError: the file cannot be written.
    """
    weights = checkpoint.model.state_dict()
    if resume is None:
        weights = {name: weight.half() for name, weight in weights.items()}
    tensors = _prefixed("model.", weights)
    tensors |= _prefixed("codec.", checkpoint.codec.state_dict())
    tensors |= {f"prompt.{n}": p.samples for n, p in enumerate(checkpoint.passages)}
    tensors |= {f"notes.{n}": torch.from_numpy(p.notes.table) for n, p in enumerate(checkpoint.passages)}
    tensors |= _prefixed("resume.", resume or {})
    document = {
        "format": FORMAT,
        "settings": checkpoint.settings.to_json(),
        "split": checkpoint.split,
        "history": checkpoint.history,
        "passages": [{"source": p.source, "seconds": p.seconds} for p in checkpoint.passages],
        "progress": checkpoint.progress if resume else {},
        "provenance": checkpoint.provenance,
        "ancestors": checkpoint.ancestors,
    }
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_write(path) as draft:
            save_file(contiguous, draft, metadata={KEY: json.dumps(document)})
            os.chmod(draft, 0o666 & ~_umask())  # the writer of safetensors makes files for their owner alone
    except SafetensorError as error:
        raise OutputError(f"{path}: cannot be written: {error}") from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, all but what only training needs. The model is rebuilt from the file's own settings.

    Raises:
        CheckpointError: no such file, not a checkpoint, of another format, or its tensors do not fit its settings;
            every missing, unexpected and mis-shaped name is listed.
        SettingsError: its settings are not legal.
    """
    document = read_document(path)
    settings = Settings.from_json(document["settings"])
    codec = make_codec(settings.codec)
    model = make_model(settings, codec)
    tensors = _read_tensors(path, ("model.", "codec.", "prompt.", "notes."))
    wanted = _prefixed("model.", model.state_dict())
    wanted |= _prefixed("codec.", codec.state_dict())
    found = {name: tensor for name, tensor in tensors.items() if not name.startswith(("prompt.", "notes."))}
    _check_fit(path, wanted, found)
    _fill(model, "model.", found)
    _fill(codec, "codec.", found)
    return Checkpoint(
        settings=settings,
        model=model,
        codec=codec,
        split=document["split"],
        history=document["history"],
        passages=[
            Passage(p["source"], p["seconds"], tensors[f"prompt.{n}"], Notes.of_table(tensors[f"notes.{n}"].numpy()))
            for n, p in enumerate(document["passages"])
        ],
        progress=document["progress"],
        provenance=document["provenance"],
        ancestors=document["ancestors"],
    )


def load_resume(path: Path) -> dict[str, Tensor]:
    """The tensors with which training goes on.

    Raises:
        CheckpointError: there are none, as in `best.safetensors`.
    """
    tensors = _read_tensors(path, ("resume.",))
    if not tensors:
        raise CheckpointError(f"{path}: holds no optimiser state; only last.safetensors does")
    return {name.removeprefix("resume."): tensor for name, tensor in tensors.items()}


def read_document(path: Path) -> dict[str, Any]:
    """The metadata of a checkpoint, without its tensors, as the newest format has it.

    Raises:
        CheckpointError: no such file, not a checkpoint, or of another format.
    """
    with _opened(path) as file:
        text = (file.metadata() or {}).get(KEY)
    if text is None:
        raise CheckpointError(f"{path}: a safetensors file, but not a checkpoint of quarterwave")
    try:
        document: dict[str, Any] = json.loads(text)
        found = document["format"]
        missing = sorted(KEYS - document.keys())
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its description is damaged: {error}") from error
    if found != FORMAT:
        remedy = "update quarterwave" if found > FORMAT else "train again, or render with the version that wrote it"
        raise CheckpointError(f"{path}: written in format {found}; quarterwave {__version__} reads {FORMAT}: {remedy}")
    if missing:
        raise CheckpointError(f"{path}: its description lacks {', '.join(missing)}")
    return document


def tensor_sizes(path: Path) -> dict[str, int]:
    """Bytes by first part of the tensors' names (`model`, `resume`, ...)."""
    sizes: dict[str, int] = {}
    with _opened(path) as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            tensor = file.get_tensor(name)
            room = name.split(".")[0]
            sizes[room] = sizes.get(room, 0) + tensor.numel() * tensor.element_size()
    return sizes


def versions() -> dict[str, str]:
    """The versions that run here, and the machine."""
    packages = ("torch", "numpy", "soundfile", "soxr", "safetensors")
    return {
        "quarterwave": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    } | {name: version(name) for name in packages}


@contextlib.contextmanager
def _opened(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: a checkpoint is a file, and there is {'a folder' if path.exists() else 'none'}")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from error


def _read_tensors(path: Path, prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefixes)}  # noqa: SIM118


def _check_fit(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    faults = [f"missing {name}" for name in sorted(wanted.keys() - found.keys())]
    faults += [f"unexpected {name}" for name in sorted(found.keys() - wanted.keys())]
    faults += [
        f"{name} is {tuple(found[name].shape)} and not {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & found.keys())
        if wanted[name].shape != found[name].shape
    ]
    if faults:
        raise CheckpointError(f"{path}: tensors do not fit the settings: {'; '.join(faults)}")


def _fill(module: nn.Module, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    state = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    module.load_state_dict(state, strict=True)


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
