"""A request: what to evaluate, and how. It checks itself, so that a program may make one as the command line does."""

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.codecs import make_codec
from pipeline.config import BEST, LAST
from pipeline.errors import EvaluationError
from pipeline.evaluation.anchors import ANCHORS, classic_settings
from waveforms.corpus import Corpus

StartTask = Callable[[str, int], Callable[[int], None]]  # (description, number of parts) -> called with parts just done


@dataclass(frozen=True)
class SystemPath:
    """Where a system is.

    Attributes:
        name: unique in its request.
        path: of a checkpoint, of a folder of clips, or of one clip.
        is_checkpoint: whether it is one.
    """

    name: str
    path: Path
    is_checkpoint: bool


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate, and how.

    Attributes:
        systems: PATH or NAME=PATH of each: a checkpoint, a run's folder, a folder of clips, or one clip.
        out: the folder of results.
        corpus: an open corpus that all checkpoints were trained on; by default it is opened from its places.
        reference: the folder of real music; by default the corpus of the first checkpoint.
        trained_on: the corpus that systems were trained on, to find copies in; by default each checkpoint's own.
        prompts: recordings that clips begin from; by default what each checkpoint held out.
        classic: a checkpoint or a folder of clips for that anchor; by default one is trained.
        n_clips: how many clips of each system are measured.
        seconds: the length of a clip.
        seed: seeds every random choice.
        thorough: whether the thorough transcriber finds notes, too.
        paths: the systems as they were found.

    Raises:
        EvaluationError: a number is not legal, a system is not there, or a name is not legal or given twice.
        SettingsError: the length is not one of whole blocks.
    """

    systems: Sequence[str]
    out: Path = Path("evaluation")
    corpus: Corpus | None = None
    reference: Path | None = None
    trained_on: Path | None = None
    prompts: Path | None = None
    classic: Path | None = None
    n_clips: int = 32
    seconds: float = 10.0
    seed: int = 0
    thorough: bool = False
    paths: tuple[SystemPath, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.n_clips < 2:
            raise EvaluationError(f"clips must be at least 2 and not {self.n_clips}")
        if self.seed < 0:
            raise EvaluationError(f"seed must be at least 0 and not {self.seed}")
        make_codec(classic_settings().codec).n_blocks_in(self.seconds)
        object.__setattr__(self, "paths", _paths_of(self.systems))


def resolve(path: Path) -> tuple[Path, bool]:
    """Find what a path leads to: a run's folder leads to its best checkpoint.

    Returns:
        the path of the checkpoint, folder or file, and whether it is a checkpoint.

    Raises:
        EvaluationError: there is nothing of this name, or it is a report.
    """
    if not path.exists():
        raise EvaluationError(f"{path}: a folder of clips or a checkpoint is needed, and there is none of this name")
    if path.suffix == ".json" and path.is_file():
        raise EvaluationError(
            f"{path}: a folder of clips or a checkpoint is needed, and this is a report; name what it evaluated again, "
            "and a report of this version's format is written"
        )
    if (path / BEST).is_file():
        return path / BEST, True
    return path, path.suffix == ".safetensors"


def leads_to_checkpoint(text: str) -> bool:
    """Whether PATH or NAME=PATH is a checkpoint or a run's folder.

    Raises:
        EvaluationError: it is neither PATH nor NAME=PATH, or a report.
    """
    _, path = _name_and_path(text)
    return path.exists() and resolve(path)[1]


def _paths_of(systems: Sequence[str]) -> tuple[SystemPath, ...]:
    """Read PATH or NAME=PATH; where the name that a path suggests is taken, it gets a number."""
    asked = [_name_and_path(text) for text in systems]
    given = [name for name, _ in asked if name]
    for n, name in enumerate(given):
        if name in (*ANCHORS, ".", "..") or "/" in name:
            raise EvaluationError(f"a name must have no / in it and not be {', '.join(ANCHORS)}, and not {name!r}")
        if name in given[:n]:
            raise EvaluationError(f"names must differ, and {name} is given twice")
    taken = {*ANCHORS, *given}
    found = []
    for name, place in asked:
        path, is_checkpoint = resolve(place)
        unique = name or _free(_name_of(path), taken)
        taken.add(unique)
        found.append(SystemPath(unique, path, is_checkpoint))
    return tuple(found)


def _name_and_path(text: str) -> tuple[str, Path]:
    if Path(text).exists() or "=" not in text:  # a path may hold any character
        return "", Path(text)
    name, _, path = text.partition("=")
    if not name or not path:
        raise EvaluationError(f"a system must be PATH or NAME=PATH and not {text!r}")
    return name, Path(path)


def _free(name: str, taken: set[str]) -> str:
    numbered = (f"{name}-{n}" for n in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def _name_of(path: Path) -> str:
    path = Path(os.path.abspath(path))  # a link keeps the name that the user gave it
    return path.parent.name if path.name in (BEST, LAST) else path.stem if path.is_file() else path.name
