"""Which clips are measured: equal pieces, spread evenly, no second on two sides."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.anchors import halves, noise, shuffled, silence
from pipeline.evaluation.segments import cuts_of, evenly, spread
from waveforms.corpus.recording import Recording
from waveforms.corpus.survey import survey
from waveforms.dsp.blocks import BLOCK_SIZE

N = 2 * BLOCK_SIZE


@pytest.fixture
def recording(record: Callable[..., Path]) -> Callable[[str, float], Recording]:
    """Give a function that makes a recording of so many clips: a ramp, so that each sample tells its place."""

    def make(name: str, n_clips: float) -> Recording:
        waveform = np.linspace(0.1, 0.9, round(n_clips * N), dtype=np.float32)
        return Recording(name, survey(record(name, waveform, subtype="FLOAT")))

    return make


def test_items_are_spread_evenly() -> None:
    assert evenly(range(10), 5) == [1, 3, 5, 7, 9]
    assert evenly(range(3), 5) == [0, 1, 2]
    groups = [[f"{name}{n}" for n in range(length)] for name, length in (("a", 8), ("b", 1), ("c", 0), ("d", 4))]
    assert spread(groups, 2) == ["a4", "d2"]
    assert spread(groups, 5) == ["a2", "a6", "b0", "d1", "d3"]
    assert len(spread(groups, 99)) == 13
    assert spread(groups, 99) == list(chain.from_iterable(groups))


def test_cuts_are_the_recording_piece_by_piece(recording: Callable[[str, float], Recording]) -> None:
    source = recording("ramp.wav", 3.5)
    cuts = cuts_of(source, "/there/ramp.wav", N)
    whole = source.read(0, source.n_samples)
    assert [cut.name for cut in cuts] == ["ramp.wav @ 0 s", "ramp.wav @ 0.5 s", "ramp.wav @ 1 s"]
    assert cuts[2].source == "/there/ramp.wav @ 1 s"
    np.testing.assert_array_equal(np.concatenate([cut.read() for cut in cuts]), whole[: 3 * N])
    np.testing.assert_array_equal(cuts[1].part(5, 9), whole[N + 5 : N + 9])
    assert [cut.name for cut in cuts_of(recording("one.wav", 1.9), "one.wav", N)] == ["one.wav"]


def test_the_reference_and_real_share_no_second(recording: Callable[[str, float], Recording]) -> None:
    sources = [(recording(f"{n}.wav", n), f"{n}.wav") for n in (1, 4, 1, 5, 1, 3, 2)]
    reference, real = halves(sources, N)
    assert [len(cuts) for cuts in reference] == [1, 2, 0, 3, 0, 2, 1]  # odd clips go to either side in turn
    assert [len(cuts) for cuts in real] == [0, 2, 1, 2, 1, 1, 1]
    for ours, theirs, (_, path) in zip(reference, real, sources, strict=True):
        places = [cut.source for cut in ours + theirs]
        assert len(set(places)) == len(places)
        assert all(place.startswith(f"{path} @ ") for place in places)


def test_shuffled_clips_are_blocks_of_real_ones(recording: Callable[[str, float], Recording]) -> None:
    real = cuts_of(recording("real.wav", 8), "", N)
    blocks = np.concatenate([cut.read() for cut in real]).reshape(-1, BLOCK_SIZE)
    clips = shuffled(real, 4, seed=3)
    firsts = []
    for clip in clips:
        for block in clip.read().reshape(-1, BLOCK_SIZE):
            (place,) = np.flatnonzero((blocks == block).all(axis=1))
            firsts.append(int(place))
    assert len(set(firsts)) > 4
    assert firsts != sorted(firsts)
    np.testing.assert_array_equal(clips[1].read(), shuffled(real, 2, seed=3)[1].read())
    assert not np.array_equal(clips[1].read(), shuffled(real, 2, seed=4)[1].read())


def test_noise_is_white_and_silence_is_silent() -> None:
    first, second = (cut.read() for cut in noise(2, 40_000, seed=0))
    assert first.std() == pytest.approx(0.05, rel=0.02)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.03
    assert not silence(1, 100)[0].read().any()
