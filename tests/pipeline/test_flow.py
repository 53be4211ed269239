import numpy as np
import pytest
import torch
from scipy.stats import norm

from pipeline.elements import Shape
from pipeline.predictors.flow import Flow
from pipeline.predictors.lstm import StackedLSTM
from pipeline.predictors.point import Point
from pipeline.settings import FlowSettings, LSTMSettings, PointSettings, Sampling
from tests.pipeline import coins

SMALL = FlowSettings(guide=16, flow_width=32, flow_depth=1)
SHAPE = Shape(n_slices=2, n_numbers=3, n_keys=1)


def make(shape: Shape = SHAPE) -> Flow:
    """A flow whose last layer says something: a fresh one's is silent."""
    torch.manual_seed(0)
    flow = Flow(SMALL, coins.WIDTH, shape)
    torch.nn.init.normal_(flow.turn.leave.weight)
    return flow.eval()


def rows(n: int, size: int, *, seed: int = 0, deviation: float = 1.0) -> torch.Tensor:
    return deviation * torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def mute(sound: torch.Tensor) -> torch.Tensor:
    """Blocks of that sound, (n, 6), in which no key is struck, (n, 8)."""
    return torch.nn.functional.pad(sound.unflatten(-1, (2, 3)), (0, 1)).flatten(1)


def test_it_draws_one_of_two_points_where_a_best_guess_lies_between_them() -> None:
    torch.manual_seed(0)
    flow = Flow(SMALL, coins.WIDTH, coins.SHAPE)
    coins.learn(flow, 250)
    point = Point(PointSettings("squared"), coins.WIDTH, coins.SHAPE)
    coins.learn(point, 50)
    outputs, previous = torch.zeros(600, coins.WIDTH), coins.NOTHING.expand(600, -1)
    with torch.no_grad():
        drawn = flow.draw(outputs, previous, torch.Generator().manual_seed(1), Sampling())
        guess = point.draw(outputs[:1], previous[:1], torch.Generator(), Sampling())
    (drawn, struck, _), guess = drawn.reshape(600, 2, 3).unbind(-1), guess[:, ::3]
    distances = (drawn[..., None] - torch.tensor(coins.POINTS)).abs()  # (600, slices, points)
    assert (distances.amin(-1) < 0.5).float().mean() > 0.9
    which = distances.argmin(-1)
    assert (which[:, 0] == 0).float().mean() == pytest.approx(coins.SHARE, abs=0.1)
    assert (which[:, 0] == which[:, 1]).float().mean() > 0.95  # the second slice knows the first
    assert ((distances.argmin(-1) == 0) == (struck > 0)).float().mean() > 0.95  # the sound follows the key
    assert guess.abs().max() < 0.25


def fresh(deviations: torch.Tensor) -> Flow:
    """Fitted to blocks of independent numbers, and not trained."""
    flow = Flow(SMALL, coins.WIDTH, SHAPE).eval()
    flow.fit([mute(rows(10_000, 6, seed=3) * deviations.repeat(2))])
    return flow


def least_squares(y: np.ndarray, spread: np.ndarray) -> float:
    """The mean squared error of the best lines from mixtures to turns, over angles; y is (n, 2, 3), in elements.

    The log of tan(angle) is normal, of mean -1 and deviation 1.3; axes weigh as their variances do.
    """
    rng = np.random.default_rng(0)
    errors = []
    for angle in np.arctan(np.exp(norm.ppf((np.arange(100) + 0.5) / 100, -1, 1.3))):
        units, noise = y / spread, rng.normal(size=y.shape)
        mixed = np.cos(angle) * noise + np.sin(angle) * units
        turn = np.cos(angle) * units - np.sin(angle) * noise
        slope = (mixed * turn).sum((0, 1)) / (mixed * mixed).sum((0, 1))
        errors.append((spread**2 / (spread**2).mean() * np.square(turn - slope * mixed)).mean())
    return float(np.mean(errors))


