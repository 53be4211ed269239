import pytest
import torch

from pipeline.config import Sampling
from pipeline.models.sampling import sample

PROBABILITIES = torch.tensor([0.05, 0.5, 0.15, 0.3])


def shares(sampling: Sampling, n: int = 20_000) -> list[float]:
    logits = PROBABILITIES.log().expand(n, 4) + 3.0  # a constant changes nothing
    sampled = sample(logits, torch.Generator().manual_seed(0), sampling)
    return (torch.bincount(sampled, minlength=4) / n).tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_classes_come_as_often_as_they_are_likely(temperature: float) -> None:
    """To 0.015: four deviations of 20 000 samples."""
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
def test_only_the_likeliest_are_sampled(sampling: Sampling, kept: list[int]) -> None:
    wanted = [float(PROBABILITIES[code]) if code in kept else 0.0 for code in range(4)]
    assert shares(sampling) == pytest.approx([each / sum(wanted) for each in wanted], abs=0.015)


def test_rows_have_classes_of_their_own() -> None:
    logits = torch.randn(50, 9, generator=torch.Generator().manual_seed(0))
    for sampling in (Sampling(0.0), Sampling(top_k=1), Sampling(2.0, top_k=1), Sampling(1e-300), Sampling(top_p=1e-9)):
        assert torch.equal(sample(logits, torch.Generator(), sampling), logits.argmax(-1))
