"""The report of an evaluation: plain data, which becomes `report.json`, a page and a table.

A report holds systems; a system holds values and clips; a value belongs to a metric, which says what it means.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeline.evaluation.metrics import Metric

FORMAT = 2

Kind = Literal["system", "anchor"]
Fact = str | float


@dataclass(frozen=True)
class Value:
    """A number with its 95 % interval, where one is known.

    Attributes:
        value: the number; None if it has none (a clip without notes has no interval between them).
        low: the interval's lower end.
        high: its upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Annotation:
    """A moment of a clip that is worth listening to: a copied excerpt, a click, a collapse.

    Attributes:
        kind: the id of the metric that found it.
        start: in seconds.
        seconds: its length; 0 for a moment.
        text: what is there, in words.
    """

    kind: str
    start: float
    seconds: float
    text: str


@dataclass(frozen=True)
class ClipResult:
    """What was measured in one clip of a system.

    Attributes:
        name: unique in its system.
        source: the file that it was read from, and from which second on; "" for a clip that was made in memory.
        values: by metric.
        strangeness: its distance from the reference: 1 is the median distance of the reference's own clips. Clips are
            ordered by it, the worst first.
        annotations: in order of time.
    """

    name: str
    source: str
    values: dict[str, Value]
    strangeness: float
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """A distribution of a system, for a plot.

    Attributes:
        id: `pitch_classes`, `pitches`, `onset_intervals`, `polyphony`, `velocities`, `durations`.
        title: of the plot.
        axis: what the bins count, with its unit.
        labels: one for each bin.
        shares: one for each bin; they sum to 1, or are all 0.
    """

    id: str
    title: str
    axis: str
    labels: tuple[str, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class SystemResult:
    """What was measured of a system, or of an anchor to compare it with.

    Attributes:
        name: unique in the report.
        kind: `system` or `anchor`.
        description: one sentence: what it is and where it is from.
        n_clips: how many clips were measured.
        seconds: how much sound was measured.
        values: by metric.
        clips: in the order measured.
        histograms: of all notes of the system.
        facts: the settings of a checkpoint, how many weights it has, how long it was trained, its loss; no figures of
            how it sounds.
    """

    name: str
    kind: Kind
    description: str
    n_clips: int
    seconds: float
    values: dict[str, Value]
    clips: tuple[ClipResult, ...]
    histograms: tuple[Histogram, ...]
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Everything that an evaluation measured, and what it depended on.

    Attributes:
        title: what was compared.
        reference: folder, counts and seconds of the reference.
        clip_seconds: the length of every clip.
        seed: seeded every random choice.
        versions: of quarterwave, python, packages and networks that measured.
        metrics: in the order shown.
        systems: in the order shown, the user's before the anchors.
        notes: sentences a reader must know (files left out, sets too small, ...).
        seconds: how long evaluating took.
    """

    title: str
    reference: dict[str, Any]
    clip_seconds: float
    seed: int
    versions: dict[str, str]
    metrics: tuple[Metric, ...]
    systems: tuple[SystemResult, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries and lists, with the format's number and without negative zeros."""
        metrics = [metric.to_json() for metric in self.metrics]
        document = {"format": FORMAT} | asdict(self) | {"metrics": metrics}
        return with_floats(document, lambda number: number + 0.0)  # type: ignore[no-any-return]


def with_floats(data: Any, changed: Callable[[float], float | None]) -> Any:
    """The same dictionaries and lists, with every float changed."""
    if isinstance(data, dict):
        return {key: with_floats(value, changed) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [with_floats(value, changed) for value in data]
    return changed(data) if isinstance(data, float) else data
