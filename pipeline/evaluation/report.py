"""What an evaluation found: plain data, the way into `report.json` and back.

A report holds systems; a system holds values and clips; a value belongs to a measure, which says what it means. The
table, the JSON file and the page are three views of one `Report`.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

FORMAT = 1

Better = Literal["higher", "lower", "reference"]
Kind = Literal["system", "anchor"]


@dataclass(frozen=True)
class Measure:
    """What a number means.

    Attributes:
        id: its key in `System.values` or `Clip.values`.
        room: the group it is shown in (`distances`, `notes`, `copies`, `seams`, `faults`, `life`, `level`, `skill`).
        title: in a table's head.
        unit: as printed after the number; "" for none.
        digits: after the decimal point.
        better: which way is better; `reference` if the reference's own number is.
        meaning: one sentence: what it says.
        blind: one sentence: what it cannot tell.
        headline: whether the terminal's table and the page's first table show it.
    """

    id: str
    room: str
    title: str
    unit: str
    digits: int
    better: Better
    meaning: str
    blind: str
    headline: bool = False


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
class Mark:
    """A moment of a clip worth listening to: a copied passage, a click, a collapse.

    Attributes:
        kind: the id of the measure that found it.
        start: in seconds.
        seconds: its length; 0 for a moment.
        text: what is there, in words.
    """

    kind: str
    start: float
    seconds: float
    text: str


@dataclass(frozen=True)
class Clip:
    """One clip of a system.

    Attributes:
        name: unique in its system.
        source: the file it was read from, and from which second on; "" for one made in memory.
        values: by measure.
        strangeness: how far it is from the reference: 1 is as far as the reference's own clips in the median. Clips
            are ordered by it, the worst first.
        marks: in order of time.
    """

    name: str
    source: str
    values: dict[str, Value]
    strangeness: float
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """A distribution of a system, for a plot.

    Attributes:
        id: `pitch_classes`, `pitches`, `intervals`, `at_once`, `velocities`, `lengths`.
        title: of the plot.
        axis: what the bins count, with unit.
        labels: one a bin.
        shares: one a bin; they sum to 1, or are all 0.
    """

    id: str
    title: str
    axis: str
    labels: tuple[str, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class System:
    """What was evaluated, or an anchor to hold it against.

    Attributes:
        name: unique in the report.
        kind: `system` or `anchor`.
        about: one sentence: what it is and where it is from.
        n_clips: measured.
        seconds: of sound measured.
        values: by measure.
        clips: in the order measured.
        histograms: of the system as a whole.
        facts: of a checkpoint: its settings, how many weights it has, how long it was trained, its loss; no figures
            of how it sounds.
    """

    name: str
    kind: Kind
    about: str
    n_clips: int
    seconds: float
    values: dict[str, Value]
    clips: tuple[Clip, ...]
    histograms: tuple[Histogram, ...]
    facts: dict[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Everything an evaluation found, and what it depended on.

    Attributes:
        title: what was compared.
        reference: folder, counts and seconds of the reference.
        clip_seconds: length of every clip.
        seed: of every random choice.
        versions: of what measured: quarterwave, torch, ..., and the embeddings' packages.
        measures: in the order shown.
        systems: in the order shown, the user's before the anchors.
        notes: sentences a reader must know (files left out, sets too small, ...).
        seconds: how long evaluating took.
    """

    title: str
    reference: dict[str, Any]
    clip_seconds: float
    seed: int
    versions: dict[str, str]
    measures: tuple[Measure, ...]
    systems: tuple[System, ...]
    notes: tuple[str, ...] = field(default=())
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries and lists, with the format's number."""
        document: dict[str, Any] = _unsigned({"format": FORMAT} | asdict(self))
        return document


def _unsigned(data: Any) -> Any:
    """The same without negative zeros."""
    if isinstance(data, dict):
        return {key: _unsigned(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_unsigned(value) for value in data]
    return data + 0.0 if isinstance(data, float) else data
