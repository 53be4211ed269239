"""Music as it is written, in quarter notes, and the style to play it in."""

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

DEFAULT_TEMPO = 90.0  # quarter notes a minute, where a score has no mark
N_BARS_TRIED = 12  # bar lines nearest to an ideal division that are compared


@dataclass(frozen=True, order=True, slots=True)
class WrittenNote:
    """One written note, tied notes merged.

    Attributes:
        onset: its beginning, in quarter notes from the beginning of the score.
        duration: its length in quarter notes, above 0.
        pitch: MIDI note number.
        velocity: the velocity of the last dynamic mark, or None if there is none.
        swell: velocity that a hairpin adds.
        staccato: marked short.
        accent: marked louder than its neighbours.
        fermata: marked to be held; in a chorale, the end of a line.
    """

    onset: float
    duration: float
    pitch: int
    velocity: int | None = None
    swell: int = 0
    staccato: bool = False
    accent: bool = False
    fermata: bool = False

    @property
    def end(self) -> float:
        """The end, in quarter notes."""
        return self.onset + self.duration


@dataclass(frozen=True, slots=True)
class Measure:
    """One bar.

    Attributes:
        start, length, beat: in quarter notes.
        tempo: its tempo in quarter notes a minute.
    """

    start: float
    length: float
    beat: float
    tempo: float = DEFAULT_TEMPO

    @property
    def end(self) -> float:
        """The end, in quarter notes."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Score:
    """Written notes sorted by onset, and the bars that they stand in."""

    notes: tuple[WrittenNote, ...]
    measures: tuple[Measure, ...]

    @property
    def quarters(self) -> float:
        """The length in quarter notes."""
        return self.measures[-1].end - self.measures[0].start

    @property
    def seconds(self) -> float:
        """The length at the written tempo."""
        return sum(bar.length * 60 / bar.tempo for bar in self.measures)


@dataclass(frozen=True, slots=True)
class Style:
    """A manner of playing: the few numbers that a performer chooses before the first note.

    Attributes:
        velocity: MIDI velocity of notes without a dynamic mark.
        rubato: depth of the phrase arcs in tempo, as a share of the tempo.
        articulation: the share of its written time that a note is held, if it is not staccato; above 1 overlaps.
        pedal: the share of each harmony that the pedal is down, 0 to 1.
        phrase: bars in a phrase, for scores whose fermatas do not mark phrases.
    """

    velocity: int = 64
    rubato: float = 0.12
    articulation: float = 1.03
    pedal: float = 1.0
    phrase: int = 4


def excerpt(score: Score, first: int, stop: int) -> Score:
    """Take bars `first` to `stop` (exclusive), moved to begin at 0; notes held past the end stop there."""
    measures = score.measures[first:stop]
    start, end = measures[0].start, measures[-1].end
    notes = (
        replace(note, onset=note.onset - start, duration=min(note.end, end) - note.onset)
        for note in score.notes
        if start <= note.onset < end
    )
    return Score(tuple(sorted(notes)), tuple(replace(bar, start=bar.start - start) for bar in measures))


def divide(score: Score, n_parts: int) -> list[Score]:
    """Divide a score into `n_parts` of nearly equal duration, at bar lines that few notes are held across."""
    ends = list(accumulate(bar.length * 60 / bar.tempo for bar in score.measures))  # in seconds
    bounds = [0]
    for part in range(1, n_parts):
        bounds.append(_best_bar_line(score, ends, ends[-1] * part / n_parts, after=bounds[-1]))
    bounds.append(len(score.measures))
    return [excerpt(score, first, stop) for first, stop in pairwise(bounds) if first < stop]


def _best_bar_line(score: Score, ends: list[float], ideal: float, after: int) -> int:
    """Choose the best bar to begin a part with near `ideal` seconds, as an index above `after`.

    A held note costs as much as half a bar of distance; a fermata just before is the end of a line and worth four bars.
    """

    def n_bars_away(index: int) -> float:
        bar = score.measures[index]
        return abs(ends[index - 1] - ideal) * bar.tempo / 60 / bar.length

    def cost(index: int) -> float:
        bar = score.measures[index]
        n_held = sum(note.onset < bar.start < note.end - 1e-6 for note in score.notes)
        ends_line = any(note.fermata and 0 < bar.start - note.onset <= bar.length for note in score.notes)
        return n_bars_away(index) + 0.5 * n_held - 4.0 * ends_line

    near = sorted(range(after + 1, len(score.measures)), key=n_bars_away)[:N_BARS_TRIED]
    return min(near, key=cost)


def transpose(score: Score, semitones: int) -> Score:
    """Move every note by `semitones`."""
    return replace(score, notes=tuple(replace(note, pitch=note.pitch + semitones) for note in score.notes))


def retime(score: Score, *, tempo: float | None = None, faster: float = 1.0) -> Score:
    """Give all bars one tempo (quarter notes a minute), or keep the score's own for None; times `faster`."""
    bars = (replace(bar, tempo=(tempo or bar.tempo) * faster) for bar in score.measures)
    return replace(score, measures=tuple(bars))


def repeat(score: Score, n_times: int) -> Score:
    """Repeat the score `n_times`, as verses."""
    notes: list[WrittenNote] = []
    measures: list[Measure] = []
    for verse in range(n_times):
        shift = verse * score.quarters
        notes.extend(replace(note, onset=note.onset + shift) for note in score.notes)
        measures.extend(replace(bar, start=bar.start + shift) for bar in score.measures)
    return Score(tuple(notes), tuple(measures))


def merge_unisons(notes: list[WrittenNote]) -> list[WrittenNote]:
    """Keep the longest of notes with one pitch and onset: a key cannot be struck twice at once."""
    kept: dict[tuple[float, int], WrittenNote] = {}
    for note in notes:
        key = (round(note.onset, 4), note.pitch)
        if key not in kept or note.duration > kept[key].duration:
            kept[key] = note
    return sorted(kept.values())
