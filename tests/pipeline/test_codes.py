import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from pipeline.elements import Shape
from pipeline.errors import SettingsError
from pipeline.predictors.chance import draw_one
from pipeline.predictors.codes import Codes
from pipeline.predictors.lstm import StackedLSTM
from pipeline.settings import CodesSettings, LSTMSettings, Sampling
from tests.pipeline import coins

SHAPE = Shape(n_slices=2, n_numbers=3, n_keys=1)
PROBABILITIES = torch.tensor([0.05, 0.5, 0.15, 0.3])


def make(n_codes: int = 4, stages: int = 2, shape: Shape = SHAPE) -> Codes:
    """A head that expects nothing, so that innovations are slices."""
    torch.manual_seed(0)
    codes = Codes(CodesSettings(guide=16, codes=n_codes, stages=stages, code_width=16), coins.WIDTH, shape).eval()
    codes.within.innovations.fit = lambda slices, known: None  # type: ignore[method-assign]
    return codes


def rows(n: int, size: int = 6, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def mute(sound: torch.Tensor) -> torch.Tensor:
    """Blocks of that sound, (n, 6), in which no key is struck, (n, 8)."""
    return torch.nn.functional.pad(sound.unflatten(-1, (2, 3)), (0, 1)).flatten(1)


def test_what_comes_in_few_kinds_is_told_exactly() -> None:
    kinds = rows(4, 3)
    elements = kinds[torch.randint(4, (50, 2), generator=torch.Generator().manual_seed(1))].flatten(1)
    codes = make()
    codes.fit([mute(elements[:20]), mute(elements[20:])])
    (first, second), told = codes._encode(elements.reshape(50, 2, 3))
    assert not told[0].any()
    torch.testing.assert_close(told[1].flatten(1), elements, atol=1e-6, rtol=0)
    assert len(first.unique()) == 4
    torch.testing.assert_close(codes.codebooks[1, second], torch.zeros(50, 2, 3), atol=1e-6, rtol=0)


def test_each_stage_tells_some_of_what_is_left() -> None:
    slices = rows(600, 3)
    codes = make(n_codes=8, stages=4)
    codes.fit([mute(slices.reshape(300, 6))])
    numbers, told = codes._encode(slices)
    left = [(slices - part).square().mean().item() for part in told]
    assert left[0] == pytest.approx(1, abs=0.1)
    assert all(after < 0.8 * before for before, after in pairwise(left))
    residual = slices.double().numpy()
    for codebook, number in zip(codes.codebooks.double().numpy(), numbers, strict=True):
        nearest = np.linalg.norm(residual[:, None] - codebook, axis=-1).argmin(-1)
        np.testing.assert_array_equal(number, nearest)
        residual = residual - codebook[nearest]


@pytest.mark.parametrize("elements", [[], [torch.zeros(1, 8)]])
def test_too_few_slices_are_refused(elements: list[torch.Tensor]) -> None:
    with pytest.raises(SettingsError) as caught:
        make().fit(elements)
    assert str(caught.value) == f"codes must be at most {len(elements)}, the corpus's pairs of slices, and not 4"


def test_a_fresh_head_knows_how_often_codes_come_and_nothing_else() -> None:
    codes = make(n_codes=7)
    codes.fit([mute(rows(40))])
    given = rows(40, coins.WIDTH), mute(rows(40, seed=1)), mute(rows(40))
    with torch.no_grad():
        loss, mean = codes.loss(*given).item(), codes.baselines(*given[1:])["mean"].item()
    assert loss == pytest.approx(
        mean + math.log(81 / 80), rel=1e-5
    )  # of 79 slices none had a key; both count once more


def test_baselines_are_those_of_counting() -> None:
    elements = rows(60)
    codes = make()
    codes.fit([mute(elements)])
    previous = torch.cat([elements[:30], rows(30, seed=1)])  # half of the blocks repeat the last slice of their own
    previous[:30, 3:] = elements[:30, :3]
    found = codes.baselines(mute(previous), mute(elements))
    numbers = codes._encode(elements.reshape(60, 2, 3))[0].numpy()
    last = codes._encode(torch.stack([previous[:, 3:], elements[:, :3]], dim=1))[0].numpy()
    entropies, crosses = [], []
    for stage in range(2):
        came = numbers[stage].ravel().tolist()
        counts = Counter(came[1:])  # nothing is known before the first
        share = {code: (counts[code] + 1) / (119 + 4) for code in range(4)}  # each is counted once more than it came
        entropies.append(-np.mean([math.log(share[code]) for code in came]))
        stays = (numbers[stage] == last[stage]).ravel()
        often = stays.mean()
        crosses.append(
            -np.mean(
                [
                    math.log(often * stay + (1 - often) * share[code])
                    for code, stay in zip(numbers[stage].ravel(), stays, strict=True)
                ]
            )
        )
    assert found["mean"].item() == pytest.approx(np.mean(entropies), rel=1e-5)
    assert found["repeat"].item() == pytest.approx(np.mean(crosses), rel=1e-5)


def shares(sampling: Sampling, n: int = 20_000) -> list[float]:
    logits = PROBABILITIES.log().expand(n, 4) + 3.0  # a constant changes nothing
    drawn = draw_one(logits, torch.Generator().manual_seed(0), sampling)
    return (torch.bincount(drawn, minlength=4) / n).tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_codes_come_as_often_as_they_are_likely(temperature: float) -> None:
    """To 0.015: four deviations of 20 000 draws."""
    powers = PROBABILITIES.double() ** (1 / temperature)
    assert shares(Sampling(temperature)) == pytest.approx((powers / powers.sum()).tolist(), abs=0.015)


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(top_k=1), [1]),
        (Sampling(top_k=2), [1, 3]),
        (Sampling(top_k=9), [0, 1, 2, 3]),
        (Sampling(top_p=0.01), [1]),
        (Sampling(top_p=0.49), [1]),
        (Sampling(top_p=0.51), [1, 3]),
        (Sampling(top_p=0.79), [1, 3]),
        (Sampling(top_p=0.81), [1, 2, 3]),
        (Sampling(top_p=0.96), [0, 1, 2, 3]),
        (Sampling(top_k=3, top_p=0.83), [1, 3]),  # of the three, which have 0.95 together, two have 0.84 of it
        (Sampling(0.0), [1]),
        (Sampling(1e-300), [1]),
    ],
)
def test_only_the_likeliest_are_drawn(sampling: Sampling, kept: list[int]) -> None:
    wanted = [float(PROBABILITIES[code]) if code in kept else 0.0 for code in range(4)]
    assert shares(sampling) == pytest.approx([each / sum(wanted) for each in wanted], abs=0.015)


