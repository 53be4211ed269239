"""A checkpoint: weights, fitted codec, settings, prompts and provenance in one safetensors file.

    tensors    model.*       the weights
               codec.*       the fitted buffers
               excerpt.<n>   held-out excerpts, the prompts of roll-outs, int16
               notes.<n>     their notes, (n_notes, 4): onset, offset, pitch, velocity
               resume.*      what resuming needs: the optimiser's state, the model's hidden state of every stream and,
                             beside averaged weights, the trained ones; absent from `best.safetensors`
    metadata   one JSON document under the key "quarterwave": see `Checkpoint`

Tensors are read one by one, so rendering never reads the optimiser's. Nothing is ever unpickled. A file is written
beside its place and moved there when complete. `pipeline.migrations` reads older formats.
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
from pipeline.config import Settings
from pipeline.errors import CheckpointError, OutputError
from pipeline.migrations import migrate_document, tensor_renamer
from pipeline.models import Model, make_model
from waveforms import SAMPLE_RATE
from waveforms.files import atomic_write
from waveforms.notes.events import Notes

FORMAT = 8
READABLE = (7, 8)
KEY = "quarterwave"
KEYS = {"format", "settings", "split", "history", "excerpts", "progress", "provenance", "ancestors"}


@dataclass(frozen=True)
class Excerpt:
    """An excerpt of a held-out recording, from which roll-outs take their prompts.

    Attributes:
        source: the recording's name in its corpus.
        seconds: where in the recording it begins.
        samples: whole blocks, (n_samples,) int16.
        notes: in seconds from its beginning; empty where the codec reads none.
    """

    source: str
    seconds: float
    samples: Tensor
    notes: Notes

    def part(self, first: int, stop: int) -> "Excerpt":
        """Return the excerpt's samples from `first` to `stop` with their notes."""
        begin, end = first / SAMPLE_RATE, stop / SAMPLE_RATE
        notes = self.notes.between(-math.inf, end).sounding_from(begin).moved(seconds=-begin)
        return Excerpt(self.source, self.seconds + begin, self.samples[first:stop], notes)


@dataclass
class Checkpoint:
    """The contents of a checkpoint file.

    Attributes:
        settings: of the training run.
        model: with its weights.
        codec: fitted on the training split.
        split: the training and the held-out recordings; see `pipeline.training.lineage`.
        history: one row a validation: step, loss, baselines, skills, seconds.
        excerpts: of held-out recordings, for prompts.
        progress: the run's progress, from which training resumes; empty where it cannot.
        provenance: versions and machine of each session of training, with the session's "first_step".
        ancestors: the checkpoints that training started from, oldest first; see `pipeline.training.lineage`.
    """

    settings: Settings
    model: Model[Any]
    codec: Codec
    split: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    excerpts: list[Excerpt] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)
    provenance: list[dict[str, Any]] = field(default_factory=list)
    ancestors: list[dict[str, Any]] = field(default_factory=list)


