"""From what is measured in clips to the results of a system: its values, clips and histograms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation import statistics
from pipeline.evaluation.analysis import Analysis, CachedAnalyser
from pipeline.evaluation.clips import Segment
from pipeline.evaluation.copies import Copies, find_copies
from pipeline.evaluation.landmarks import LandmarkIndex
from pipeline.evaluation.metrics import METRICS, NOTES, Metric
from pipeline.evaluation.note_distances import HISTOGRAMS, compare_notes, js_divergence
from pipeline.evaluation.notes import (
    DURATION_EDGES,
    INTERVAL_EDGES,
    MOST_AT_ONCE,
    VELOCITY_EDGES,
    NoteStatistics,
    pooled,
)
from pipeline.evaluation.report import Annotation, ClipResult, Histogram, Value
from pipeline.pretrained.embeddings import NAMES, at_equal_loudness
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH

NOTE_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
_OF_CLIPS = tuple(metric for metric in METRICS if metric.of_clip)
_OF_NOTES = tuple(metric for metric in NOTES if metric.of_notes)
_OUTLIERS = ("flatness", "flux")  # compared with those of the reference's clips one by one
_RATIOS = ("notes_per_second", "polyphony")  # compared with those of the anchor resynthesis
_PITCHES = tuple(f"{NOTE_NAMES[n % 12]}{n // 12 - 1}" for n in range(LOWEST_PITCH, HIGHEST_PITCH + 1))
_INTERVALS, _DURATIONS = (
    (*(f"{edge:.2f}" for edge in edges[:-2]), f"{edges[-2]:.2f} or more") for edges in (INTERVAL_EDGES, DURATION_EDGES)
)
_PLOTS = (  # id, title, axis and labels of each histogram
    ("pitch_classes", "pitch classes", "pitch class", NOTE_NAMES),
    ("pitches", "pitches", "pitch", _PITCHES),
    ("onset_intervals", "time from onset to onset", "seconds, from", _INTERVALS),
    ("polyphony", "notes at once", "notes, by time", (*map(str, range(MOST_AT_ONCE)), f"{MOST_AT_ONCE} or more")),
    ("velocities", "velocities", "MIDI velocity, from", tuple(f"{edge:.0f}" for edge in VELOCITY_EDGES[:-1])),
    ("durations", "durations of notes", "seconds, from", _DURATIONS),
)

Notes = Sequence[NoteStatistics]  # one a clip


@dataclass(frozen=True, eq=False)
class MeasuredClip(Analysis):
    """The analysis of a clip, and what it copies.

    Attributes:
        segment: the clip.
        copies: None where it is not known what its model was trained on.
    """

    segment: Segment
    copies: Copies | None


def measure(analyser: CachedAnalyser, segment: Segment, index: LandmarkIndex | None) -> MeasuredClip:
    """Measure a clip.

    Args:
        analyser: measures all but copies.
        segment: the clip.
        index: the landmarks of the corpus that its model was trained on, if that is known.
    """
    waveform = segment.read()
    analysis = analyser.analyse(waveform)
    level = at_equal_loudness(waveform, analysis.levels.loudness)
    copies = find_copies(index, level, origin=segment.origin) if index else None
    return MeasuredClip(**vars(analysis), segment=segment, copies=copies)


def clip_values(clips: Sequence[MeasuredClip]) -> dict[str, list[float | None]]:
    """The values of every metric that clips have, {id: a value for each clip}."""
    values = {metric.id: [_finite(metric.of_clip(clip)) for clip in clips] for metric in _OF_CLIPS if metric.of_clip}
    for transcriber in clips[0].notes:
        notes = _notes(clips, transcriber)
        values |= {
            _id(transcriber, metric.id): [metric.of_notes(each) for each in notes]
            for metric in _OF_NOTES
            if metric.of_notes
        }
    return values


def system_values(
    clips: Sequence[MeasuredClip],
    reference: Sequence[MeasuredClip],
    real: Sequence[MeasuredClip],
    continuation: Sequence[MeasuredClip] = (),
    resynthesis: Sequence[MeasuredClip] = (),
    *,
    seed: int,
) -> dict[str, Value]:
    """Pool the values of a system's clips, {id: value}: all metrics but distances of embeddings and skill.

    Args:
        clips: the clips of the system.
        reference: the clips of the reference.
        real: the clips of the anchor real.
        continuation: the clips of the anchor continuation of the system's prompts, where there is one.
        resynthesis: the clips of the anchor resynthesis likewise.
        seed: seeds the intervals.
    """
    numbers, usual = clip_values(clips), clip_values(reference)
    values = {metric.id: _pooled(metric, numbers[metric.id], seed) for metric in _OF_CLIPS}
    for name in _OUTLIERS:
        values[f"{name}_outliers"] = statistics.mean(_outliers(numbers[name], usual[name]), seed=seed)
    values["piano_ratio"] = _ratio([clip.piano for clip in clips], [clip.piano for clip in real], seed)
    for transcriber in clips[0].notes:
        found = _note_values(
            *(_notes(each, transcriber) for each in (clips, reference, continuation, resynthesis)), seed=seed
        )
        values |= {_id(transcriber, name): value for name, value in found.items()}
    return values


def clip_results(clips: Sequence[MeasuredClip], reference: Sequence[MeasuredClip]) -> tuple[ClipResult, ...]:
    """The clips, each with its own values, its strangeness and its annotations."""
    values = clip_values(clips)
    strangeness = _strangeness(clips, reference)
    return tuple(
        ClipResult(
            name=clip.segment.name,
            source=clip.segment.source,
            values={name: Value(each[n]) for name, each in values.items()},
            strangeness=strangeness[n],
            annotations=annotations_of(clip),
        )
        for n, clip in enumerate(clips)
    )


def annotations_of(clip: MeasuredClip) -> tuple[Annotation, ...]:
    """The moments of a clip that are worth listening to, in order of time."""
    life, faults = clip.life, clip.faults
    found = [Annotation("clicks", time, 0.0, "click") for time in clip.seams.clicks]
    for copy in clip.copies.copies if clip.copies else ():
        kind = "continued" if copy.is_continuation else "copied"
        text = f"{copy.kind} from {copy.recording} @ {copy.source:.2f} s"
        found.append(Annotation(kind, copy.start, copy.seconds, text))
    found += [Annotation("glides", start, seconds, "a partial glides") for start, seconds in faults.glides]
    found += [Annotation("bursts", time, 0.0, f"a note {excess:.0f} dB too loud") for time, excess in faults.bursts]
    if life.collapse:
        rest = clip.seconds - life.collapse_at
        found.append(Annotation("collapse", life.collapse_at, rest, f"{life.collapse} from here on"))
    if life.loop_share:
        text = f"{100 * life.loop_share:.0f} % repeats what was {life.loop_period:.2f} s before"
        found.append(Annotation("loops", 0.0, clip.seconds, text))
    return tuple(sorted(found, key=lambda annotation: annotation.start))


def histograms_of(clips: Sequence[MeasuredClip]) -> tuple[Histogram, ...]:
    """The distributions of a system's notes."""
    notes = pooled(_notes(clips, "quick"))
    shares = {name: of(notes) / (of(notes).sum() or 1.0) for name, of in HISTOGRAMS.items()}
    return tuple(Histogram(*row, tuple(shares[row[0]].tolist())) for row in _PLOTS)


