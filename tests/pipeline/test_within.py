import numpy as np
import pytest
import torch

from pipeline.elements import Shape
from pipeline.predictors import within as module
from pipeline.predictors.innovations import FAINTEST, Innovations
from pipeline.predictors.traces import n_traces, traces_of
from pipeline.predictors.within import Within
from pipeline.settings import Sampling

SHAPE = Shape(n_slices=5, n_numbers=3, n_keys=4)
WIDTH = 8 + n_traces(4)
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


def blocks(n: int, *, seed: int) -> torch.Tensor:
    """Any sound, and each key struck in a third of the slices, (n, 35)."""
    sound = rows(n * 5, 3, seed=seed)
    keys = torch.rand(n * 5, 4, generator=torch.Generator().manual_seed(seed)) < 1 / 3
    return torch.cat([sound, keys.float()], dim=-1).reshape(n, 35)


def make(*, noise: float = 0.5) -> Within:
    torch.manual_seed(0)
    within = Within(WIDTH, 16, SHAPE, noise).eval()
    torch.nn.init.normal_(within.places)
    return within


def test_a_linear_process_is_seen_through() -> None:
    """To what 20 000 slices leave to chance; no key is struck."""
    within = make()
    slices = torch.nn.functional.pad(linear_process(20_000), (0, 4))
    found = within.fit(list(slices.reshape(-1, 35).split(100)))
    innovations = within.innovations
    torch.testing.assert_close(innovations.weight[:3], DECAY, atol=0.03, rtol=0)
    assert not innovations.weight[3:].any()
    covariance = (innovations.axes * innovations.spread.square()) @ innovations.axes.T
    torch.testing.assert_close(covariance, MIXED.T @ MIXED, atol=0.01, rtol=0)
    torch.testing.assert_close(torch.cov(found.T), torch.diag(innovations.spread.square()), atol=1e-3, rtol=0)


def test_innovations_lead_back_to_their_slices() -> None:
    innovations = Innovations(3, 3)
    slices, before = rows(50, 3), rows(50, 3, seed=1)
    assert torch.equal(innovations(slices, before), slices)  # nothing is expected yet
    innovations.fit(linear_process(500)[1:], linear_process(500)[:-1])
    torch.testing.assert_close(innovations.inverse(innovations(slices, before), before), slices)


def test_noise_is_spread_as_innovations_are_and_a_little_in_every_direction() -> None:
    innovations = Innovations(3, 3)
    innovations.fit(linear_process(5000)[1:], linear_process(5000)[:-1])
    torch.manual_seed(0)
    noise = innovations.noise_like(torch.zeros(50_000, 3))
    wanted = (innovations.axes * (innovations.spread + FAINTEST).square()) @ innovations.axes.T
    torch.testing.assert_close(torch.cov(noise.T), wanted, atol=0.02, rtol=0)


def test_a_corpus_of_hardly_any_slices_gives_numbers() -> None:
    for corpus in ([], [torch.zeros(1, 35)], [torch.zeros(4, 35)], [blocks(1, seed=0)]):
        within = make()
        found = within.fit(corpus)
        assert len(found) == sum(5 * len(each) - 1 for each in corpus)
        assert all(buffer.isfinite().all() for buffer in within.innovations.buffers())


def test_slices_are_spread_evenly_over_a_corpus_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_FITTED", 10)
    numbered = torch.arange(84.0).reshape(42, 2)  # blocks of two slices of one number
    slices, before = module._neighbours([numbered], Shape(2, 1))
    assert slices.ravel().tolist() == list(range(1, 84, 16))
    assert torch.equal(before, slices - 1)
    for lengths in ([5, 1, 30, 6], [1] * 42):  # no pair reaches over the end of a recording
        slices, before = module._neighbours(numbered.split(lengths), Shape(2, 1))
        assert 5 < len(slices) <= 10
        assert torch.equal(before, slices - 1)
        assert np.ptp(np.diff(slices.ravel().numpy())) <= 2 * len(lengths)


