"""Statistics of transcriptions made by hand against closed forms; distances; sets of the same and of other music."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.note_distances import HISTOGRAMS, compare_notes, js_distance, js_divergence
from pipeline.evaluation.notes import (
    DURATION_EDGES,
    INTERVAL_EDGES,
    MOST_AT_ONCE,
    NoteStatistics,
    key_clarity,
    measure_notes,
    pooled,
)
from waveforms.notes.events import Notes

MAJOR = (0, 2, 4, 5, 7, 9, 11)


def clip(*notes: tuple[float, float, int, float], seconds: float = 10.0) -> NoteStatistics:
    """Statistics of (onset, offset, pitch, velocity), of which some may sound at once on one key."""
    rows = sorted((onset, min(offset, seconds), *rest) for onset, offset, *rest in notes)
    return measure_notes(Notes.of_table(np.array(rows, np.float64).reshape(-1, 4)), seconds)


def music(
    seed: int, *, transposed: int = 0, faster: float = 1.0, softer: float = 0.0, voices: int = 1, clips: int = 12
) -> list[NoteStatistics]:
    """Clips of 10 s in C major, about four onsets a second."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(clips):
        onsets = np.cumsum(rng.choice([0.125, 0.25, 0.375], 80)) / faster
        notes = []
        for onset in onsets[onsets < 10.0].tolist():
            for _ in range(voices):
                pitch = 60 + transposed + int(rng.choice(MAJOR)) + 12 * int(rng.integers(-1, 2))
                notes.append((onset, onset + 0.3 / faster, pitch, float(rng.normal(64 - softer, 10))))
        found.append(clip(*notes))
    return found


def test_one_clip_by_hand() -> None:
    found = clip((0.0, 4.0, 60, 50.0), (1.0, 3.0, 64, 70.0), (1.0, 2.0, 72, 60.0), (5.0, 9.0, 21, 80.0))
    assert found.n_notes == 4
    assert found.notes_per_second == pytest.approx(0.4)
    assert found.polyphony == pytest.approx((4 + 2 + 1 + 4) / 10)
    assert found.at_once[:5] == pytest.approx([2, 6, 1, 1, 0])
    assert found.at_once.sum() == pytest.approx(10)
    assert np.flatnonzero(found.pitches).tolist() == [0, 39, 43, 51]
    assert found.pitch_classes.tolist() == [2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]
    assert found.velocity_std == pytest.approx(np.sqrt(125))  # of 50, 60, 70, 80
    assert found.onset_intervals.sum() == 2  # a second, and four; the chord has none
    second, fourth = np.flatnonzero(found.onset_intervals)
    assert INTERVAL_EDGES[second] <= 1.0 < INTERVAL_EDGES[second + 1]
    assert INTERVAL_EDGES[fourth] <= 4.0 < INTERVAL_EDGES[fourth + 1]


def test_silence_has_no_notes_and_numbers_all_the_same() -> None:
    found = clip()
    assert (found.n_notes, found.polyphony, found.velocity_std, found.key_clarity) == (0, 0.0, 0.0, 0.0)
    assert found.at_once[0] == pytest.approx(10)
    assert found.pitches.sum() == found.onset_intervals.sum() == 0


def test_a_clip_of_more_notes_than_are_counted() -> None:
    found = clip(*((0.0, 10.0, 30 + n, 64.0) for n in range(MOST_AT_ONCE + 5)))
    assert found.at_once[MOST_AT_ONCE] == pytest.approx(10)
    assert found.polyphony == pytest.approx(MOST_AT_ONCE)


@pytest.mark.parametrize(("seconds", "end"), [(9.0, 3.0), (60.0, 20.0), (180.0, 60.0), (600.0, 60.0)])
def test_the_ends_of_a_clip_are_thirds_or_minutes(seconds: float, end: float) -> None:
    onsets = [0.0, end - 0.01, end, seconds - end - 0.01, seconds - end, seconds - 0.01, seconds - 0.02]
    found = clip(*((onset, onset + 0.5, 60, 64.0) for onset in onsets), seconds=seconds)
    assert (found.n_first, found.n_last) == (2, 3)
    both = pooled([found, found])
    assert (both.n_first, both.n_last) == (4, 6)


