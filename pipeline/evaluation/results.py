"""From what the ears say of clips to a system's place in the report: values, clips, histograms."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pipeline.evaluation import statistics
from pipeline.evaluation.embeddings import NAMES
from pipeline.evaluation.measuring import PER_CLIP, PER_CLIPS_NOTES, Measured, marks_of
from pipeline.evaluation.note_distances import compare_notes, js_divergence
from pipeline.evaluation.notes import (
    INTERVAL_EDGES,
    LENGTH_EDGES,
    MOST_AT_ONCE,
    VELOCITY_EDGES,
    NoteStatistics,
    pooled,
)
from pipeline.evaluation.report import Clip, Histogram, Value
from pipeline.evaluation.skill import Skill
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH

NOTE_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
_LARGEST = ("longest_copy", "largest_step", "true_peak")  # of a system: its clips' largest
_SUMMED = ("clipped",)
_UNUSUAL = ("flatness", "flux")  # that are held against the reference's clips one by one
# Of each clip what adds up, and what its sum is divided by.
_QUOTIENTS: Mapping[str, Callable[[NoteStatistics], tuple[float, float]]] = {
    "notes_per_second": lambda notes: (notes.n_notes, notes.seconds),
    "polyphony": lambda notes: (notes.polyphony * notes.seconds, notes.seconds),
    "velocity_spread": lambda notes: (notes.velocity_spread * notes.n_notes, notes.n_notes),
    "key_clarity": lambda notes: (notes.key_clarity * notes.n_notes, notes.n_notes),
    "notes_drift": lambda notes: (100 * notes.n_last, notes.n_first),
}
# Of each clip what is held against the anchor resynthesis; clips of one length weigh alike.
_RATIOS: Mapping[str, Callable[[NoteStatistics], float]] = {
    "notes_per_second": lambda notes: notes.notes_per_second,
    "polyphony": lambda notes: notes.polyphony,
}

Notes = Sequence[NoteStatistics]  # one a clip


def numbers_of(clips: Sequence[Measured]) -> dict[str, list[float | None]]:
    """Every measure that a clip has, of every clip."""
    numbers = {name: [_finite(of(clip)) for clip in clips] for name, of in PER_CLIP.items()}
    for transcriber in clips[0].notes:
        notes = _notes(clips, transcriber)
        numbers |= {_id(transcriber, name): [of(each) for each in notes] for name, of in PER_CLIPS_NOTES.items()}
    return numbers


def values_of(
    clips: Sequence[Measured],
    reference: Sequence[Measured],
    real: Sequence[Measured],
    continuation: Sequence[Measured] = (),
    resynthesis: Sequence[Measured] = (),
    *,
    seed: int,
) -> dict[str, Value]:
    """A system's values, but for distances and skill.

    Args:
        clips: the system's.
        reference: the reference's.
        real: the anchor's of that name.
        continuation: of the system's prompts, where that anchor is there.
        resynthesis: likewise.
        seed: of the intervals.
    """
    numbers, usual = numbers_of(clips), numbers_of(reference)
    values = {name: statistics.mean(each, seed=seed) for name, each in numbers.items()}
    values |= {name: statistics.over_all(numbers[name], max) for name in _LARGEST}
    values |= {name: statistics.over_all(numbers[name], sum) for name in _SUMMED}
    values["edge_z"] = statistics.over_all(numbers["edge_z"], _together)
    for name in _UNUSUAL:
        values[f"{name}_unusual"] = statistics.mean(_unusual(numbers[name], usual[name]), seed=seed)
    ratio = statistics.ratio_of_means([clip.piano for clip in clips], [clip.piano for clip in real], seed=seed)
    values["piano_ratio"] = _in_per_cent(ratio)
    for transcriber in clips[0].notes:
        found = _note_values(
            *(_notes(each, transcriber) for each in (clips, reference, continuation, resynthesis)), seed=seed
        )
        values |= {_id(transcriber, name): value for name, value in found.items()}
    return values


def skill_values(skill: Skill) -> dict[str, Value]:
    """A checkpoint's skill, by measure."""
    return {
        "skill_mean": skill.against_mean,
        "skill_repeat": skill.against_repeat,
        "skill_decoded_mean": skill.decoded_against_mean,
        "skill_decoded_repeat": skill.decoded_against_repeat,
        "skill_distance": skill.distance,
        "skill_distance_of_real": skill.distance_of_real,
    }


def clips_of(clips: Sequence[Measured], reference: Sequence[Measured]) -> tuple[Clip, ...]:
    """The clips, each with its own numbers, its strangeness and its marks."""
    numbers = numbers_of(clips)
    strangeness = _strangeness(clips, reference)
    return tuple(
        Clip(
            name=clip.cut.name,
            source=clip.cut.source,
            values={name: Value(each[n]) for name, each in numbers.items()},
            strangeness=strangeness[n],
            marks=marks_of(clip),
        )
        for n, clip in enumerate(clips)
    )


