import numpy as np
import pytest
import torch

from pipeline.elements import Shape
from pipeline.predictors.lstm import StackedLSTM
from pipeline.predictors.noise import noisy
from pipeline.predictors.point import Point
from pipeline.predictors.traces import n_traces
from pipeline.settings import LSTMSettings, PointSettings, Sampling

DIM = 12
SHAPE = Shape(n_slices=2, n_numbers=4, n_keys=2)


@pytest.fixture
def sequence() -> torch.Tensor:
    return torch.randn(3, 9, DIM, generator=torch.Generator().manual_seed(0))


def make(**changes: object) -> StackedLSTM:
    torch.manual_seed(1)
    point = {name: changes.pop(name) for name in ("error",) if name in changes}
    head = Point(PointSettings(**point), 8 + n_traces(SHAPE.n_keys), SHAPE)  # type: ignore[arg-type]
    torch.nn.init.normal_(head.dense.weight)
    return StackedLSTM(LSTMSettings(width=8, **changes), SHAPE, head).eval()  # type: ignore[arg-type]


ALL = torch.tensor([8, 8, 8])


@pytest.mark.parametrize("layers", [1, 3])
def test_stepping_with_carried_state_equals_reading_the_whole(sequence: torch.Tensor, layers: int) -> None:
    """The ancestor ran the whole growing sequence again at every step; carrying the state gives the same numbers."""
    predictor = make(layers=layers)
    generator = torch.Generator()
    with torch.no_grad():
        state = predictor.start(sequence[:, :4])
        grown = sequence[:, :4]
        for _ in range(5):
            again = predictor.head.draw(predictor.start(grown).past, grown[:, -1], generator, Sampling())
            element, state = predictor.step(state, generator, Sampling())
            torch.testing.assert_close(element, again, atol=1e-5, rtol=1e-5)
            grown = torch.cat([grown, element[:, None]], dim=1)


def test_the_future_has_no_part_in_a_prediction(sequence: torch.Tensor) -> None:
    predictor = make()
    changed = sequence.clone()
    changed[:, 5:] += 1
    only_first = torch.tensor([4, 4, 4])  # targets 1 ... 4
    assert torch.equal(predictor.loss(sequence, only_first), predictor.loss(changed, only_first))
    assert not torch.equal(predictor.loss(sequence, ALL), predictor.loss(changed, ALL))


@pytest.mark.parametrize("error", ["absolute", "squared"])
def test_loss_and_baselines_against_numpy(sequence: torch.Tensor, error: str) -> None:
    measure = {"absolute": np.abs, "squared": np.square}[error]
    predictor = make(error=error)
    n_targets = torch.tensor([8, 3, 1])
    targets = np.concatenate([sequence[i, 1 : n + 1].numpy() for i, n in enumerate(n_targets)])
    last = np.concatenate([sequence[i, :n].numpy() for i, n in enumerate(n_targets)])
    baselines = predictor.baselines(sequence, n_targets)
    assert baselines["mean"].item() == pytest.approx(measure(targets).mean(), rel=1e-5)
    assert baselines["repeat"].item() == pytest.approx(measure(targets - last).mean(), rel=1e-5)
    torch.nn.init.zeros_(predictor.head.dense.weight)
    assert predictor.loss(sequence, n_targets).item() == pytest.approx(baselines["mean"].item(), rel=1e-6)


def test_padding_does_not_count(sequence: torch.Tensor) -> None:
    predictor = make()
    n_targets = torch.tensor([8, 3, 1])
    padded = sequence.clone()
    padded[1, 4:] = 1e6
    padded[2, 2:] = float("nan")
    assert torch.equal(predictor.loss(padded, n_targets), predictor.loss(sequence, n_targets))


def test_noise_is_for_training_alone(sequence: torch.Tensor) -> None:
    clear, blurred = make(dropout=0.0), make(dropout=0.0, noise=0.5)
    assert torch.equal(blurred.loss(sequence, ALL), clear.loss(sequence, ALL))
    clear.train()
    blurred.train()
    assert torch.equal(clear.loss(sequence, ALL), clear.loss(sequence, ALL))
    assert not torch.equal(blurred.loss(sequence, ALL), blurred.loss(sequence, ALL))


def test_noise_blurs_sound_and_leaves_the_keys_as_they_are(sequence: torch.Tensor) -> None:
    heard: list[torch.Tensor] = []
    predictor = make(dropout=0.0, noise=0.5).train()
    predictor.dense.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    predictor.loss(sequence, ALL)
    changed = SHAPE.slices(heard[0] != sequence[:, :-1])
    assert SHAPE.sound(changed).all()
    assert not SHAPE.keys(changed).any()


def test_noise_is_of_every_strength_up_to_the_most_and_one_strength_a_row() -> None:
    torch.manual_seed(0)
    ones = torch.ones(2000, 5, 40)
    rows = noisy(ones, torch.randn_like(ones), 0.5) - 1
    strengths = rows.flatten(1).std(1)
    assert strengths.max() < 0.5 * 1.2  # 200 numbers tell a deviation to a few per cent
    np.testing.assert_allclose(strengths.quantile(torch.tensor([0.25, 0.5, 0.75])), [0.125, 0.25, 0.375], atol=0.02)
    assert np.corrcoef(rows[:, 0].std(1), rows[:, 4].std(1))[0, 1] > 0.9
    assert abs(rows.mean()) < 0.005
    assert torch.equal(noisy(ones, ones, 0.0), ones)


def test_it_learns_a_pattern_that_no_baseline_can() -> None:
    """A cycle of four vectors: the mean and the last element are wrong everywhere, the model gets it right."""
    torch.manual_seed(0)
    cycle = torch.randn(4, DIM)
    sequence = cycle.repeat(5, 1)[None].repeat(4, 1, 1)
    n_targets = torch.full((4,), 19)
    head = Point(PointSettings(), 32, Shape(1, DIM))
    predictor = StackedLSTM(LSTMSettings(layers=2, width=32, dropout=0.0), Shape(1, DIM), head)
    optimiser = torch.optim.AdamW(predictor.parameters(), 0.01)
    for _ in range(250):
        loss = predictor.loss(sequence, n_targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
    baselines = predictor.baselines(sequence, n_targets)
    assert loss < 0.2 * baselines["mean"]
    assert loss < 0.2 * baselines["repeat"]
