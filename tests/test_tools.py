"""The transcriber's targets are the inverse of its tracking; and which works are held out."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from waveforms.notes.spectrogram import N_BINS
from waveforms.notes.tracking import Tracker


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "tools"))
    import train_transcriber

    return train_transcriber


def test_targets_are_notes_again(training: ModuleType) -> None:
    notes = np.array([[0.31, 1.25, 60, 80], [1.25, 1.9, 60, 40], [0.5, 3.123, 33, 127], [2.0, 2.2, 105, 5]])
    targets, weights = training._targets(notes, 10, 3)  # from 0.2 s on, three semitones up
    assert targets.shape == (training.N_FRAMES, 88, 3)
    tracker = Tracker()
    found = np.array(sorted([*tracker.add(targets.numpy()), *tracker.end()]))
    expected = np.array(sorted((notes - [0.2, 0.2, -3, 0]).tolist()))
    np.testing.assert_allclose(found[:, 0], expected[:, 0], atol=2e-3)
    np.testing.assert_allclose(found[:, 1], expected[:, 1], atol=0.011)
    np.testing.assert_allclose(found[:, 2:], expected[:, 2:], atol=1e-3)
    assert torch.equal(weights > 0, targets[..., 1] > 0)


def test_an_excerpt_is_moved_by_semitones_and_between_them(training: ModuleType) -> None:
    views = torch.zeros(4, 3, N_BINS)
    views[..., 100] = 2.0
    rng = np.random.default_rng(0)
    assert training.varied(views, 6, rng).argmax(-1).unique().tolist() == [106]
    assert training.varied(views, -12.0, rng).argmax(-1).unique().tolist() == [88]
    between = training.varied(views, 0.5, rng)
    assert (between > 0).nonzero()[:, -1].unique().tolist() == [100, 101]


@pytest.mark.parametrize(
    ("name", "held_out"),
    [
        ("johnson_lift_every_voice", True),
        ("handel_lascia_chio_pianga_2of3_again1", True),
        ("joplin_maple_leaf_rag_1of2", True),
        ("scarlatti_keyboard_sonata_in_f_minor_k466_uthlsgmbymc_cut", True),
        ("scarlatti_keyboard_sonata_in_f_major_k525_vklhgcbupng_cut", False),
        ("bach_bwv846_prelude_1of2", False),
    ],
)
def test_held_out_works_in_every_key_and_part(training: ModuleType, name: str, held_out: bool) -> None:
    import transcriber_examples

    assert transcriber_examples.held_out(name) == held_out
