"""The performer: tempo, touch and pedal that the written notes lack, as pianists have been measured to play."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.waveforms.piano.conftest import chords
from waveforms.notes.performance import Performance
from waveforms.piano.performer import LAST_PEDAL, LEAD_IN, perform
from waveforms.piano.pieces import Piece
from waveforms.piano.score import Measure, Score, Style, WrittenNote

STYLE = Style(rubato=0.12)


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
        "from waveforms.piano.score import Style;"
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