def test_lengths_and_velocities_have_bins() -> None:
    """A third of an octave and 8 steps; edges belong to the bin above them."""
    lengths, velocities = (0.04, 0.055, 0.11, 2.1, 10.0), (0.0, 7.9, 8.0, 64.0, 127.0)
    found = clip(*((0.0, length, 60, velocity) for length, velocity in zip(lengths, velocities, strict=True)))
    expected = [0, *(1 + int(3 * np.log2(length / 0.05)) for length in lengths[1:4]), 22]
    assert np.flatnonzero(found.durations).tolist() == expected == [0, 1, 4, 17, 22]
    assert {n: int(found.velocities[n]) for n in np.flatnonzero(found.velocities)} == {0: 2, 1: 1, 8: 1, 15: 1}
    assert DURATION_EDGES[-2] == pytest.approx(6.4)


def test_long_rests_have_a_bin() -> None:
    assert clip((0.0, 1.0, 60, 64.0), (29.0, 30.0, 60, 64.0), seconds=30.0).onset_intervals[-1] == 1


@given(st.lists(st.tuples(st.floats(0, 9.9), st.floats(0.01, 5), st.integers(21, 108), st.floats(1, 127)), max_size=30))
def test_counts_add_up(notes: list[tuple[float, float, int, float]]) -> None:
    found = clip(*((onset, onset + length, pitch, velocity) for onset, length, pitch, velocity in notes))
    assert found.pitches.sum() == found.pitch_classes.sum() == found.n_notes == len(notes)
    assert found.durations.sum() == found.velocities.sum() == len(notes)
    assert found.at_once.sum() == pytest.approx(10)
    assert (found.at_once >= 0).all()
    sounding = sum(min(onset + length, 10.0) - onset for onset, length, _, _ in notes)
    assert found.polyphony <= sounding / 10 + 1e-9
    if len(notes) <= MOST_AT_ONCE:
        assert found.polyphony == pytest.approx(sounding / 10)
    assert -1.0 <= found.key_clarity <= 1.0


def test_a_set_is_its_clips_one_after_the_other() -> None:
    first = clip((0.0, 4.0, 60, 40.0), (1.0, 2.0, 62, 60.0))
    second = clip((0.0, 1.0, 60, 100.0), (1.0, 2.0, 60, 100.0), (2.0, 3.0, 60, 100.0), seconds=20.0)
    both = pooled([first, second])
    assert both.notes_per_second == pytest.approx(5 / 30)
    assert both.polyphony == pytest.approx(8 / 30)
    assert both.pitches == pytest.approx(first.pitches + second.pitches)
    assert both.velocity_std == pytest.approx((2 * 10 + 3 * 0) / 5)  # that one is louder is no spread
    assert both.key_clarity == pytest.approx((2 * first.key_clarity + 3 * second.key_clarity) / 5)
    with pytest.raises(EvaluationError, match="a set must have a clip or more to have notes, and this one has none"):
        pooled([])


def test_a_key_is_clear_where_its_notes_are() -> None:
    scale = np.bincount(MAJOR, minlength=12).astype(np.float64)
    assert key_clarity(
        np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
    ) == pytest.approx(1)
    assert key_clarity(scale) > 0.7
    assert key_clarity(np.array([1.0, 0] * 6)) < 0.4  # a whole-tone scale has no key
    assert key_clarity(np.ones(12)) == key_clarity(np.zeros(12)) == 0.0


@given(st.integers(0, 11), st.lists(st.integers(0, 30), min_size=12, max_size=12))
def test_transposed_keys_are_as_clear(semitones: int, counts: list[int]) -> None:
    histogram = np.array(counts, np.float64)
    assert key_clarity(np.roll(histogram, semitones)) == pytest.approx(key_clarity(histogram), abs=1e-9)


counted = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 1000), min_size=n, max_size=n).map(lambda c: np.array(c, float))] * 2)
)


