from collections import Counter
from itertools import groupby, islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.windows import Position, batches, prefetch, read_batch, read_blocks, sweep, windows
from waveforms import BLOCK_SIZE
from waveforms.corpus import Corpus


@given(length=st.integers(1, 40), seed=st.none() | st.integers(0, 1000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_block_but_the_first_is_a_target_once(corpus: Corpus, length: int, seed: int | None) -> None:
    plan = windows(corpus, length, None if seed is None else np.random.default_rng(seed))
    read = [[(s.recording, s.first + n) for s in w.spans for n in range(s.n_blocks)] for w in plan]
    targets = Counter(block for blocks in read for block in blocks[1:])
    targets[read[0][0]] += 1
    assert targets == Counter((i, block) for i, r in enumerate(corpus) for block in range(r.n_blocks))
    assert all(before[-1] == after[0] for before, after in pairwise(read))
    assert all(1 <= w.n_targets == len(blocks) - 1 <= length for w, blocks in zip(plan, read, strict=True))


def test_recordings_follow_one_another_whole_in_an_order_of_chance(corpus: Corpus) -> None:
    orders = set()
    for seed in range(20):
        spans = [span for w in windows(corpus, 6, np.random.default_rng(seed)) for span in w.spans]
        order = [recording for recording, _ in groupby(spans, key=lambda span: span.recording)]
        assert sorted(order) == list(range(len(corpus)))
        orders.add(tuple(order))
    assert len(orders) > 1


def test_a_window_holds_the_recordings_at_their_places(corpus: Corpus) -> None:
    plan = windows(corpus, 6)
    margins = (100, 101)
    batch = read_batch(corpus, plan, 6, margins)
    assert [len(waveform) for waveform in batch.waveforms] == len(plan) * [7 * BLOCK_SIZE + 201]
    assert any(len(window.spans) > 1 for window in plan)
    stream = np.concatenate([r.read(0, r.n_blocks * BLOCK_SIZE) for r in corpus])
    first = 0
    for row, window in zip(batch.waveforms, plan, strict=True):
        n = (window.n_targets + 1) * BLOCK_SIZE
        assert np.array_equal(row[100 : 100 + n], stream[first * BLOCK_SIZE :][:n])
        span = window.spans[0]
        assert np.array_equal(
            row[:100], corpus[span.recording].read(span.first * BLOCK_SIZE - 100, span.first * BLOCK_SIZE)
        )
        span = window.spans[-1]
        end = (span.first + span.n_blocks) * BLOCK_SIZE
        assert np.array_equal(row[100 + n :], corpus[span.recording].read(end, end + len(row) - 100 - n))
        first += window.n_targets


def test_a_sweep_passes_every_block_once(corpus: Corpus) -> None:
    stretches = list(sweep(corpus, (0, 0)))
    assert sum(len(s) for s in stretches) == corpus.n_blocks * BLOCK_SIZE
    assert np.concatenate(stretches).sum() == pytest.approx(
        sum(r.read(0, r.n_samples).sum() for r in corpus), rel=1e-3, abs=1e-3
    )


def test_margins_at_the_edges_of_a_recording_are_silent(corpus: Corpus) -> None:
    stretch = read_blocks(corpus[0], 0, 1, (50, 0))
    assert not stretch[:50].any()
    assert stretch[50:].any()


def test_batches_depend_on_seed_and_position_alone(corpus: Corpus) -> None:
    def stream(seed: int, start: Position = Position()) -> list:  # noqa: B008
        return list(islice(batches(corpus, 6, 4, (0, 0), seed=seed, start=start), 9))

    whole = stream(3)
    position = whole[4][1]
    for (batch, at), (again, at_again) in zip(whole[5:], stream(3, position), strict=False):
        assert at == at_again
        assert all(map(torch.equal, batch.waveforms, again.waveforms))
    assert not torch.equal(whole[0][0].waveforms[0], stream(4)[0][0].waveforms[0])


def test_an_epoch_ends_where_the_next_begins(corpus: Corpus) -> None:
    seen = 0
    for batch, position in batches(corpus, 6, 4, (0, 0), seed=0):
        seen += int(batch.n_targets.sum())
        if position.epoch == 1:
            break
    assert position == Position(1, 0)
    assert seen == corpus.n_blocks - 1


def test_prefetching_changes_nothing_and_passes_faults_on() -> None:
    assert list(prefetch(iter(range(1, 6)))) == [1, 2, 3, 4, 5]

    def broken():  # type: ignore[no-untyped-def]
        yield 1
        raise OSError("gone")

    fetched = prefetch(broken())
    assert next(fetched) == 1
    with pytest.raises(OSError, match="gone"):
        next(fetched)
