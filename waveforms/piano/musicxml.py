"""MusicXML file -> score.

It reads only what a pianist needs: pitches, times, ties, dynamic marks, staccato, accents, fermatas, grace notes,
endings. This takes a fifth of the time in which the general toolkit music21 parses a piece, and leaves no caches. Our
tests use music21 as the oracle. Elements are those of the MusicXML 4.0 recommendation of the W3C Music Notation
Community Group.

Every section is played once, through its last ending: a repeat would only show a model the same music twice.
"""

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from waveforms.errors import CorpusError
from waveforms.piano.score import DEFAULT_TEMPO, Measure, Score, WrittenNote, merge_unisons

SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
VELOCITIES = {"ppp": 28, "pp": 36, "p": 48, "mp": 58, "mf": 68, "f": 82, "ff": 96, "fff": 108}
HAIRPIN = {"crescendo": 14, "diminuendo": -14}  # velocity added by its end
GRACE_DURATION = 0.14  # quarter notes taken from the time before the main note; some 0.1 s


def read_musicxml(path: Path) -> Score:
    """Read a `.mxl`, `.xml` or `.musicxml` file, all its parts together.

    Raises:
        CorpusError: the file is missing, is not MusicXML, or holds no notes.
    """
    try:
        root = ElementTree.fromstring(_xml_text(path))
    except (OSError, zipfile.BadZipFile, StopIteration, ElementTree.ParseError) as error:
        raise CorpusError(f"{path}: not a MusicXML score ({error})") from error
    parts = [_Part(part) for part in root.iter("part")]
    n_measures = max((len(part.measures) for part in parts), default=0)
    notes: list[WrittenNote] = []
    measures: list[Measure] = []
    start = 0.0
    for index in range(n_measures):
        length = max(part.read_measure(index, start) for part in parts)
        if length > 0 and not any(part.skips(index) for part in parts):
            measures.append(Measure(start, length, parts[0].beat, parts[0].tempo))
            start += length
    for part in parts:
        notes.extend(part.swelled_notes())
    if not notes:
        raise CorpusError(f"{path}: a score must hold notes; this one holds none")
    return Score(tuple(merge_unisons(notes)), tuple(measures))


def _xml_text(path: Path) -> bytes:
    """Read the XML; an `.mxl` is a zip with a table of contents and one score."""
    if path.suffix != ".mxl":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = (name for name in archive.namelist() if not name.startswith("META-INF"))
        return archive.read(next(name for name in names if name.endswith(("xml", "musicxml"))))