def test_rows_have_codes_of_their_own() -> None:
    logits = rows(50, 9)
    for sampling in (Sampling(0.0), Sampling(top_k=1), Sampling(2.0, top_k=1), Sampling(1e-300), Sampling(top_p=1e-9)):
        assert torch.equal(draw_one(logits, torch.Generator(), sampling), logits.argmax(-1))


def test_it_draws_what_it_was_taught() -> None:
    codes = make(n_codes=2, stages=1, shape=coins.SHAPE)
    codes.fit([coins.throw(200, torch.Generator().manual_seed(3))])
    coins.learn(codes, 300)
    with torch.no_grad():
        given = torch.zeros(600, coins.WIDTH), coins.NOTHING.expand(600, -1)
        drawn = codes.draw(*given, torch.Generator().manual_seed(1), Sampling())
        again = codes.draw(*given, torch.Generator().manual_seed(1), Sampling())
        likeliest = codes.draw(*given, torch.Generator().manual_seed(1), Sampling(0.0))
    assert torch.equal(drawn, again)
    drawn, likeliest, struck = drawn[:, ::3], likeliest[:, ::3], likeliest[:, 1::3]  # keys are left to chance
    up, down = coins.POINTS
    torch.testing.assert_close(likeliest, torch.where(struck > 0, up, down))
    assert {round(value, 5) for value in drawn.unique().tolist()} == {up, down}
    assert (drawn[:, 0] > 0).float().mean() == pytest.approx(coins.SHARE, abs=0.08)
    assert (drawn[:, 0] == drawn[:, 1]).float().mean() > 0.98  # the second slice knows the first


def test_every_weight_is_taught() -> None:
    head = make(shape=coins.SHAPE)
    throws = coins.throw(40, torch.Generator().manual_seed(0))
    head.fit([throws])
    torch.nn.init.normal_(head.leave.weight)
    torch.nn.init.normal_(head.within.keys.leave.weight)
    predictor = StackedLSTM(LSTMSettings(layers=2, width=coins.LSTM_WIDTH), coins.SHAPE, head).train()
    predictor.loss(throws[:10].reshape(2, 5, 6), torch.tensor([4, 2])).backward()  # type: ignore[no-untyped-call]
    for name, weight in predictor.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name