def _note_values(
    notes: Notes, reference: Notes, continuation: Notes, resynthesis: Notes, *, seed: int
) -> dict[str, Value]:
    """The values of a system that depend on the notes of one transcriber."""
    values = {
        metric.id: statistics.quotient([_weighted(metric, each) for each in notes], seed=seed)
        for metric in _OF_NOTES
        if metric.weight
    }
    values["median_onset_interval"] = statistics.median([each.gaps for each in notes], seed=seed)
    distances = compare_notes(reference, notes, seed=seed)
    if distances:
        divergence = js_divergence(pooled(reference).pitch_classes, pooled(notes).pitch_classes)
        values["js_divergence_pitch_classes"] = Value(divergence)
    values |= {f"js_{name}": value for name, value in distances.items()}
    if continuation:
        distances = compare_notes(continuation, notes, seed=seed)
        values |= {f"js_{name}_continuation": value for name, value in distances.items()}
    if resynthesis:
        for name in _RATIOS:
            ours, theirs = ([getattr(each, name) for each in clips] for clips in (notes, resynthesis))
            values[f"{name}_ratio"] = _ratio(ours, theirs, seed)
    return values


def _notes(clips: Sequence[MeasuredClip], transcriber: str) -> Notes:
    return [clip.notes[transcriber] for clip in clips]


def _id(transcriber: str, metric: str) -> str:
    """The id of a metric of the notes that a transcriber finds; the quick one's have the plain id."""
    return metric if transcriber == "quick" else f"{transcriber}_{metric}"


def _pooled(metric: Metric, numbers: Sequence[float | None], seed: int) -> Value:
    return statistics.over_all(numbers, metric.pool) if metric.pool else statistics.mean(numbers, seed=seed)


def _weighted(metric: Metric, notes: NoteStatistics) -> tuple[float, float]:
    """A clip's number times its weight, and its weight."""
    assert metric.of_notes
    assert metric.weight
    weight = metric.weight(notes)
    return (metric.of_notes(notes) or 0.0) * weight, weight


def _ratio(numbers: Sequence[float], others: Sequence[float], seed: int) -> Value:
    """The ratio of two means, in per cent."""
    value = statistics.ratio_of_means(numbers, others, seed=seed)
    return Value(*(None if part is None else 100 * part for part in (value.value, value.low, value.high)))


def _outliers(numbers: Sequence[float | None], reference: Sequence[float | None]) -> list[float | None]:
    """100 for each number beyond the 5th or the 95th percentile of the reference's, 0 for the others."""
    known = [number for number in reference if number is not None]
    if not known:
        return [None] * len(numbers)
    low, high = np.percentile(known, [5, 95])
    return [None if n is None else 0.0 if low <= n <= high else 100.0 for n in numbers]


def _strangeness(clips: Sequence[MeasuredClip], reference: Sequence[MeasuredClip]) -> list[float]:
    """The distance of each clip's mean vector from the reference's, over the median of the reference's own clips.

    Each clip of the reference is compared with the mean of the others. The mean over embeddings is taken.
    """
    found = []
    for e in NAMES:
        ours = np.array([clip.vectors[e].mean(axis=0) for clip in reference], np.float64)
        theirs = np.array([clip.vectors[e].mean(axis=0) for clip in clips], np.float64)
        others = (ours.sum(axis=0) - ours) / (len(ours) - 1)  # of all but this one
        usual = float(np.median(np.linalg.norm(ours - others, axis=1))) or 1.0
        found.append(np.linalg.norm(theirs - ours.mean(axis=0), axis=1) / usual)
    strangeness: list[float] = np.mean(found, axis=0).tolist()
    return strangeness


def _finite(number: float | None) -> float | None:
    return number if number is not None and np.isfinite(number) else None
