"""Ratios, shares, targets and rows from numbers known beforehand; no time is taken."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.figures import HEAD, Figure, Reference, Target, number, save_plot, table
from benchmarks.peers.ancestor import load_training_examples
from benchmarks.timing import median_seconds
from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE

SPEED = Figure("training", "ours", 600.0, "blocks/s", peer=Reference("theirs", 200.0), limit=Reference("all", 800.0))
SECONDS = Figure(
    "clips", "ours", 2.0, "s", less_is_better=True, peer=Reference("theirs", 100.0), limit=Reference("all", 0.5)
)


def wanting(figure: Figure, of: str, bound: float) -> Figure:
    return Figure(**{**vars(figure), "target": Target(of, bound)})


def test_better_is_more_blocks_or_fewer_seconds() -> None:
    assert (SPEED.ratio, SPEED.share) == (3.0, 0.75)
    assert (SECONDS.ratio, SECONDS.share) == (50.0, 0.25)
    alone = Figure("machine", "disk", 1.0, "GB/s")
    assert (alone.ratio, alone.share, alone.is_met) == (None, None, None)


@pytest.mark.parametrize(
    ("figure", "of", "met", "missed"),
    [
        (SPEED, "value", 600, 601),
        (SPEED, "ratio", 3, 3.1),
        (SPEED, "share", 0.75, 0.76),
        (SECONDS, "value", 2, 1.9),
        (SECONDS, "ratio", 50, 51),
        (SECONDS, "share", 0.25, 0.26),
    ],
)
def test_targets(figure: Figure, of: str, met: float, missed: float) -> None:
    assert wanting(figure, of, met).is_met is True
    assert wanting(figure, of, missed).is_met is False


def test_a_target_against_a_peer_that_is_not_there_is_missed() -> None:
    assert wanting(Figure("start", "ours", 1.0, "s"), "ratio", 2).is_met is False


def test_the_table_says_it_in_words() -> None:
    rows = table([wanting(SPEED, "ratio", 8), wanting(SECONDS, "value", 2), wanting(SPEED, "share", 0.5)])
    assert all(len(row) == len(HEAD) for row in rows)
    assert rows[0] == ("ours", "600 blocks/s", "3x theirs (200)", "75 % of all (800)", "8x: missed")
    assert [row[-1] for row in rows[1:]] == ["2 s: met", "50 %: met"]
    assert table([Figure("machine", "disk", 0.8171, "GB/s")]) == [("disk", "0.817 GB/s", "", "", "")]


def test_numbers_have_three_figures() -> None:
    assert [number(value) for value in (0.04567, 1.0, 45.67, 456.7, 45_678.9)] == [
        "0.0457",
        "1",
        "45.7",
        "457",
        "45,679",
    ]


def test_figures_go_into_json_with_what_follows_from_them() -> None:
    written = json.loads(json.dumps(wanting(SPEED, "ratio", 8).to_json()))
    assert (written["value"], written["ratio"], written["share"], written["is_met"]) == (600.0, 3.0, 0.75, False)
    assert written["peer"] == {"name": "theirs", "value": 200.0}


def test_works_alternate_and_the_first_round_does_not_count() -> None:
    done: list[str] = []
    times = {"a": iter([99.0, 1.0, 5.0, 2.0]), "b": iter([99.0, 7.0, 7.0, 1.0])}

    def work(name: str) -> float:
        done.append(name)
        return next(times[name])

    assert median_seconds({n: lambda n=n: work(n) for n in times}, 3) == {"a": 2.0, "b": 7.0}
    assert done == ["a", "b"] * 4


def test_any_figures_can_be_plotted(tmp_path: Path) -> None:
    for name, figures in {"all": [SPEED, SECONDS], "none": []}.items():
        save_plot(figures, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_the_ancestors_arrays_are_standardised_spectra_a_block_apart(tmp_path: Path) -> None:
    n_blocks = 90  # two full sequences and a short one
    noise = np.random.default_rng(0).normal(0, 0.1, n_blocks * BLOCK_SIZE - 100)
    soundfile.write(tmp_path / "a.wav", noise, SAMPLE_RATE, subtype="PCM_16")
    x, y = load_training_examples([tmp_path / "a.wav"])
    assert x.shape == y.shape == (3, 40, 2 * BLOCK_SIZE)
    np.testing.assert_array_equal(x[0, 1:], y[0, :-1])
    np.testing.assert_array_equal(x[1, 0], y[0, -1])
    assert x[:2].std() == pytest.approx(1, abs=0.2)
