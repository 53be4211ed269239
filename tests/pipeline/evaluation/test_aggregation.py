"""From measured clips to the values of a system: both transcribers, and the anchors that notes are compared with."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.evaluation.aggregation import MeasuredClip, annotations_of, clip_results, system_values
from pipeline.evaluation.artifacts import Faults, measure_seams
from pipeline.evaluation.clips import Segment
from pipeline.evaluation.life import measure_life
from pipeline.evaluation.metrics import CONTINUED, NOTES, metrics
from pipeline.evaluation.note_distances import HISTOGRAMS
from pipeline.evaluation.notes import NoteStatistics
from tests.pipeline.evaluation.test_notes import clip
from waveforms.audio.levels import measure_levels
from waveforms.dsp.blocks import BLOCK_SIZE

SECONDS = 9.0
QUIET = np.zeros(4 * BLOCK_SIZE, np.float32)


def notes(onsets: Iterable[float], length: float, pitch: int = 60) -> NoteStatistics:
    return clip(*((onset, onset + length, pitch, 64.0) for onset in onsets), seconds=SECONDS)


def measured(
    n: int, quick: NoteStatistics, thorough: NoteStatistics | None = None, faults: Faults | None = None
) -> MeasuredClip:
    rng = np.random.default_rng(n)
    return MeasuredClip(
        seconds=SECONDS,
        vectors={name: rng.normal(size=(2, 3)).astype(np.float32) for name in ("musicnn", "aisfx")},
        piano=0.5,
        notes={"quick": quick} | ({"thorough": thorough} if thorough else {}),
        seams=measure_seams(QUIET),
        life=measure_life(QUIET),
        faults=faults or Faults(0.0, (), ()),
        levels=measure_levels(QUIET),
        dc_offset=0.0,
        segment=Segment(f"clip {n}", "", len(QUIET), lambda start, stop: QUIET[start:stop]),
        copies=None,
    )


OURS = [measured(n, notes(np.arange(4 + n), 1.0), notes(np.arange(2), 0.5, 64)) for n in range(2)]
REFERENCE = [measured(n, notes(np.arange(8), 1.0), notes(np.arange(8), 0.5)) for n in range(2)]
NEXT = [measured(n, notes(np.arange(8), 2.0), notes(np.arange(8), 0.5, 64)) for n in range(2)]
BEST = [measured(n, notes(np.arange(6), 1.5), notes(np.arange(8), 0.25)) for n in range(2)]


def test_counts_are_shares_of_the_resynthesis_by_both_transcribers() -> None:
    values = system_values(OURS, REFERENCE, REFERENCE, NEXT, BEST, seed=0)
    assert values["notes_per_second_ratio"].value == pytest.approx(100 * 4.5 / 6)
    assert values["polyphony_ratio"].value == pytest.approx(100 * 4.5 / 9)
    assert values["thorough_notes_per_second_ratio"].value == pytest.approx(100 * 2 / 8)
    assert values["thorough_polyphony_ratio"].value == pytest.approx(100 * 1 / 2)
    assert values["thorough_notes_per_second"].value == pytest.approx(2 / SECONDS)


def test_distances_go_to_the_reference_and_to_the_continuation() -> None:
    values = system_values(OURS, REFERENCE, REFERENCE, NEXT, BEST, seed=0)
    assert (values["js_pitches"].value, values["js_pitches_continuation"].value) == (0, 0)
    assert (values["thorough_js_pitches"].value, values["thorough_js_pitches_continuation"].value) == (1, 0)
    assert values["js_durations"].value == pytest.approx(0, abs=1e-6)
    assert values["js_durations_continuation"].value == pytest.approx(1)  # seconds against two


def test_a_system_has_what_its_anchors_and_transcribers_give() -> None:
    held = {metric.id for metric in CONTINUED}
    assert held == {*(f"js_{name}_continuation" for name in HISTOGRAMS), "notes_per_second_ratio", "polyphony_ratio"}
    of_notes = {metric.id for metric in NOTES} | held
    alone = [measured(n, each.notes["quick"]) for n, each in enumerate(OURS)]
    assert system_values(OURS, REFERENCE, REFERENCE, NEXT, BEST, seed=0).keys() >= {
        *of_notes, *(f"thorough_{name}" for name in of_notes)
    }  # fmt: skip
    assert not system_values(alone, REFERENCE, REFERENCE, seed=0).keys() & (
        held | {f"thorough_{name}" for name in of_notes}
    )
    shown = [metric.id for metric in metrics(continued=True, thorough=True)]
    assert len(shown) == len(set(shown)) == len(metrics(continued=True)) + len(of_notes)
    assert not held & {metric.id for metric in metrics(continued=False)}


def test_each_clip_has_its_own_numbers_of_both_transcribers() -> None:
    clips = clip_results(OURS, REFERENCE)
    assert [clip.values["notes_per_second"].value for clip in clips] == pytest.approx([4 / 9, 5 / 9])
    assert [clip.values["thorough_median_onset_interval"].value for clip in clips] == [1, 1]
    assert [clip.values["notes_drift"].value for clip in clips] == pytest.approx([0, 0])  # of seconds 0 to 2, 6 to 8
    assert clip_results(REFERENCE, REFERENCE)[0].values["notes_drift"].value == pytest.approx(100 * 2 / 3)


def test_clips_beyond_the_middle_nine_tenths_of_the_reference_are_outliers() -> None:
    def flat(*flatness: float | None) -> list[MeasuredClip]:
        return [replace(OURS[0], life=replace(OURS[0].life, flatness=number)) for number in flatness]

    reference = flat(*np.linspace(0.0, 100.0, 101).tolist(), None)
    for numbers, share in [((4.9, 5.0), 50), ((50.0, 95.0), 0), ((95.1, None), 100), ((None, None), None)]:
        assert system_values(flat(*numbers), reference, OURS, seed=0)["flatness_outliers"].value == share
    assert system_values(flat(1.0, 1.0), flat(1.0, 1.0), OURS, seed=0)["flatness_outliers"].value == 0
    assert system_values(flat(1.0, 1.0), flat(None, None), OURS, seed=0)["flatness_outliers"].value is None


def test_glides_and_bursts_are_numbers_and_marks() -> None:
    clip = measured(0, notes([], 1.0), faults=Faults(0.02, ((1.0, 0.5), (4.0, 0.75)), ((3.0, 14.6),)))
    values = clip_results([clip, clip], REFERENCE)[0].values
    assert (values["glides"].value, values["bursts"].value) == pytest.approx((2, 60 / SECONDS))
    found = [(a.kind, a.start, a.seconds, a.text) for a in annotations_of(clip) if a.kind != "collapse"]
    assert found == [
        ("glides", 1.0, 0.5, "a partial glides"),
        ("bursts", 3.0, 0.0, "a note 15 dB too loud"),
        ("glides", 4.0, 0.75, "a partial glides"),
    ]
