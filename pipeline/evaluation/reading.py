"""Entrants: what is evaluated, a folder of clips or a checkpoint, before anything of it is measured."""

import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from pipeline.config import BEST, LAST
from pipeline.errors import EvaluationError
from pipeline.evaluation.anchors import ANCHORS
from pipeline.evaluation.copies import Origin
from pipeline.evaluation.segments import Cut, Source, cuts_of
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform, probe
from waveforms.corpus.recording import Recording
from waveforms.corpus.survey import survey
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.errors import AudioError
from waveforms.files import find_files

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class What:
    """What a person asked for.

    Attributes:
        name: of the system, unique.
        path: a checkpoint, a folder of clips, or one clip.
        is_checkpoint: whether it is one.
    """

    name: str
    path: Path
    is_checkpoint: bool


@dataclass(frozen=True)
class Folder:
    """A folder of clips, cut.

    Attributes:
        cuts: by file; a file that is too short gives none.
        notes: sentences on what was left out.
    """

    cuts: list[list[Cut]]
    notes: list[str] = field(default_factory=list)


def read_what(texts: Sequence[str]) -> list[What]:
    """Read PATH or NAME=PATH; where the name that a path suggests is taken, it gets a number.

    Raises:
        EvaluationError: there is no such file or folder, or a name is not legal or given twice.
    """
    asked = [_name_and_path(text) for text in texts]
    given = [name for name, _ in asked if name]
    for n, name in enumerate(given):
        if name in (*ANCHORS, ".", "..") or "/" in name:
            raise EvaluationError(f"a name must have no / in it and not be {', '.join(ANCHORS)}, and not {name!r}")
        if name in given[:n]:
            raise EvaluationError(f"names must differ, and {name} is given twice")
    taken = {*ANCHORS, *given}
    found: list[What] = []
    for name, place in asked:
        path, is_checkpoint = resolve(place)
        unique = name or _free(_name_of(path), taken)
        taken.add(unique)
        found.append(What(unique, path, is_checkpoint))
    return found


def _free(name: str, taken: set[str]) -> str:
    numbered = (f"{name}-{n}" for n in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def leads_to_checkpoint(text: str) -> bool:
    """Whether PATH or NAME=PATH is a checkpoint or a run's folder.

    Raises:
        EvaluationError: it is neither PATH nor NAME=PATH.
    """
    _, path = _name_and_path(text)
    return path.exists() and resolve(path)[1]


def resolve(path: Path) -> tuple[Path, bool]:
    """Tell what a path is: a run's folder leads to its best checkpoint.

    Returns:
        the path of the checkpoint, folder or file, and whether it is a checkpoint.

    Raises:
        EvaluationError: there is nothing of this name.
    """
    if not path.exists():
        raise EvaluationError(f"{path}: a folder of clips or a checkpoint is needed, and there is none of this name")
    if (path / BEST).is_file():
        return path / BEST, True
    return path, path.suffix == ".safetensors"


def read_folder(path: Path, n_samples: int, progress: Progress) -> Folder:
    """Look at the clips of a folder, or at one file.

    Args:
        path: of either.
        n_samples: of a clip that is measured: longer files are cut, shorter ones are left out.
        progress: called with (files done, files in all) after each.

    Raises:
        EvaluationError: nothing is long enough.
        CorpusError: the folder cannot be listed.
    """
    files, problems = find_files(path) if path.is_dir() else ([(path.name, path)], [])
    sources: list[tuple[Source, Path]] = []
    for n_done, (name, file) in enumerate(files, start=1):
        try:
            sources.append((_source(name, file), file))
        except AudioError as error:
            problems.append(error)
        progress(n_done, len(files))
    long = [(source, file) for source, file in sources if source.n_samples >= n_samples]
    if not long:
        raise EvaluationError(_nothing_long_enough(path, [source for source, _ in sources], n_samples))
    notes = [f"left out: {problem}" for problem in problems if not problem.reason.startswith("not audio")]
    if n_short := len(sources) - len(long):
        shorter = f"shorter than {n_samples / SAMPLE_RATE:g} s"
        notes.append(f"left out: {n_short} of the {len(sources)} clips of {path}, which are {shorter}")
    return Folder([_cut(source, file, n_samples) for source, file in long], notes)


def read_clips(paths: Sequence[Path]) -> list[Cut]:
    """Clips that were just rendered, each whole."""
    sources = [(_source(path.name, path), path) for path in paths]
    return [_cut(source, path, source.n_samples)[0] for source, path in sources]


def _cut(source: Source, file: Path, n_samples: int) -> list[Cut]:
    return cuts_of(source, str(file), n_samples, _origin(file, source))


@dataclass(frozen=True)
class _Silent:
    """A clip of silence: no recording to learn from, but a result to be told."""

    name: str
    n_samples: int

    def read(self, start: int, stop: int) -> Waveform:
        return np.zeros(stop - start, np.float32)


def _source(name: str, file: Path) -> Source:
    try:
        return Recording(name, survey(file))
    except AudioError as error:
        if error.reason.startswith("silent"):
            return _Silent(name, probe(file).n_samples)
        raise


def _origin(file: Path, source: Source) -> Origin | None:
    """Where a rendered clip's prompt is from, by its provenance; None for a clip that does not begin right after it."""
    try:
        with soundfile.SoundFile(file) as opened:
            provenance = json.loads(opened.comment or "null")
        parts = provenance["prompt"]["parts"]
        if len(parts) != 1 or source.n_samples != provenance["blocks"] * BLOCK_SIZE:
            return None
        return Origin(str(parts[0]["recording"]), round(parts[0]["stop"] * SAMPLE_RATE))
    except (soundfile.SoundFileError, ValueError, KeyError, TypeError, OverflowError):
        return None  # a file of anybody else's


def _name_and_path(text: str) -> tuple[str, Path]:
    if Path(text).exists() or "=" not in text:  # a path may hold any character
        return "", Path(text)
    name, _, path = text.partition("=")
    if not name or not path:
        raise EvaluationError(f"what is evaluated must be PATH or NAME=PATH and not {text!r}")
    return name, Path(path)


def _name_of(path: Path) -> str:
    path = Path(os.path.abspath(path))  # a link keeps the name that the user gave it
    return path.parent.name if path.name in (BEST, LAST) else path.stem if path.is_file() else path.name


def _nothing_long_enough(path: Path, sources: Sequence[Source], n_samples: int) -> str:
    needed = f"{path}: a clip of {n_samples / SAMPLE_RATE:g} s or more is needed"
    if not sources:
        return f"{needed}, and there is no usable audio file"
    longest = max(sources, key=lambda source: source.n_samples)
    return f"{needed}, and the longest is {longest.name}, {longest.n_samples / SAMPLE_RATE:.2f} s"