def histograms_of(clips: Sequence[Measured]) -> tuple[Histogram, ...]:
    """What a system plays, as distributions."""
    notes = pooled(_notes(clips, "quick"))
    keys = tuple(f"{NOTE_NAMES[pitch % 12]}{pitch // 12 - 1}" for pitch in range(LOWEST_PITCH, HIGHEST_PITCH + 1))
    times = (*(f"{edge:.2f}" for edge in INTERVAL_EDGES[:-2]), f"{INTERVAL_EDGES[-2]:.2f} or more")
    lengths = (*(f"{edge:.2f}" for edge in LENGTH_EDGES[:-2]), f"{LENGTH_EDGES[-2]:.2f} or more")
    touches = tuple(f"{edge:.0f}" for edge in VELOCITY_EDGES[:-1])
    counts = (*map(str, range(MOST_AT_ONCE)), f"{MOST_AT_ONCE} or more")
    return (
        Histogram("pitch_classes", "note names", "note", NOTE_NAMES, _shares(notes.pitch_classes)),
        Histogram("pitches", "keys of the piano", "key", keys, _shares(notes.pitches)),
        Histogram("intervals", "time from onset to onset", "from so many seconds on", times, _shares(notes.intervals)),
        Histogram("at_once", "notes at once", "notes, by time", counts, _shares(notes.at_once)),
        Histogram("velocities", "velocities", "from so much on, in MIDI's steps", touches, _shares(notes.velocities)),
        Histogram("lengths", "lengths of notes", "from so many seconds on", lengths, _shares(notes.lengths)),
    )


def _note_values(
    notes: Notes, reference: Notes, continuation: Notes, resynthesis: Notes, *, seed: int
) -> dict[str, Value]:
    """A system's measures of notes, as one transcriber hears them."""
    values = {name: statistics.quotient([row(each) for each in notes], seed=seed) for name, row in _QUOTIENTS.items()}
    values["median_interval"] = statistics.median([each.gaps for each in notes], seed=seed)
    distances = compare_notes(reference, notes, seed=seed)
    if distances:
        divergence = js_divergence(pooled(reference).pitch_classes, pooled(notes).pitch_classes)
        values["js_divergence_pitch_classes"] = Value(divergence)
    values |= {f"js_{name}": value for name, value in distances.items()}
    if continuation:
        distances = compare_notes(continuation, notes, seed=seed)
        values |= {f"js_{name}_continuation": value for name, value in distances.items()}
    if resynthesis:
        for name, of in _RATIOS.items():
            ratio = statistics.ratio_of_means(
                [of(each) for each in notes], [of(each) for each in resynthesis], seed=seed
            )
            values[f"{name}_ratio"] = _in_per_cent(ratio)
    return values


def _notes(clips: Sequence[Measured], transcriber: str) -> Notes:
    return [clip.notes[transcriber] for clip in clips]


def _id(transcriber: str, measure: str) -> str:
    """A measure of notes as a transcriber hears them; the quick one's have the plain name."""
    return measure if transcriber == "quick" else f"{transcriber}_{measure}"


def _strangeness(clips: Sequence[Measured], reference: Sequence[Measured]) -> list[float]:
    """How far each clip's mean vector lies from the reference's mean, in the median of the reference's own clips.

    Each of the reference's is held against the mean of the others. The mean over embeddings is taken.
    """
    found = []
    for e in NAMES:
        ours = np.array([clip.vectors[e].mean(axis=0) for clip in reference], np.float64)
        theirs = np.array([clip.vectors[e].mean(axis=0) for clip in clips], np.float64)
        n = len(ours)
        others = (ours.sum(axis=0) - ours) / (n - 1)  # of all but this one
        usual = float(np.median(np.linalg.norm(ours - others, axis=1))) or 1.0
        found.append(np.linalg.norm(theirs - ours.mean(axis=0), axis=1) / usual)
    strangeness: list[float] = np.mean(found, axis=0).tolist()
    return strangeness


def _unusual(numbers: Sequence[float | None], usual: Sequence[float | None]) -> list[float | None]:
    known = [number for number in usual if number is not None]
    return [None if n is None or not known else 0.0 if statistics.is_usual(n, known) else 100.0 for n in numbers]


def _together(z: Sequence[float]) -> float:
    """One z of many (Stouffer): their sum over the root of their number."""
    return float(np.sum(z) / np.sqrt(len(z)))


def _in_per_cent(value: Value) -> Value:
    parts: Callable[[float | None], float | None] = lambda part: None if part is None else 100 * part  # noqa: E731
    return Value(parts(value.value), parts(value.low), parts(value.high))


def _shares(histogram: np.ndarray) -> tuple[float, ...]:
    return tuple((histogram / (histogram.sum() or 1.0)).tolist())


def _finite(number: float | None) -> float | None:
    return number if number is not None and np.isfinite(number) else None