class _Part:
    """One instrument's bars, read in order; `notes` grows."""

    def __init__(self, element: Element) -> None:
        self.measures = element.findall("measure")
        self.notes: list[WrittenNote] = []
        self.beat = 1.0  # quarter notes
        self.tempo = DEFAULT_TEMPO
        self._divisions = 1.0  # parts of a quarter note, in which durations are given
        self._transpose = 0  # semitones from written to sounding
        self._velocity: int | None = None
        self._hairpins: list[tuple[float, float, int]] = []  # from, to in quarter notes; velocity at the end
        self._open_hairpin = (0.0, 0)  # from, velocity
        self._open_ties: dict[int, list[int]] = defaultdict(list)  # pitch -> indices in notes
        self._n_graces = 0  # grace notes waiting for their main note
        self._skipped = _first_endings(self.measures)

    def skips(self, index: int) -> bool:
        """Report whether this bar belongs to an ending that is not the last."""
        return index in self._skipped

    def swelled_notes(self) -> Iterator[WrittenNote]:
        """Yield all notes; those under a hairpin are louder or softer the later they come."""
        for note in self.notes:
            swell = 0.0
            for start, stop, most in self._hairpins:
                if start <= note.onset < stop:
                    swell = most * (note.onset - start) / (stop - start)
            yield replace(note, swell=round(swell))

    def read_measure(self, index: int, start: float) -> float:
        """Read one bar that begins at `start`; return its length in quarter notes."""
        if index >= len(self.measures) or self.skips(index):
            return 0.0
        now = furthest = chord_onset = 0.0
        for element in self.measures[index]:
            if element.tag == "note":
                in_chord = element.find("chord") is not None
                chord_onset = chord_onset if in_chord else now
                duration = self._quarters(element)
                self._read_note(element, start + chord_onset, duration)
                now += 0.0 if in_chord else duration
            elif element.tag == "backup":
                now -= self._quarters(element)
            elif element.tag == "forward":
                now += self._quarters(element)
            elif element.tag == "attributes":
                self._read_attributes(element)
            elif element.tag in {"direction", "sound"}:
                self._read_direction(element, start + now)
            furthest = max(furthest, now)
        return furthest

    def _quarters(self, element: Element) -> float:
        return float(element.findtext("duration", "0")) / self._divisions

    def _read_attributes(self, element: Element) -> None:
        self._divisions = float(element.findtext("divisions", str(self._divisions)))
        beats, beat_type = element.findtext("time/beats"), element.findtext("time/beat-type")
        if beats and beat_type:
            compound = int(beat_type) >= 8 and beats in {"6", "9", "12"}
            self.beat = 4.0 / int(beat_type) * (3 if compound else 1)
        if element.find("transpose") is not None:
            octaves = int(element.findtext("transpose/octave-change", "0"))
            self._transpose = int(element.findtext("transpose/chromatic", "0")) + 12 * octaves

    def _read_direction(self, element: Element, now: float) -> None:
        for mark in element.iterfind("direction-type/dynamics/*"):
            self._velocity = VELOCITIES.get(mark.tag, self._velocity)
        for wedge in element.iterfind("direction-type/wedge"):
            start, swell = self._open_hairpin
            if wedge.get("type") == "stop" and swell and now > start:
                self._hairpins.append((start, now, swell))
            self._open_hairpin = (now, HAIRPIN.get(wedge.get("type", ""), 0))
        for sound in element.iter("sound"):
            self.tempo = float(sound.get("tempo", 0)) or self.tempo

    def _read_note(self, element: Element, onset: float, duration: float) -> None:
        pitch = self._sounding_pitch(element)
        if pitch is None or element.find("cue") is not None:
            return
        if element.find("grace") is not None:
            self._n_graces += 1
            self.notes.append(WrittenNote(onset, GRACE_DURATION, pitch, self._velocity))
            return
        self._move_graces(onset)
        if duration <= 0:
            return
        ties = {tie.get("type") for tie in element.iterfind("tie")}
        if "stop" in ties and self._extend_tie(pitch, onset, duration, goes_on="start" in ties):
            return
        if "start" in ties:
            self._open_ties[pitch].append(len(self.notes))
        marks = {mark.tag for mark in element.iterfind("notations/articulations/*")}
        self.notes.append(
            WrittenNote(
                onset,
                duration,
                pitch,
                self._velocity,
                staccato=bool(marks & {"staccato", "staccatissimo", "spiccato"}),
                accent=bool(marks & {"accent", "strong-accent"}),
                fermata=element.find("notations/fermata") is not None,
            )
        )

    def _sounding_pitch(self, element: Element) -> int | None:
        step, octave = element.findtext("pitch/step"), element.findtext("pitch/octave")
        if step is None or octave is None:
            return None
        alter = round(float(element.findtext("pitch/alter", "0")))
        return 12 * (int(octave) + 1) + SEMITONES[step] + alter + self._transpose

    def _extend_tie(self, pitch: int, onset: float, duration: float, goes_on: bool) -> bool:
        """Lengthen the note that this one is tied to; return False if a skipped ending removed that note."""
        waiting = self._open_ties[pitch]
        for index in waiting:
            if abs(self.notes[index].end - onset) < 1e-3:
                self.notes[index] = replace(self.notes[index], duration=onset + duration - self.notes[index].onset)
                if not goes_on:
                    waiting.remove(index)
                return True
        return False

    def _move_graces(self, onset: float) -> None:
        """Play the waiting grace notes one after the other, just before their main note."""
        for back in range(1, self._n_graces + 1):
            earlier = max(onset - back * GRACE_DURATION, 0.0)
            self.notes[-back] = replace(self.notes[-back], onset=earlier)
        self._n_graces = 0


def _first_endings(measures: list[Element]) -> set[int]:
    """Return the indices of bars in an ending that a later ending replaces."""
    endings = list(_endings(measures))
    skipped: set[int] = set()
    for (first, stop, _), (later_first, _, later_number) in pairwise(endings):
        if later_first == stop and not later_number.startswith("1"):
            skipped.update(range(first, stop))
    return skipped


def _endings(measures: list[Element]) -> Iterator[tuple[int, int, str]]:
    """Yield (first bar, bar after the last, number) of every ending."""
    first = 0
    for index, measure in enumerate(measures):
        for ending in measure.iterfind("barline/ending"):
            if ending.get("type") == "start":
                first = index
            else:
                yield first, index + 1, ending.get("number", "")
