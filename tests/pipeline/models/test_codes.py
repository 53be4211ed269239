import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from pipeline.config import CodesSettings, Sampling
from pipeline.errors import SettingsError
from pipeline.models.heads.codes import Codes
from tests.pipeline.models import coins

SIZE = 4  # of the conditioning


def make(n_codes: int = 4, codebooks: int = 2) -> Codes:
    torch.manual_seed(0)
    return Codes(CodesSettings(codes=n_codes, codebooks=codebooks, code_width=16), SIZE, 3).eval()


def rows(n: int, size: int = 3, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def test_what_comes_in_few_kinds_is_named_exactly() -> None:
    residuals = rows(4)[torch.randint(4, (100,), generator=torch.Generator().manual_seed(1))]
    codes = make()
    codes.fit(residuals)
    (first, second), named = codes._encode(residuals)
    assert not named[0].any()
    torch.testing.assert_close(named[1], residuals, atol=1e-6, rtol=0)
    assert len(first.unique()) == 4
    torch.testing.assert_close(codes.codebooks[1, second], torch.zeros(100, 3), atol=1e-6, rtol=0)


def test_each_codebook_names_some_of_what_is_left_over() -> None:
    residuals = rows(600)
    codes = make(n_codes=8, codebooks=4)
    codes.fit(residuals)
    numbers, named = codes._encode(residuals)
    left = [(residuals - part).square().mean().item() for part in named]
    assert left[0] == pytest.approx(1, abs=0.1)
    assert all(after < 0.8 * before for before, after in pairwise(left))
    left_over = residuals.double().numpy()
    for codebook, number in zip(codes.codebooks.double().numpy(), numbers, strict=True):
        nearest = np.linalg.norm(left_over[:, None] - codebook, axis=-1).argmin(-1)
        np.testing.assert_array_equal(number, nearest)
        left_over = left_over - codebook[nearest]


@pytest.mark.parametrize("n", [0, 3])
def test_fewer_residuals_than_codes_are_refused(n: int) -> None:
    with pytest.raises(SettingsError) as caught:
        make().fit(rows(n))
    assert str(caught.value) == f"codes must be at most {n}, the corpus's frames of 50 ms, and not 4"


def test_a_fresh_head_knows_how_often_codes_come_and_nothing_else() -> None:
    codes, residuals = make(n_codes=7), rows(80)
    codes.fit(residuals)
    with torch.no_grad():
        loss = codes.loss(rows(80, SIZE), residuals).item()
        mean = codes.baselines(rows(80, seed=1), residuals)["mean"].item()
    assert loss == pytest.approx(mean, rel=1e-5)


def test_baselines_are_those_of_counting() -> None:
    residuals, codes = rows(60), make()
    codes.fit(residuals)
    previous = torch.cat([residuals[:30], rows(30, seed=1)])  # half of the frames repeat the one before
    found = codes.baselines(previous, residuals)
    came, before = (codes._encode(each)[0].tolist() for each in (residuals, previous))
    entropies, crosses = [], []
    for numbers, last in zip(came, before, strict=True):
        counts = Counter(numbers)
        share = {code: (counts[code] + 1) / (60 + 4) for code in range(4)}  # each is counted once more than it came
        stays = [a == b for a, b in zip(numbers, last, strict=True)]
        often = np.mean(stays)
        entropies.append(-np.mean([math.log(share[code]) for code in numbers]))
        crosses.append(
            -np.mean(
                [math.log(often * stay + (1 - often) * share[code]) for code, stay in zip(numbers, stays, strict=True)]
            )
        )
    assert found["mean"].item() == pytest.approx(np.mean(entropies), rel=1e-5)
    assert found["repeat"].item() == pytest.approx(np.mean(crosses), rel=1e-5)


def test_it_samples_what_it_was_taught_and_knows_its_conditioning() -> None:
    """Shares to 0.08, four deviations of 600 samples."""
    torch.manual_seed(0)
    codes = Codes(CodesSettings(codes=2, codebooks=1, code_width=16), 1, 1)
    coins.learn(codes, 150)
    for known, share in coins.SHARES.items():
        conditioning = torch.full((600, 1), known)
        with torch.no_grad():
            sampled = codes.sampler(torch.Generator().manual_seed(1), Sampling())(conditioning)
            again = codes.sampler(torch.Generator().manual_seed(1), Sampling())(conditioning)
            likeliest = codes.sampler(torch.Generator(), Sampling(sound_temperature=0.0))(conditioning)
        assert torch.equal(sampled, again)
        assert {round(value, 5) for value in sampled.unique().tolist()} == set(coins.POINTS)
        assert (sampled > 0).float().mean() == pytest.approx(share, abs=0.08)
        assert (likeliest > 0).all() if share > 0.5 else (likeliest < 0).all()


def test_every_weight_is_taught() -> None:
    codes, residuals = make(), rows(100)
    codes.fit(residuals)
    torch.nn.init.normal_(codes.output.weight)
    codes.train().loss(rows(100, SIZE), residuals).backward()  # type: ignore[no-untyped-call]
    for name, weight in codes.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name