@given(counted)
def test_jensen_shannon_is_a_bounded_symmetric_distance(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = pair
    distance = js_distance(p, q)
    assert 0.0 <= distance <= 1.0
    assert distance == pytest.approx(js_distance(q, p), abs=1e-7)
    assert distance == pytest.approx(np.sqrt(js_divergence(p, q)))
    assert js_distance(p, 3 * p) == pytest.approx(0.0, abs=1e-7)
    if p.sum() and q.sum():
        alike = np.allclose(p / p.sum(), q / q.sum(), atol=1e-12)
        assert (distance < 1e-6) is alike
        assert distance == pytest.approx(0.0 if alike else jensenshannon(p, q, base=2), abs=1e-6)


def test_jensen_shannon_by_hand() -> None:
    assert js_divergence(np.array([1.0, 0]), np.array([0, 5.0])) == 1.0
    assert js_divergence(np.array([2.0, 2]), np.array([7.0, 0])) == pytest.approx(0.311278, abs=1e-6)
    assert js_distance(np.array([2.0, 2]), np.array([7.0, 0])) == pytest.approx(0.557923, abs=1e-6)
    assert js_distance(np.zeros(3), np.ones(3)) == 1.0
    assert js_distance(np.zeros(3), np.zeros(3)) == 0.0


@cache
def usual(n_clips: int, *, n_pairs: int = 20) -> dict[str, list[float]]:
    """How far so many clips of the same music are, again and again."""
    pairs = [(music(100 + 2 * n, clips=n_clips), music(101 + 2 * n, clips=n_clips)) for n in range(n_pairs)]
    return {
        name: [js_distance(of(pooled(reference)), of(pooled(other))) for reference, other in pairs]
        for name, of in HISTOGRAMS.items()
    }


def test_the_same_music_is_near() -> None:
    reference, other = music(0), music(1)
    found = compare_notes(reference, other)
    assert set(found) == set(HISTOGRAMS)
    for name, distances in usual(12).items():
        assert found[name].value < 1.5 * max(distances), name
        assert 0.0 <= found[name].low <= found[name].value <= found[name].high <= 1.0, name
    assert pooled(other).notes_per_second == pytest.approx(pooled(reference).notes_per_second, rel=0.1)


def test_transposed_music_has_other_pitch_classes_and_nothing_else() -> None:
    found, near = compare_notes(music(0), music(1, transposed=6)), usual(12)
    for name in ("pitch_classes", "pitches"):
        assert found[name].low > max(near[name]), name
    for name in ("onset_intervals", "polyphony", "velocities", "durations"):
        assert found[name].value < 1.5 * max(near[name]), name


def test_faster_softer_and_fuller_music_differs_in_that() -> None:
    near = usual(12)
    assert compare_notes(music(0), music(1, faster=2.0))["onset_intervals"].low > max(near["onset_intervals"])
    assert compare_notes(music(0), music(1, voices=3))["polyphony"].low > max(near["polyphony"])
    assert compare_notes(music(0), music(1, faster=2.0))["durations"].low > max(near["durations"])
    assert compare_notes(music(0), music(1, softer=20.0))["velocities"].low > max(near["velocities"])
    slow, fast = (pooled(music(1, faster=faster)).notes_per_second for faster in (1.0, 2.0))
    assert fast == pytest.approx(2 * slow, rel=0.1)


def test_few_clips_are_further_apart() -> None:
    few, many = (np.median(usual(n)["pitch_classes"]) for n in (2, 20))
    assert few > 2 * many


def test_a_set_without_notes_has_nothing_in_common() -> None:
    found = compare_notes(music(0), [clip(), clip()])
    assert [found[name].value for name in HISTOGRAMS if name != "polyphony"] == [1.0] * 5


def test_to_a_reference_without_notes_there_is_no_distance() -> None:
    assert compare_notes([clip(), clip()], music(0)) == {}
    assert set(compare_notes([clip(), *music(0, clips=1)], music(1, clips=3))) == set(HISTOGRAMS)


@pytest.mark.parametrize("n_clips", [0, 1])
def test_sets_that_do_not_compare(n_clips: int) -> None:
    few = music(0, clips=n_clips)
    for sets in ((few, music(1)), (music(1), few)):
        with pytest.raises(EvaluationError, match=f"in two clips or more of each set, and not {n_clips}"):
            compare_notes(*sets)
