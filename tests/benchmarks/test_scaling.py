"""The simulation against closed forms, and the costs of a corpus against measurements of our own code."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.costs import (
    BYTES_PER_NOTE,
    N_WEIGHTS,
    WAV_BYTES_PER_HOUR,
    Machine,
    costs_of,
    products_of,
    training_seconds,
)
from benchmarks.recordings import random_notes
from benchmarks.scaling import GLOO_BANDWIDTH, GLOO_HOP, main
from benchmarks.training import random_blocks
from benchmarks.workers import Setup, simulate
from pipeline.codecs import make_codec
from pipeline.config import preset_named
from pipeline.models import make_model
from pipeline.models.base import total_loss

FLOW = preset_named("flow")
STEADY = {"jitter": 0.0, "slow_share": 0.0}


def setup(**values: float) -> Setup:
    """A second of computing, and gradients that take 0.1 s from worker to worker."""
    usual = {"compute": 1.0, "gradient_bytes": 1e8, "bandwidth": 1e9, "hop": 0.0, "batch_bytes": 0.0}
    return Setup("workers", **(usual | values))


@pytest.mark.parametrize("n", [1, 2, 7, 4096])
def test_without_jitter_and_with_fast_storage_only_the_exchange_is_lost(n: int) -> None:
    exchange = 2 * (n - 1) / n * 0.1
    share = simulate(setup(**STEADY), n)
    assert share.efficiency == pytest.approx(1 / (1 + exchange), rel=1e-9)
    assert (share.stragglers, share.input) == pytest.approx((0, 0), abs=1e-9)


def test_two_processes_as_they_were_measured() -> None:
    """A core that two share computes the parts of both, 0.70 s each, one after the other."""
    two = setup(compute=2 * 0.70, gradient_bytes=82.3e6, bandwidth=GLOO_BANDWIDTH, hop=GLOO_HOP, **STEADY)
    assert simulate(two, 2).step == pytest.approx(1.61, rel=0.05)


def test_many_hops_cost_a_ring_its_length() -> None:
    assert setup(hop=1e-3).exchange(101) == pytest.approx(2 * 100 / 101 * 0.1 + 0.2)


@pytest.mark.parametrize("depth", [1, 2])
def test_where_storage_is_slower_than_computing_storage_sets_the_pace(depth: int) -> None:
    share = simulate(setup(batch_bytes=1e9, storage=4e9, depth=depth, **STEADY), 16)
    assert share.step == pytest.approx(16 * 1e9 / 4e9)  # all bytes of a step over those of a second
    assert share.limit == "input"


def test_a_reader_that_is_just_faster_than_a_step_costs_nothing() -> None:
    share = simulate(setup(batch_bytes=1e9, reader=1e9 / 0.9, latency=0.09, **STEADY), 2)
    assert share.step == pytest.approx(1.1)


def test_one_slow_step_holds_up_all() -> None:
    n, slow = 100, 0.01
    share = simulate(setup(jitter=0.0, slow_share=slow, slow_factor=3.0), n)
    expected = 2 * (1 - (1 - slow) ** n)  # 1.27 s: the chance that any is slow, of two seconds more
    assert share.stragglers == pytest.approx(expected, abs=4 * 2 * 0.5 / np.sqrt(150))  # four deviations of the mean


def test_stragglers_are_the_expected_maximum_of_lognormals() -> None:
    maxima = np.random.default_rng(1).lognormal(-0.02, 0.2, (20_000, 64)).max(1)
    share = simulate(setup(jitter=0.2, slow_share=0.0), 64)
    assert share.compute + share.stragglers == pytest.approx(maxima.mean(), rel=0.04)


def test_batches_ahead_even_out_jitter() -> None:
    close = {"batch_bytes": 1e9, "reader": 1e9 / 1.09, "jitter": 0.3, "slow_share": 0.0}
    one, many = (simulate(setup(depth=depth, **close), 1).input for depth in (1, 8))
    assert many < one


def test_the_same_seed_gives_the_same_share() -> None:
    assert simulate(setup(), 8) == simulate(setup(), 8)
    assert simulate(setup(), 8) != simulate(setup(), 8, seed=1)


def test_the_presets_weights() -> None:
    model = make_model(FLOW, make_codec(FLOW.codec))
    assert sum(p.numel() for p in model.parameters()) == N_WEIGHTS


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # given whenever mkldnn is switched off or on
@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("flow", {"width": 128, "note_width": 96, "residual_width": 64, "flow_width": 80, "note_rows": 3}),
        ("flow", {"layers": 3, "flow_times": 1, "flow_depth": 2, "note_rows": 0, "residual_blocks": 40}),
        ("classic", {"width": 64, "layers": 1}),
    ],
)
def test_operations_are_those_that_torch_counts(preset: str, changes: dict[str, int]) -> None:
    settings = preset_named(preset).with_values({"batch_size": 2, "sequence_blocks": 12} | changes)
    codec = make_codec(settings.codec)
    model = make_model(settings, codec).train()
    blocks = random_blocks(settings, codec, torch.device("cpu"))
    with torch.backends.mkldnn.flags(enabled=False):  # whose LSTM is not counted
        with FlopCounterMode(display=False) as forward:
            loss = total_loss(model.loss(blocks, model.init_state(blocks.n_rows))[0])
        with FlopCounterMode(display=False) as backward:
            loss.backward()
    products = products_of(settings)
    assert forward.get_total_flops() == products.forward_flops
    both = forward.get_total_flops() + backward.get_total_flops()
    assert both == pytest.approx(products.step_flops, rel=0.01)  # no gradient goes beyond the first block


def test_operations_of_another_head_are_not_counted() -> None:
    with pytest.raises(TypeError, match="the head must be a point or a flow"):
        products_of(preset_named("codes"))


def test_an_hour() -> None:
    costs = costs_of(1)
    assert (costs.n_blocks, costs.wav_bytes) == (14_400, WAV_BYTES_PER_HOUR) == (14_400, 317_520_000)
    assert costs.n_recordings == 15
    assert costs.notes_bytes == 8 * 3600 * BYTES_PER_NOTE
    assert costs.survey_seconds == 3.6


def test_bytes_of_a_note() -> None:
    notes = random_notes(np.random.default_rng(0), 100.0)
    columns = (notes.onsets, notes.offsets, notes.pitches, notes.velocities)
    assert sum(column.nbytes for column in columns) == len(notes) * BYTES_PER_NOTE


def test_a_machine_trains_no_faster_than_it_reads() -> None:
    assert training_seconds(2, 3, Machine("one", 100)) == 864
    assert training_seconds(2, 3, Machine("one", 100, most_blocks_per_second=50)) == 1728


def test_all_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    printed = capsys.readouterr().out
    assert printed.startswith("a step, 6 rows of sound and 16 of notes: 11.2 GFLOPs forward, 33.3 in all\n")
    assert "| 10 000 | 150 thousand | 144 million | 3.2 TB | 1.6 TB | 196 MB | 9.2 GB |" in printed
    assert "| 10 000 | 10 h | 15 days |" in printed
    assert printed.count("\n| --- |") == 5
