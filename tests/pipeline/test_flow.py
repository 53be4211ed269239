import numpy as np
import pytest
import torch

from pipeline.predictors.flow import Flow
from pipeline.predictors.lstm import StackedLSTM
from pipeline.predictors.point import Point
from pipeline.predictors.within import Within
from pipeline.settings import FlowSettings, LSTMSettings, PointSettings, Sampling
from tests.pipeline import coins

SMALL = FlowSettings(guide=16, flow_width=32, flow_depth=1)
SHAPE = (2, 3)


def make(shape: tuple[int, int] = SHAPE) -> Flow:
    """A flow whose last layer says something: a fresh one's velocity is zero."""
    torch.manual_seed(0)
    flow = Flow(SMALL, coins.WIDTH, shape)
    torch.nn.init.normal_(flow.velocity.leave.weight)
    return flow.eval()


def rows(n: int, size: int, *, seed: int = 0, deviation: float = 1.0) -> torch.Tensor:
    return deviation * torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def test_it_draws_one_of_two_points_where_a_best_guess_lies_between_them() -> None:
    torch.manual_seed(0)
    flow = Flow(SMALL, coins.WIDTH, coins.SHAPE)
    coins.learn(flow, 250)
    point = Point(PointSettings("squared"), coins.WIDTH, coins.SHAPE)
    coins.learn(point, 50)
    outputs, previous = torch.zeros(600, coins.WIDTH), torch.zeros(600, 2)
    with torch.no_grad():
        drawn = flow.draw(outputs, previous, torch.Generator().manual_seed(1), Sampling())
        guess = point.draw(outputs[:1], previous[:1], torch.Generator(), Sampling())
    distances = (drawn[..., None] - torch.tensor(coins.POINTS)).abs()  # (600, slices, points)
    assert (distances.amin(-1) < 0.5).float().mean() > 0.9
    which = distances.argmin(-1)
    assert (which[:, 0] == 0).float().mean() == pytest.approx(coins.SHARE, abs=0.1)
    assert (which[:, 0] == which[:, 1]).float().mean() > 0.95  # the second slice knows the first
    assert guess.abs().max() < 0.25


def test_a_fresh_flow_stands_still_and_loses_what_a_velocity_is() -> None:
    """Zero instead of y - n, n being noise: a loss of y^2 + 1."""
    flow = Flow(SMALL, coins.WIDTH, SHAPE).eval()
    targets = rows(4000, 6, deviation=0.7)
    with torch.no_grad():
        loss = flow.loss(rows(4000, coins.WIDTH), rows(4000, 6, seed=1), targets)
    assert loss.item() == pytest.approx(targets.square().mean().item() + 1, abs=0.03)


def test_baselines_are_the_best_lines_through_noisy_targets() -> None:
    """At each time, least squares of y - n over z, in numpy; to 1 %, which is what 10 000 rows leave to chance."""
    deviations = torch.tensor([0.1, 0.5, 1.0, 1.5, 2.0, 0.0])
    targets, previous = rows(10_000, 6) * deviations, rows(10_000, 6, seed=1) * 0.8
    found = make().baselines(previous, targets)
    slices = targets.double().numpy().reshape(-1, 2, 3)
    before = np.concatenate([previous.double().numpy()[:, None, 3:], slices[:, :1]], axis=1)
    rng = np.random.default_rng(0)
    for name, y in {"mean": slices, "repeat": slices - before}.items():
        errors = []
        for t in (np.arange(50) + 0.5) / 50:
            noise = rng.normal(size=y.shape)
            z, velocity = (1 - t) * noise + t * y, y - noise
            slope = (z * velocity).sum(0) / (z * z).sum(0)
            errors.append(np.square(velocity - slope * z).mean())
        assert found[name].item() == pytest.approx(np.mean(errors), rel=0.01)


def test_validation_losses_compare_and_training_losses_vary() -> None:
    flow = make()
    given = rows(50, coins.WIDTH), rows(50, 6, seed=1), rows(50, 6, seed=2)
    with torch.no_grad():
        first = flow.loss(*given)
        torch.rand(7)
        assert torch.equal(flow.loss(*given), first)
        flow.train()
        assert not torch.equal(flow.loss(*given), flow.loss(*given))


def test_draws_follow_the_generator_and_at_temperature_zero_nothing_is_drawn() -> None:
    flow = make()
    outputs, previous = rows(5, coins.WIDTH), rows(5, 6, seed=1)

    def draw(seed: int, temperature: float) -> torch.Tensor:
        with torch.no_grad():
            return flow.draw(outputs, previous, torch.Generator().manual_seed(seed), Sampling(temperature))

    assert torch.equal(draw(1, 1.0), draw(1, 1.0))
    assert not torch.equal(draw(1, 1.0), draw(2, 1.0))
    assert torch.equal(draw(1, 0.0), draw(2, 0.0))


def test_a_fresh_flow_gives_the_noise_itself_as_far_as_the_temperature_goes() -> None:
    flow = Flow(SMALL, coins.WIDTH, SHAPE).eval()
    outputs, previous = torch.zeros(5000, coins.WIDTH), torch.zeros(5000, 6)
    for temperature in (0.5, 1.0, 2.0):
        with torch.no_grad():
            drawn = flow.draw(outputs, previous, torch.Generator().manual_seed(0), Sampling(temperature))
        assert drawn.std().item() == pytest.approx(temperature, rel=0.02)


def test_guides_are_the_same_all_at_once_and_one_by_one() -> None:
    torch.manual_seed(0)
    within = Within(coins.WIDTH, 16, (5, 3), 0.5).eval()
    torch.nn.init.normal_(within.places)
    outputs, previous, targets = rows(4, coins.WIDTH), rows(4, 15, seed=1), rows(4, 15, seed=2)
    with torch.no_grad():
        at_once = within(outputs, previous, targets)
        drawn: list[torch.Tensor] = []
        for n, guide in enumerate(within.one_by_one(outputs, previous, drawn)):
            torch.testing.assert_close(guide, at_once[:, n], atol=1e-6, rtol=1e-5)
            drawn.append(targets[:, 3 * n : 3 * n + 3])
        assert len(drawn) == 5
        assert torch.equal(within(outputs, previous, targets), at_once)
        within.train()
        assert not torch.equal(within(outputs, previous, targets), at_once)  # noise


def test_no_guide_knows_its_own_slice_or_a_later_one() -> None:
    within = Within(coins.WIDTH, 16, (5, 3), 0.5).eval()
    outputs, previous, targets = rows(4, coins.WIDTH), rows(4, 15, seed=1), rows(4, 15, seed=2)
    changed = targets.clone()
    changed[:, 6:] += 1  # slices 3 ... 5
    with torch.no_grad():
        one, other = within(outputs, previous, targets), within(outputs, previous, changed)
    assert torch.equal(one[:, :3], other[:, :3])
    assert not torch.equal(one[:, 3:], other[:, 3:])


def test_every_weight_is_taught() -> None:
    predictor = StackedLSTM(LSTMSettings(layers=2, width=coins.WIDTH), 6, make()).train()
    sequence = rows(2 * 5, 6).reshape(2, 5, 6)
    predictor.loss(sequence, torch.tensor([4, 2])).backward()  # type: ignore[no-untyped-call]
    for name, weight in predictor.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name