def save(checkpoint: Checkpoint, path: Path, *, resume: Mapping[str, Tensor] | None = None) -> None:
    """Write a checkpoint. The inverse is `load`.

    Without `resume`, weights are written in float16: half the size, and the shipped checkpoint's held-out loss changes
    by less than 1e-4. Resuming needs all digits.

    Args:
        checkpoint: what to write.
        path: where; an older file stays whole until the new one is complete.
        resume: the tensors that resuming needs, saved with `checkpoint.progress`.

    Raises:
        OutputError: the file cannot be written.
    """
    weights = checkpoint.model.state_dict()
    if resume is None:
        weights = {name: weight.half() for name, weight in weights.items()}
    tensors = _prefixed("model.", weights)
    tensors |= _prefixed("codec.", checkpoint.codec.state_dict())
    tensors |= {f"excerpt.{n}": e.samples for n, e in enumerate(checkpoint.excerpts)}
    tensors |= {f"notes.{n}": torch.from_numpy(e.notes.table) for n, e in enumerate(checkpoint.excerpts)}
    tensors |= _prefixed("resume.", resume or {})
    document = {
        "format": FORMAT,
        "settings": checkpoint.settings.to_json(),
        "split": checkpoint.split,
        "history": checkpoint.history,
        "excerpts": [{"source": e.source, "seconds": e.seconds} for e in checkpoint.excerpts],
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
    """Read a checkpoint without the tensors that only resuming needs. The file's settings determine the model.

    Raises:
        CheckpointError: no such file, not a checkpoint, of an unknown format, or its tensors do not fit its settings;
            the message lists every missing, unexpected and mis-shaped name.
        SettingsError: its settings are not legal.
    """
    document = read_document(path)
    settings = Settings.from_json(document["settings"])
    codec = make_codec(settings.codec)
    model = make_model(settings, codec)
    tensors = _read_tensors(path, ("model.", "codec.", "excerpt.", "notes."))
    wanted = _prefixed("model.", model.state_dict())
    wanted |= _prefixed("codec.", codec.state_dict())
    found = {name: tensor for name, tensor in tensors.items() if not name.startswith(("excerpt.", "notes."))}
    _check_fit(path, wanted, found)
    _fill(model, "model.", found)
    _fill(codec, "codec.", found)
    return Checkpoint(
        settings=settings,
        model=model,
        codec=codec,
        split=document["split"],
        history=document["history"],
        excerpts=[
            Excerpt(e["source"], e["seconds"], tensors[f"excerpt.{n}"], Notes.of_table(tensors[f"notes.{n}"].numpy()))
            for n, e in enumerate(document["excerpts"])
        ],
        progress=document["progress"],
        provenance=document["provenance"],
        ancestors=document["ancestors"],
    )


def load_resume(path: Path) -> dict[str, Tensor]:
    """Read the tensors that resuming needs.

    Raises:
        CheckpointError: there are none, as in `best.safetensors`.
    """
    tensors = _read_tensors(path, ("resume.",))
    if not tensors:
        raise CheckpointError(f"{path}: holds no optimiser state; only last.safetensors does")
    return {name.removeprefix("resume."): tensor for name, tensor in tensors.items()}


def read_document(path: Path) -> dict[str, Any]:
    """Read the metadata of a checkpoint, without its tensors, in the newest format.

    Raises:
        CheckpointError: no such file, not a checkpoint, or of an unknown format.
    """
    with _opened(path) as file:
        text = (file.metadata() or {}).get(KEY)
    if text is None:
        raise CheckpointError(f"{path}: a safetensors file, but not a checkpoint of quarterwave")
    try:
        document: dict[str, Any] = json.loads(text)
        found = document["format"]
        if found not in READABLE:
            remedy = "update quarterwave" if found > FORMAT else "train again, or render with the version that wrote it"
            formats = " and ".join(map(str, READABLE))
            raise CheckpointError(
                f"{path}: written in format {found}; quarterwave {__version__} reads {formats}: {remedy}"
            )
        document = migrate_document(document)
        missing = sorted(KEYS - document.keys())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: its description is damaged: {error}") from error
    if missing:
        raise CheckpointError(f"{path}: its description lacks {', '.join(missing)}")
    return document


def tensor_sizes(path: Path) -> dict[str, int]:
    """Return the bytes of the tensors by the first part of their names (`model`, `resume`, ...)."""
    sizes: dict[str, int] = {}
    with _opened(path) as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            tensor = file.get_tensor(name)
            part = name.split(".")[0]
            sizes[part] = sizes.get(part, 0) + tensor.nbytes
    return sizes


def versions() -> dict[str, str]:
    """Return the versions of this environment, and the machine."""
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
        renamed = tensor_renamer(json.loads(file.metadata()[KEY])["format"])
        names = [(name, renamed(name)) for name in file.keys()]  # noqa: SIM118 - not a mapping
        return {new: file.get_tensor(name) for name, new in names if new.startswith(prefixes)}


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
