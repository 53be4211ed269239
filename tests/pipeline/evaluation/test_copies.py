"""Planted copies are found, with their place; music of the same piano that was never copied is not accused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.evaluation import similarity
from pipeline.evaluation.copies import Copies, Copy, Origin, find_copies
from pipeline.evaluation.landmarks import FRAME, LandmarkIndex, find_candidates, landmarks_of
from tests.conftest import resynthesised
from tests.pipeline.evaluation.playing import key, playing
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus

N_CLIP = 6 * SAMPLE_RATE
N_FADE = 441  # samples, 10 ms


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LandmarkIndex:
    folder = tmp_path_factory.mktemp("training")
    for seed, seconds in enumerate([25, 70, 20]):  # the second is longer than what is fingerprinted at once
        soundfile.write(folder / f"take_{seed}.wav", playing(seed, seconds), SAMPLE_RATE, subtype="PCM_24")
    return _fingerprinted(folder)


def _fingerprinted(folder: Path) -> LandmarkIndex:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTERWAVE_CACHE", str(folder / "cache"))
        return LandmarkIndex.of(Corpus.open(folder))


def unseen(seed: int) -> np.ndarray:
    return playing(1000 + seed, N_CLIP / SAMPLE_RATE)


def planted(clip: np.ndarray, match: np.ndarray, at: int) -> np.ndarray:
    """Cross-fade a match into a clip."""
    fade = np.ones(len(match), np.float32)
    fade[:N_FADE] = np.linspace(0, 1, N_FADE)
    fade[-N_FADE:] = np.linspace(1, 0, N_FADE)
    clip = clip.copy()
    clip[at : at + len(match)] = clip[at : at + len(match)] * (1 - fade) + match * fade
    return clip


def with_copy(index: LandmarkIndex, seconds: float, seed: int) -> tuple[np.ndarray, str, int, int]:
    """A clip with a copy of a random excerpt at a random place and gain: (clip, recording, source, at)."""
    rng = np.random.default_rng(seed)
    recording = index.corpus[int(rng.integers(len(index.corpus)))]
    n_samples = round(seconds * SAMPLE_RATE)
    source = int(rng.integers(recording.n_samples - n_samples))
    at = int(rng.integers(N_CLIP - n_samples))
    gain = np.float32(10 ** (rng.uniform(-12, 12) / 20))
    return planted(unseen(seed), gain * recording.read(source, source + n_samples), at), recording.name, source, at


@pytest.mark.parametrize("percent", [5, 10, 25])
def test_planted_copies_are_found_and_nothing_else(index: LandmarkIndex, percent: int) -> None:
    n_clips = 20
    n_planted = n_clips * percent // 100
    for n in range(n_clips):
        seed = 100 * percent + n
        if n >= n_planted:
            assert find_copies(index, unseen(seed)).share == 0.0
            continue
        seconds = [0.5, 1.0, 2.0, 5.0][(n + percent // 5) % 4]
        clip, name, source, at = with_copy(index, seconds, seed)
        found = find_copies(index, clip)
        assert {copy.recording for copy in found.copies} == {name}
        assert found.longest is not None
        assert found.longest.source - found.longest.start == pytest.approx((source - at) / SAMPLE_RATE, abs=1e-9)
        assert found.longest.seconds == pytest.approx(seconds, abs=0.1)
        assert found.share == pytest.approx(seconds * SAMPLE_RATE / N_CLIP, abs=0.1 * SAMPLE_RATE / N_CLIP)


def test_of_many_half_second_copies_nineteen_in_twenty_are_found(index: LandmarkIndex) -> None:
    clips = [with_copy(index, 0.5, seed)[0] for seed in range(40)]
    assert sum(find_copies(index, clip).share > 0 for clip in clips) >= 38


def test_what_went_through_phase_recovery_is_found_by_its_spectrum(index: LandmarkIndex) -> None:
    clip, name, source, at = with_copy(index, 2.0, 7)
    found = find_copies(index, resynthesised(clip))
    assert found.share == pytest.approx(2 / 6, abs=0.05)
    assert found.longest is None
    for copy in found.copies:
        assert (copy.kind, copy.recording) == ("resynthesised", name)
        assert copy.source - copy.start == pytest.approx((source - at) / SAMPLE_RATE, abs=0.005)


def test_the_same_keys_struck_again_are_no_copy(tmp_path: Path) -> None:
    few = (60, 64, 67)
    soundfile.write(tmp_path / "chord.wav", playing(0, 20, pitches=few), SAMPLE_RATE)
    index = _fingerprinted(tmp_path)
    clip = playing(1, 10, pitches=few)
    assert len(find_candidates(index, clip)) > 10  # there was much to be taken in by
    assert find_copies(index, clip).share == 0.0


def test_the_same_notes_with_another_touch_are_no_copy(index: LandmarkIndex) -> None:
    clip = playing(0, 10, touch=1)
    assert find_candidates(index, clip)[0].recording.name == "take_0.wav"
    assert find_copies(index, clip).share == 0.0


def test_upper_partials_and_noise_have_their_say() -> None:
    rng = np.random.default_rng(0)
    low = np.sin(2 * np.pi * 110 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    one, other = (low + rng.normal(0, 0.02, (2, SAMPLE_RATE))).astype(np.float32)
    assert np.corrcoef(one, other)[0, 1] > 0.99
    assert similarity.correlation(one, other).max() < 0.5
    assert similarity.correlation(one, 3 * one).min() > 0.9999
    assert similarity.correlation(one, 0 * one).max() == -1.0


def test_the_prompts_own_continuation_is_counted_apart(index: LandmarkIndex) -> None:
    recording = index.corpus["take_0.wav"]
    stop = 5 * SAMPLE_RATE
    clip = planted(unseen(1), recording.read(stop, stop + 2 * SAMPLE_RATE), 0)
    clip = planted(clip, index.corpus["take_1.wav"].read(0, SAMPLE_RATE), 4 * SAMPLE_RATE)
    apart = find_copies(index, clip, origin=Origin("take_0.wav", stop))
    assert apart.continuation_share == pytest.approx(2 / 6, abs=0.02)
    assert apart.share == pytest.approx(1 / 6, abs=0.02)
    assert apart.longest is not None
    assert apart.longest.recording == "take_1.wav"
    elsewhere = find_copies(index, clip, origin=Origin("take_0.wav", 10 * SAMPLE_RATE))
    assert elsewhere.continuation_share == 0.0
    assert elsewhere.share == pytest.approx(3 / 6, abs=0.02)


@pytest.mark.parametrize("gain", [0.1, 1.0, 5.0])
def test_a_recording_is_a_copy_of_itself_at_any_gain(index: LandmarkIndex, gain: float) -> None:
    recording = index.corpus["take_2.wav"]
    found = find_copies(index, np.float32(gain) * recording.read(12_345, 12_345 + N_CLIP))
    assert found.share > 0.97
    assert found.longest is not None
    assert found.longest.source == pytest.approx(12_345 / SAMPLE_RATE + found.longest.start, abs=1e-9)


@pytest.mark.parametrize("n_samples", [0, 1, 1000, N_CLIP])
def test_silence_copies_nothing(index: LandmarkIndex, n_samples: int) -> None:
    found = find_copies(index, np.zeros(n_samples, np.float32))
    assert found == Copies(n_samples / SAMPLE_RATE, ())
    assert (found.share, found.longest) == (0.0, None)


def test_a_stretch_that_is_in_two_places_counts_once() -> None:
    found = Copies(
        10.0, (Copy("verbatim", 1, 2, "a", 0), Copy("resynthesised", 2, 2, "b", 0), Copy("verbatim", 6, 1, "a", 9))
    )
    assert found.share == pytest.approx(0.4)
    assert found.longest == found.copies[0]


def test_landmarks_know_no_gain_and_move_with_the_waveform() -> None:
    waveform = playing(3, 4)
    words, frames = landmarks_of(waveform)
    louder, same_frames = landmarks_of(8 * waveform)
    assert np.array_equal(words, louder)
    assert np.array_equal(frames, same_frames)
    later = set(zip(*(part.tolist() for part in landmarks_of(waveform[10 * FRAME :])), strict=True))
    moved = {(word, frame - 10) for word, frame in zip(words.tolist(), frames.tolist(), strict=True)}
    assert len(later & moved) > 0.9 * len(later)


def test_the_index_finds_each_landmark_where_it_is(index: LandmarkIndex) -> None:
    words, frames = landmarks_of(index.corpus[1].read(0, 3 * SAMPLE_RATE))
    which, corpus_frames, weights = index.find(words)
    places = {n: set() for n in range(len(words))}
    for n, frame in zip(which.tolist(), corpus_frames.tolist(), strict=True):
        recording, within = index.locate(frame)
        places[n].add((recording.name, within))
    hits = [("take_1.wav", frame) in places[n] for n, frame in enumerate(frames.tolist())]
    assert np.mean(hits) > 0.9  # the end at three seconds has landmarks of its own
    assert weights == pytest.approx([len(places[n]) ** -0.5 for n in which], rel=0.5)


def test_progress_is_reported_for_each_recording(index: LandmarkIndex) -> None:
    calls: list[tuple[int, int]] = []
    LandmarkIndex.of(index.corpus.subset(["take_0.wav", "take_2.wav"]), progress=lambda n, of: calls.append((n, of)))
    assert calls == [(1, 2), (2, 2)]


def test_one_key_alone_has_no_partner_to_be_confused_with(index: LandmarkIndex) -> None:
    assert find_copies(index, 0.1 * key(58)).share == 0.0
