"""MusicXML and scores, against written music of which the answer is known."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from tests.waveforms.piano.conftest import chords
from waveforms.errors import CorpusError
from waveforms.piano.musicxml import read_musicxml
from waveforms.piano.repertoire import corpus_folder
from waveforms.piano.score import Measure, Score, WrittenNote, divide, excerpt, repeat, retime, transpose


def note(pitch: str, duration: int, *inside: str) -> str:
    """A MusicXML note; durations count eighths."""
    step, octave = pitch[0], pitch[-1]
    alter = {"#": "<alter>1</alter>", "b": "<alter>-1</alter>"}.get(pitch[1:-1], "")
    chord = "".join(tag for tag in inside if tag in {"<chord/>", "<grace/>"})
    rest = "".join(tag for tag in inside if tag not in {"<chord/>", "<grace/>"})
    length = "" if "<grace/>" in inside else f"<duration>{duration}</duration>"
    return f"<note>{chord}<pitch><step>{step}</step>{alter}<octave>{octave}</octave></pitch>{length}{rest}</note>"


def direction(inside: str) -> str:
    return f"<direction><direction-type>{inside}</direction-type></direction>"


HEAD = "<attributes><divisions>2</divisions><time><beats>2</beats><beat-type>4</beat-type></time></attributes>"
START, STOP = '<tie type="start"/>', '<tie type="stop"/>'


def score_file(folder: Path, *measures: str) -> Path:
    """One part of these bars, as a file."""
    path = folder / "score.musicxml"
    bars = "".join(f"<measure>{measure}</measure>" for measure in measures)
    path.write_text(f"<score-partwise><part>{bars}</part></score-partwise>")
    return path


def sounding(score: Score) -> list[tuple[float, float, int]]:
    return [(n.onset, n.duration, n.pitch) for n in score.notes]


def test_ties_chords_voices_and_accidentals(tmp_path: Path) -> None:
    score = read_musicxml(
        score_file(
            tmp_path,
            HEAD + note("C5", 2) + note("F#5", 2, START) + "<backup><duration>4</duration></backup>" + note("Bb2", 4),
            note("F#5", 2, STOP) + note("C5", 2) + note("E5", 2, "<chord/>"),
        )
    )
    assert sounding(score) == [(0, 1, 72), (0, 2, 46), (1, 2, 78), (3, 1, 72), (3, 1, 76)]
    assert score.measures == (Measure(0, 2, 1), Measure(2, 2, 1))


def test_marks_of_loudness_and_length(tmp_path: Path) -> None:
    staccato = "<notations><articulations><staccato/></articulations></notations>"
    accent = "<notations><articulations><accent/></articulations><fermata/></notations>"
    score = read_musicxml(
        score_file(
            tmp_path,
            HEAD + note("C5", 2) + direction("<dynamics><p/></dynamics>") + note("D5", 2, staccato),
            direction('<wedge type="crescendo"/>') + note("E5", 2) + note("F5", 2),
            note("G5", 2) + direction('<wedge type="stop"/><dynamics><ff/></dynamics>') + note("A5", 2, accent),
            '<direction><sound tempo="72"/></direction>' + note("B5", 4),
        )
    )
    assert [n.velocity for n in score.notes] == [None, 48, 48, 48, 48, 96, 96]
    assert [n.swell for n in score.notes] == [0, 0, 0, 5, 9, 0, 0]
    assert [n.staccato for n in score.notes].index(True) == 1
    assert [n.accent for n in score.notes].index(True) == 5
    assert [n.fermata for n in score.notes].index(True) == 5
    assert [bar.tempo for bar in score.measures] == [90, 90, 90, 72]


def test_grace_notes_come_just_before_their_note(tmp_path: Path) -> None:
    bar = HEAD + note("C5", 2) + note("D5", 0, "<grace/>") + note("E5", 0, "<grace/>") + note("F5", 2)
    onsets = {n.pitch: n.onset for n in read_musicxml(score_file(tmp_path, bar)).notes}
    assert onsets[72] == 0 < onsets[74] < onsets[76] < onsets[77] == 1


def test_only_the_last_ending_is_played(tmp_path: Path) -> None:
    def ending(number: int, kind: str) -> str:
        return f'<barline><ending number="{number}" type="{kind}"/></barline>'

    score = read_musicxml(
        score_file(
            tmp_path,
            HEAD + note("C5", 4),
            ending(1, "start") + note("D5", 4) + ending(1, "stop"),
            ending(2, "start") + note("E5", 4) + ending(2, "discontinue"),
            note("F5", 4),
        )
    )
    assert sounding(score) == [(0, 2, 72), (2, 2, 76), (4, 2, 77)]


def test_transposing_instruments_are_read_as_they_sound(tmp_path: Path) -> None:
    head = HEAD + "<attributes><transpose><chromatic>-2</chromatic></transpose></attributes>"
    assert sounding(read_musicxml(score_file(tmp_path, head + note("C5", 4)))) == [(0, 2, 70)]


def test_files_that_are_no_scores_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text("<score-partwise><part>")
    with pytest.raises(CorpusError, match=r"broken\.xml: not a MusicXML score \(no element found"):
        read_musicxml(broken)
    zipped = tmp_path / "broken.mxl"
    zipped.write_bytes(b"no zip")
    with pytest.raises(CorpusError, match=r"broken\.mxl: not a MusicXML score \(File is not a zip file\)"):
        read_musicxml(zipped)
    with pytest.raises(CorpusError, match="a score must hold notes; this one holds none"):
        read_musicxml(score_file(tmp_path, HEAD))


@pytest.mark.parametrize("source", ["mozart/k545/movement1_exposition.mxl", "bach/bwv269.mxl", "bach/bwv140.7.mxl"])
def test_scores_agree_with_music21(source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from music21 import converter

        stream = converter.parse(corpus_folder() / source, forceSource=True, storePickle=False)
        tied = stream.toSoundingPitch().stripTies().flatten().notes
    expected = {(round(float(n.offset), 3), pitch.midi) for n in tied for pitch in n.pitches}
    assert {(round(n.onset, 3), n.pitch) for n in read_musicxml(corpus_folder() / source).notes} == expected


def test_divided_score_keeps_every_note_once_in_nearly_equal_parts() -> None:
    score = chords(20)
    parts = divide(score, 3)
    assert sum(len(part.notes) for part in parts) == len(score.notes)
    assert [part.seconds for part in parts] == pytest.approx([80 / 3] * 3, abs=4)
    assert all(part.notes[0].onset == 0 and part.measures[0].start == 0 for part in parts)


def test_score_is_divided_where_nothing_is_held() -> None:
    score = chords(8)
    across = [WrittenNote(15.0, 2.0, pitch) for pitch in (90, 91, 92)]  # over the bar line in the middle
    parts = divide(replace(score, notes=tuple(sorted([*score.notes, *across]))), 2)
    assert sorted(len(part.measures) for part in parts) == [3, 5]


def test_excerpt_ends_what_is_held_beyond_it() -> None:
    score = Score((WrittenNote(3.0, 4.0, 60),), (Measure(0, 4, 1), Measure(4, 4, 1)))
    assert sounding(excerpt(score, 0, 1)) == [(3.0, 1.0, 60)]


def test_repeat_transpose_and_retime() -> None:
    score = chords(2, tempo=60)
    assert repeat(score, 3).seconds == pytest.approx(24)
    assert len(repeat(score, 3).notes) == 3 * len(score.notes)
    assert [n.pitch - 3 for n in transpose(score, 3).notes] == [n.pitch for n in score.notes]
    assert retime(score, tempo=120).seconds == pytest.approx(4)
    assert retime(score, faster=1.25).seconds == pytest.approx(6.4)
