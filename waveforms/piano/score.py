"""Music as it is written, in quarter notes: what a reader of scores makes and a performer plays."""

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

DEFAULT_TEMPO = 90.0  # quarter notes a minute, where a score has no mark
N_BARS_TRIED = 12  # bar lines nearest to an ideal cut, among which the best is taken


@dataclass(frozen=True, order=True, slots=True)
class WrittenNote:
    """One written note, tied notes merged.

    Attributes:
        onset: in quarter notes from the beginning of the score.
        duration: in quarter notes, above 0.
        pitch: MIDI note number.
        velocity: what the last dynamic mark asks for, or None where none stands.
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
        """In quarter notes."""
        return self.onset + self.duration


@dataclass(frozen=True, slots=True)
class Measure:
    """One bar.

    Attributes:
        start, length, beat: in quarter notes.
        tempo: in quarter notes a minute.
    """

    start: float
    length: float
    beat: float
    tempo: float = DEFAULT_TEMPO

    @property
    def end(self) -> float:
        """In quarter notes."""
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


def excerpt(score: Score, first: int, stop: int) -> Score:
    """Bars `first` to `stop` (exclusive), moved to begin at 0; notes held past the end stop there."""
    measures = score.measures[first:stop]
    start, end = measures[0].start, measures[-1].end
    notes = (
        replace(note, onset=note.onset - start, duration=min(note.end, end) - note.onset)
        for note in score.notes
        if start <= note.onset < end
    )
    return Score(tuple(sorted(notes)), tuple(replace(bar, start=bar.start - start) for bar in measures))


def divide(score: Score, n_parts: int) -> list[Score]:
    """Cut a score into `n_parts` that last nearly equally long, at bar lines that few notes are held across."""
    ends = list(accumulate(bar.length * 60 / bar.tempo for bar in score.measures))  # in seconds
    cuts = [0]
    for part in range(1, n_parts):
        cuts.append(_best_bar_line(score, ends, ends[-1] * part / n_parts, after=cuts[-1]))
    cuts.append(len(score.measures))
    return [excerpt(score, first, stop) for first, stop in pairwise(cuts) if first < stop]


def _best_bar_line(score: Score, ends: list[float], ideal: float, after: int) -> int:
    """The bar that begins a part near `ideal` seconds with the least violence, as an index above `after`.

    A held note costs as much as moving the cut by half a bar; a fermata just before is the end of a line
    and worth four bars.
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
    """Every note moved by `semitones`."""
    return replace(score, notes=tuple(replace(note, pitch=note.pitch + semitones) for note in score.notes))


def retime(score: Score, *, tempo: float | None = None, faster: float = 1.0) -> Score:
    """One tempo (quarter notes a minute) for all bars, or where None the score's own, times `faster`."""
    bars = (replace(bar, tempo=(tempo or bar.tempo) * faster) for bar in score.measures)
    return replace(score, measures=tuple(bars))


def repeat(score: Score, n_times: int) -> Score:
    """The score played through `n_times`, as verses."""
    notes: list[WrittenNote] = []
    measures: list[Measure] = []
    for verse in range(n_times):
        shift = verse * score.quarters
        notes.extend(replace(note, onset=note.onset + shift) for note in score.notes)
        measures.extend(replace(bar, start=bar.start + shift) for bar in score.measures)
    return Score(tuple(notes), tuple(measures))


def merge_unisons(notes: list[WrittenNote]) -> list[WrittenNote]:
    """One key cannot be struck twice at once: of notes of one pitch and onset the longest stays."""
    kept: dict[tuple[float, int], WrittenNote] = {}
    for note in notes:
        key = (round(note.onset, 4), note.pitch)
        if key not in kept or note.duration > kept[key].duration:
            kept[key] = note
    return sorted(kept.values())