def test_a_fresh_flow_loses_what_linear_prediction_does() -> None:
    """To 2 %, what 4000 rows leave to chance."""
    deviations = torch.tensor([0.1, 0.7, 2.0])
    targets = rows(4000, 6) * deviations.repeat(2)
    flow = fresh(deviations)
    with torch.no_grad():
        loss = flow.loss(rows(4000, coins.WIDTH), mute(rows(4000, 6, seed=1)), mute(targets))
    assert loss.item() == pytest.approx(
        least_squares(targets.double().numpy().reshape(-1, 2, 3), deviations.numpy()), rel=0.02
    )
    assert loss.item() == pytest.approx(1, abs=0.03)


def test_baselines_are_the_best_lines_from_mixtures_to_turns() -> None:
    """To 2 %, which is what 10 000 rows leave to chance."""
    deviations = torch.tensor([0.1, 0.5, 1.0])
    flow = fresh(deviations)
    targets, previous = rows(10_000, 6) * deviations.repeat(2), rows(10_000, 6, seed=1) * 0.8
    found = flow.baselines(mute(previous), mute(targets))
    slices = targets.double().numpy().reshape(-1, 2, 3)
    before = np.concatenate([previous.double().numpy()[:, None, 3:], slices[:, :1]], axis=1)
    axes, spread = (
        buffer.double().numpy() for buffer in (flow.within.innovations.axes, flow.within.innovations.spread)
    )
    for name, y in {"mean": slices, "repeat": slices - before}.items():
        assert found[name].item() == pytest.approx(least_squares(y @ axes, spread), rel=0.02)


def test_validation_losses_compare_and_training_losses_vary() -> None:
    flow = make()
    given = rows(50, coins.WIDTH), mute(rows(50, 6, seed=1)), mute(rows(50, 6, seed=2))
    with torch.no_grad():
        first = flow.loss(*given)
        torch.rand(7)
        assert torch.equal(flow.loss(*given), first)
        flow.train()
        assert not torch.equal(flow.loss(*given), flow.loss(*given))


def test_draws_follow_the_generator_and_at_temperature_zero_nothing_but_keys_is_drawn() -> None:
    flow = make()
    flow.within.keys.draw = lambda guide, *_: torch.ones(len(guide), 1)  # type: ignore[method-assign]
    outputs, previous = rows(5, coins.WIDTH), mute(rows(5, 6, seed=1))

    def draw(seed: int, temperature: float) -> torch.Tensor:
        with torch.no_grad():
            return flow.draw(outputs, previous, torch.Generator().manual_seed(seed), Sampling(temperature))

    assert torch.equal(draw(1, 1.0), draw(1, 1.0))
    assert not torch.equal(draw(1, 1.0), draw(2, 1.0))
    assert torch.equal(draw(1, 0.0), draw(2, 0.0))


def test_a_fresh_flow_draws_as_wide_as_what_it_was_fitted_to_and_as_the_temperature_says() -> None:
    """To 3 %, three deviations of 5000 draws."""
    deviations = torch.tensor([0.1, 0.7, 2.0])
    flow = fresh(deviations)
    outputs, previous = torch.zeros(5000, coins.WIDTH), torch.zeros(5000, 8)
    for temperature in (0.5, 1.0, 2.0):
        with torch.no_grad():
            drawn = flow.draw(outputs, previous, torch.Generator().manual_seed(0), Sampling(temperature))
        sound = SHAPE.sound(SHAPE.slices(drawn)).flatten(1)
        torch.testing.assert_close(sound.std(0), temperature * deviations.repeat(2), rtol=0.03, atol=0)


def test_every_weight_is_taught() -> None:
    flow = make(coins.SHAPE)
    torch.nn.init.normal_(flow.within.keys.leave.weight)  # a fresh one's is silent, too
    predictor = StackedLSTM(LSTMSettings(layers=2, width=coins.LSTM_WIDTH), coins.SHAPE, flow).train()
    sequence = coins.throw(2 * 5, torch.Generator().manual_seed(0)).reshape(2, 5, 6)
    predictor.loss(sequence, torch.tensor([4, 2])).backward()  # type: ignore[no-untyped-call]
    for name, weight in predictor.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name
