import numpy as np
import pytest
import torch

from pipeline.predictors import within as module
from pipeline.predictors.innovations import Innovations
from pipeline.predictors.within import Within

WIDTH, SHAPE = 8, (5, 3)
DECAY = torch.tensor([[0.9, 0.0, 0.0], [0.2, 0.5, 0.0], [0.0, -0.3, 0.7]])  # of a slice, in rows
MIXED = torch.tensor([[0.5, 0.0, 0.0], [0.4, 0.3, 0.0], [0.0, 0.1, 0.2]])  # of what is new


def rows(n: int, size: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def linear_process(n: int) -> torch.Tensor:
    """Slices that follow from those before them by DECAY, and something new, (n, 3)."""
    slices = [torch.zeros(3)]
    for new in rows(n, 3, seed=5) @ MIXED:
        slices.append(slices[-1] @ DECAY + new)
    return torch.stack(slices[1:])


def make(*, noise: float = 0.5) -> Within:
    torch.manual_seed(0)
    within = Within(WIDTH, 16, SHAPE, noise).eval()
    torch.nn.init.normal_(within.places)
    return within


def test_a_linear_process_is_seen_through() -> None:
    """To what 20 000 slices leave to chance."""
    within = make()
    found = within.fit(list(linear_process(20_000).reshape(-1, 15).split(100)))
    innovations = within.innovations
    torch.testing.assert_close(innovations.weight, DECAY, atol=0.03, rtol=0)
    covariance = (innovations.axes * innovations.spread.square()) @ innovations.axes.T
    torch.testing.assert_close(covariance, MIXED.T @ MIXED, atol=0.01, rtol=0)
    torch.testing.assert_close(torch.cov(found.T), torch.diag(innovations.spread.square()), atol=1e-3, rtol=0)


def test_innovations_lead_back_to_their_slices() -> None:
    innovations = Innovations(3)
    slices, before = rows(50, 3), rows(50, 3, seed=1)
    assert torch.equal(innovations(slices, before), slices)  # nothing is expected yet
    innovations.fit(linear_process(500)[1:], linear_process(500)[:-1])
    torch.testing.assert_close(innovations.inverse(innovations(slices, before), before), slices)


def test_a_corpus_of_hardly_any_slices_gives_numbers() -> None:
    for blocks in ([], [torch.zeros(1, 15)], [torch.zeros(4, 15)], [rows(1, 15)]):
        within = make()
        found = within.fit(blocks)
        assert len(found) == sum(5 * len(each) - 1 for each in blocks)
        assert all(buffer.isfinite().all() for buffer in within.innovations.buffers())


def test_slices_are_spread_evenly_over_a_corpus_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_FITTED", 10)
    numbered = torch.arange(84.0).reshape(42, 2)  # blocks of two slices of one number
    slices, before = module._neighbours([numbered], (2, 1))
    assert slices.ravel().tolist() == list(range(1, 84, 16))
    assert torch.equal(before, slices - 1)
    for lengths in ([5, 1, 30, 6], [1] * 42):  # no pair reaches over the end of a recording
        slices, before = module._neighbours(numbered.split(lengths), (2, 1))
        assert 5 < len(slices) <= 10
        assert torch.equal(before, slices - 1)
        assert np.ptp(np.diff(slices.ravel().numpy())) <= 2 * len(lengths)


def test_guides_are_the_same_all_at_once_and_one_by_one() -> None:
    within = make()
    within.fit([linear_process(500).reshape(-1, 15)])
    outputs, previous, targets = rows(4, WIDTH), rows(4, 15, seed=1), rows(4, 15, seed=2)
    with torch.no_grad():
        guides, innovations = within(outputs, previous, targets)
        given: list[torch.Tensor] = []

        def draw(guide: torch.Tensor) -> torch.Tensor:
            torch.testing.assert_close(guide, guides[:, len(given)], atol=1e-5, rtol=1e-5)
            given.append(innovations[:, len(given)])
            return given[-1]

        torch.testing.assert_close(within.unroll(outputs, previous, draw), targets)
        assert len(given) == 5
        assert torch.equal(within(outputs, previous, targets)[0], guides)
        within.train()
        noisy_guides, noisy_innovations = within(outputs, previous, targets)
    assert not torch.equal(noisy_guides, guides)
    before = noisy_guides[..., -3:]  # what is new is held against the slice that the guide tells of
    torch.testing.assert_close(within.innovations.inverse(noisy_innovations, before).flatten(1), targets)


def test_no_guide_knows_its_own_slice_or_a_later_one() -> None:
    within = make()
    outputs, previous, targets = rows(4, WIDTH), rows(4, 15, seed=1), rows(4, 15, seed=2)
    changed = targets.clone()
    changed[:, 6:] += 1  # slices 3 ... 5
    with torch.no_grad():
        (one, _), (other, _) = within(outputs, previous, targets), within(outputs, previous, changed)
    assert torch.equal(one[:, :3], other[:, :3])
    assert not torch.equal(one[:, 3:], other[:, 3:])