def test_a_slice_is_expected_from_the_sound_before_and_the_keys_now_struck() -> None:
    """Each key adds its own sound to what is left of the slice before; 20 000 slices tell which, to 0.03."""
    sounds = rows(4, 3, seed=7)
    keys = blocks(4000, seed=8).reshape(-1, 7)[:, 3:]
    slices = [torch.zeros(3)]
    for struck, new in zip(keys, rows(len(keys), 3, seed=5) @ MIXED, strict=True):
        slices.append(slices[-1] @ DECAY + struck @ sounds + new)
    within = make()
    within.fit([torch.cat([torch.stack(slices[1:]), keys], dim=-1).reshape(-1, 35)])
    torch.testing.assert_close(within.innovations.weight, torch.cat([DECAY, sounds]), atol=0.03, rtol=0)


def test_guides_are_the_same_all_at_once_and_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    within = make()
    within.fit([blocks(100, seed=5)])
    past, previous, targets = rows(4, WIDTH), blocks(4, seed=1), blocks(4, seed=2)
    sound, keys = SHAPE.sound(SHAPE.slices(targets)), SHAPE.keys(SHAPE.slices(targets))
    with torch.no_grad():
        guides, innovations, _ = within(past, previous, targets)
        given: list[torch.Tensor] = []

        def draw(guide: torch.Tensor) -> torch.Tensor:
            torch.testing.assert_close(guide, guides[:, len(given)], atol=1e-5, rtol=1e-5)
            given.append(innovations[:, len(given)])
            return given[-1]

        monkeypatch.setattr(within.keys, "draw", lambda *_: keys[:, len(given)])
        drawn = within.unroll(past, previous, draw, torch.Generator(), Sampling())
        torch.testing.assert_close(drawn, targets)
        assert len(given) == 5
        assert torch.equal(within(past, previous, targets)[0], guides)
        within.train()
        noisy_guides, noisy_innovations, _ = within(past, previous, targets)
    assert not torch.equal(noisy_guides, guides)
    known = noisy_guides[..., -7:]  # what is new is held against the slice that the guide tells of
    assert torch.equal(known[..., 3:], keys)  # of which keys are struck there is no doubt
    torch.testing.assert_close(within.innovations.inverse(noisy_innovations, known), sound)


def test_a_guide_knows_the_keys_of_its_own_slice_and_nothing_else_of_it_or_later_ones() -> None:
    within = make()
    past, previous, targets = rows(4, WIDTH), blocks(4, seed=1), blocks(4, seed=2)
    changed = targets.clone()
    changed[:, 14:17] += 1  # the sound of slice 3
    with torch.no_grad():
        one, other = within(past, previous, targets)[0], within(past, previous, changed)[0]
    assert torch.equal(one[:, :3], other[:, :3])
    assert not torch.equal(one[:, 3:], other[:, 3:])
    changed = targets.clone()
    changed[:, 17:21] = 1 - changed[:, 17:21]  # the keys of slice 3
    with torch.no_grad():
        other = within(past, previous, changed)[0]
    assert torch.equal(one[:, :2], other[:, :2])
    assert torch.equal(one[:, 2, :-4], other[:, 2, :-4])
    assert torch.equal(1 - one[:, 2, -4:], other[:, 2, -4:])


def test_a_guide_tells_of_every_slice_of_the_block_before_and_of_each_key_struck_so_far() -> None:
    within = make()
    past, previous, targets = rows(4, WIDTH), blocks(4, seed=1), blocks(4, seed=2)
    keys = SHAPE.keys(SHAPE.slices(targets))
    with torch.no_grad():
        guides = within(past, previous, targets)[0]
        for first in range(0, 35, 7):
            changed = previous.clone()
            changed[:, first] += 1
            assert not torch.equal(within(past, changed, targets)[0][:, 0], guides[:, 0])
    traces = guides[..., 16 : 16 + within.n_traces]
    assert torch.equal(traces, traces_of(keys, past[:, -within.n_traces :])[:, :-1])
