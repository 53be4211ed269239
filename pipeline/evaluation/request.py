"""What is asked for, and what is gathered to answer it, before anything is measured."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.evaluation.landmarks import LandmarkIndex
from pipeline.evaluation.reading import What
from pipeline.evaluation.report import Fact, Kind, Value
from pipeline.evaluation.segments import Cut
from waveforms.corpus import Corpus

Stage = Callable[[str, int], Callable[[int], None]]  # (what begins, its parts) -> told how many more are done


@dataclass(frozen=True)
class Request:
    """What to evaluate, and how.

    Attributes:
        what: the systems.
        out: the folder of results.
        corpus: that all checkpoints learned from, where it is open; by default it is opened from its places.
        reference: the folder of real music; by default the corpus of the first checkpoint.
        trained_on: the corpus that systems learned from, for the copy finder; by default each checkpoint's own.
        prompts: recordings that clips begin from; by default what each checkpoint held out.
        classic: a checkpoint or a folder of clips for that anchor; by default one is trained.
        n_clips: of each system.
        seconds: of a clip.
        seed: of every random choice.
        thorough: whether the thorough transcriber hears notes, too.
    """

    what: tuple[What, ...]
    out: Path
    corpus: Corpus | None = None
    reference: Path | None = None
    trained_on: Path | None = None
    prompts: Path | None = None
    classic: Path | None = None
    n_clips: int = 32
    seconds: float = 10.0
    seed: int = 0
    thorough: bool = False


@dataclass(frozen=True)
class Entrant:
    """A system, or an anchor, before it is measured.

    Attributes:
        name: unique.
        kind: see `report.System`.
        about: likewise.
        cuts: its clips.
        index: of what it learned from, if that is known.
        facts: see `report.System`.
        skill: values by measure.
        continuation: the name of the anchor that goes on from the same prompts as recordings do; "" for none.
        resynthesis: the name of the anchor that is that, encoded and decoded as this system's model does; likewise.
    """

    name: str
    kind: Kind
    about: str
    cuts: list[Cut]
    index: LandmarkIndex | None = None
    facts: dict[str, Fact] = field(default_factory=dict)
    skill: dict[str, Value] = field(default_factory=dict)
    continuation: str = ""
    resynthesis: str = ""


@dataclass(frozen=True)
class Gathered:
    """Everything that is measured.

    Attributes:
        corpus: the reference's.
        reference: its clips.
        entrants: the systems, then the anchors.
        notes: sentences a reader must know.
    """

    corpus: Corpus
    reference: list[Cut]
    entrants: list[Entrant]
    notes: list[str]
