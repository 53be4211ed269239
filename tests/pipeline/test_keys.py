"""Chords told key after key, against counting all chords there are."""

from itertools import combinations

import numpy as np
import pytest
import torch

from pipeline.predictors.keys import Keys
from pipeline.settings import Sampling

N_KEYS, GUIDE = 5, 4
CHORDS = torch.tensor(
    [[key in chord for key in range(N_KEYS)] for n in range(N_KEYS + 1) for chord in combinations(range(N_KEYS), n)]
).float()


def make() -> Keys:
    """A network that says something: a fresh one's last layer is silent."""
    torch.manual_seed(0)
    keys = Keys(GUIDE, N_KEYS)
    torch.nn.init.normal_(keys.leave.weight, std=0.5)
    torch.nn.init.normal_(keys.hear.weight)
    torch.nn.init.constant_(keys.leave.bias[-1], 3.0)  # often enough, nothing is struck
    return keys.eval()


def probabilities(keys: Keys, guide: torch.Tensor) -> torch.Tensor:
    """Of all 32 chords."""
    with torch.no_grad():
        return torch.stack([-keys.loss(guide[None], chord[None]) for chord in CHORDS]).exp()


def test_all_chords_together_are_certain() -> None:
    assert len(CHORDS) == 32
    for guide in torch.randn(3, GUIDE, generator=torch.Generator().manual_seed(1)):
        assert probabilities(make(), guide).sum().item() == pytest.approx(1, abs=1e-5)


def test_the_loss_is_a_mean_over_slices() -> None:
    keys = make()
    guides = torch.randn(32, GUIDE)
    with torch.no_grad():
        alone = [keys.loss(guides[n : n + 1], CHORDS[n : n + 1]).item() for n in range(32)]
        assert keys.loss(guides, CHORDS).item() == pytest.approx(np.mean(alone), rel=1e-5)


def test_chords_come_as_often_as_they_are_likely() -> None:
    """To 0.015, four deviations of 20 000 draws."""
    keys, guide = make(), torch.randn(GUIDE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        drawn = keys.draw(guide.expand(20_000, -1), torch.Generator().manual_seed(0), Sampling())
    which = (drawn[:, None] == CHORDS).all(-1).int().argmax(-1)
    shares = torch.bincount(which, minlength=32) / 20_000
    torch.testing.assert_close(shares, probabilities(keys, guide), atol=0.015, rtol=0)


@pytest.mark.parametrize("sampling", [Sampling(0.2), Sampling(2.0), Sampling(top_k=1), Sampling(top_p=0.3)])
def test_how_often_nothing_is_struck_is_left_to_chance(sampling: Sampling) -> None:
    """To 0.015, four deviations of 20 000 draws."""
    keys, guide = make(), torch.randn(GUIDE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        drawn = keys.draw(guide.expand(20_000, -1), torch.Generator().manual_seed(0), sampling)
    nothing = probabilities(keys, guide)[0].item()
    assert 0.05 < nothing < 0.95
    assert (drawn.sum(-1) == 0).float().mean().item() == pytest.approx(nothing, abs=0.015)


def test_careful_draws_are_of_the_likeliest_keys() -> None:
    keys, guides = make(), torch.randn(200, GUIDE, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for sampling in (Sampling(0.0), Sampling(top_k=1), Sampling(top_p=1e-9)):
            drawn = keys.draw(guides, torch.Generator().manual_seed(1), sampling)
            assert torch.equal(keys.draw(guides, torch.Generator().manual_seed(1), sampling), drawn)
            for guide, chord in zip(guides, drawn, strict=True):
                told = torch.zeros(N_KEYS)
                for key in chord.nonzero().ravel():
                    assert keys._logits(keys.lead(guide)[None], told[None])[0, :-1].argmax() == key
                    told[key] = 1
        assert not torch.equal(keys.draw(guides, torch.Generator().manual_seed(1), Sampling()), drawn)


def test_a_fitted_network_begins_with_how_often_answers_come() -> None:
    """Of one key in three slices of four; each answer counts once more than it came."""
    keys = Keys(GUIDE, 1)
    keys.fit(torch.tensor([[1.0], [1.0], [1.0], [0.0]]))
    with torch.no_grad():
        struck = keys.loss(torch.randn(1, GUIDE), torch.ones(1, 1)).exp()
    assert struck.item() == pytest.approx((4 + 5) / 4)  # told once a slice: 3 times the key, 4 times no more


def test_baselines_are_those_of_counting() -> None:
    generator = torch.Generator().manual_seed(0)
    before = (torch.rand(5000, N_KEYS, generator=generator) < 0.3).float()
    chance = torch.where(before > 0, 0.05, torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]))
    keys = (torch.rand(5000, N_KEYS, generator=generator) < chance).float()

    def entropy(rows: np.ndarray) -> np.ndarray:
        """Of each key, in nats."""
        p = rows.mean(0)
        found: np.ndarray = -p * np.log(p) - (1 - p) * np.log(1 - p)
        return found

    rows, last = keys.double().numpy(), before.numpy() > 0
    again = sum(
        share * entropy(rows[which, key][:, None])[0]
        for key in range(N_KEYS)
        for which in (last[:, key], ~last[:, key])
        for share in (which.mean(),)
    )
    found = Keys(GUIDE, N_KEYS).baselines(keys.reshape(1000, 5, N_KEYS), before.reshape(1000, 5, N_KEYS))
    assert found["mean"].item() == pytest.approx(entropy(rows).sum(), rel=1e-4)
    assert found["repeat"].item() == pytest.approx(again, rel=1e-4)
    assert found["repeat"] < found["mean"]
