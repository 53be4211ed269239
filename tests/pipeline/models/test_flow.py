import numpy as np
import pytest
import torch
from scipy.stats import norm

from pipeline.config import FlowSettings, Sampling
from pipeline.models.heads.flow import Flow, angle_at
from tests.pipeline.models import coins

SMALL = FlowSettings(flow_width=32, flow_depth=1)
DEVIATIONS = torch.tensor([0.1, 0.7, 2.0])
SIZE = 4  # of the conditioning


def rows(n: int, size: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def fresh() -> Flow:
    """Fitted to independent numbers, and not trained."""
    torch.manual_seed(0)
    flow = Flow(SMALL, SIZE, 3).eval()
    flow.fit(rows(10_000, 3, seed=3) * DEVIATIONS)
    return flow


def make() -> Flow:
    """A flow whose last layer is at work: a fresh one's is silent."""
    flow = fresh()
    torch.nn.init.normal_(flow.velocity.output.weight)
    return flow


def test_it_samples_what_it_was_taught_and_knows_its_conditioning() -> None:
    """Shares to 0.08, four deviations of 600 samples. Of a normal distribution 0.3 would be near the points."""
    torch.manual_seed(0)
    flow = Flow(FlowSettings(flow_width=32, flow_depth=1, flow_steps=16), 1, 1)
    coins.learn(flow, 400)
    for known, share in coins.SHARES.items():
        with torch.no_grad():
            sampled = flow.sampler(torch.Generator().manual_seed(1), Sampling())(torch.full((600, 1), known))
        distances = (sampled - torch.tensor(coins.POINTS)).abs()  # (600, points)
        assert (distances.amin(-1) < 0.5).float().mean() > 0.8
        assert (distances.argmin(-1) == 0).float().mean() == pytest.approx(share, abs=0.08)


def least_squares(y: np.ndarray, deviations: np.ndarray) -> float:
    """The mean squared error of the best lines from mixtures to velocities, over angles; y is (n, dims).

    The log of tan(angle) is normal, of mean -1 and deviation 1.3; dims weigh as their variances do.
    """
    rng = np.random.default_rng(0)
    errors = []
    for angle in np.arctan(np.exp(norm.ppf((np.arange(100) + 0.5) / 100, -1, 1.3))):
        units, noise = y / deviations, rng.normal(size=y.shape)
        mixed = np.cos(angle) * noise + np.sin(angle) * units
        velocity = np.cos(angle) * units - np.sin(angle) * noise
        slope = (mixed * velocity).sum(0) / (mixed * mixed).sum(0)
        weight = deviations**2 / (deviations**2).mean()
        errors.append((weight * np.square(velocity - slope * mixed)).mean())
    return float(np.mean(errors))


def test_a_fresh_flow_loses_what_linear_prediction_does() -> None:
    """To 2 %, what 8000 rows leave to chance."""
    flow, targets = fresh(), rows(8000, 3) * DEVIATIONS
    with torch.no_grad():
        loss = flow.loss(rows(8000, SIZE), targets)
    assert loss.item() == pytest.approx(least_squares(targets.double().numpy(), DEVIATIONS.numpy()), rel=0.02)
    assert loss.item() == pytest.approx(1, abs=0.03)


def test_baselines_are_the_best_lines_from_mixtures_to_velocities() -> None:
    """To 2 %, what 10 000 rows leave to chance."""
    flow = fresh()
    targets, previous = rows(10_000, 3) * DEVIATIONS, rows(10_000, 3, seed=1) * 0.8
    found = flow.baselines(previous, targets)
    assert found.keys() == {"mean", "repeat"}
    deviations = flow.std.double().numpy()
    for name, y in {"mean": targets, "repeat": targets - previous}.items():
        assert found[name].item() == pytest.approx(least_squares(y.double().numpy(), deviations), rel=0.02)


def test_validation_losses_compare_and_training_losses_vary() -> None:
    flow = make()
    given = rows(50, SIZE), rows(50, 3, seed=2)
    with torch.no_grad():
        first = flow.loss(*given)
        torch.rand(7)
        assert torch.equal(flow.loss(*given), first)
        flow.train()
        assert not torch.equal(flow.loss(*given), flow.loss(*given))


def test_samples_follow_the_generator_and_at_temperature_zero_nothing_is_left_to_chance() -> None:
    flow, conditioning = make(), rows(5, SIZE)

    def sampled(seed: int, temperature: float) -> torch.Tensor:
        with torch.no_grad():
            generator = torch.Generator().manual_seed(seed)
            return flow.sampler(generator, Sampling(sound_temperature=temperature))(conditioning)

    assert torch.equal(sampled(1, 1.0), sampled(1, 1.0))
    assert not torch.equal(sampled(1, 1.0), sampled(2, 1.0))
    assert torch.equal(sampled(1, 0.0), sampled(2, 0.0))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_fresh_flow_samples_as_wide_as_it_was_fitted_and_as_the_temperature_says(temperature: float) -> None:
    """A normal distribution; deviations to 3 %, three of those of 5000 samples."""
    with torch.no_grad():
        sampled = fresh().sampler(torch.Generator().manual_seed(0), Sampling(sound_temperature=temperature))(
            torch.zeros(5000, SIZE)
        )
    torch.testing.assert_close(sampled.std(0), temperature * DEVIATIONS, rtol=0.03, atol=0)
    units = (sampled / sampled.std(0)).flatten().sort().values.numpy()
    np.testing.assert_allclose(np.quantile(units, [0.05, 0.5, 0.95]), norm.ppf([0.05, 0.5, 0.95]), atol=0.06)


@pytest.mark.parametrize("known", [0.3, 0.5, 0.8])
def test_what_is_nearly_known_is_sampled_as_narrow_as_it_is(known: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of u ~ N(m, s^2) the velocity is known, as E[u | x] is: m^2 is the share of the variance that is known.

    Mean and deviation to 0.06 of the whole deviation in five steps. By Euler's method the mean is off by up to 0.15.
    """
    mean, deviation = known**0.5, (1 - known) ** 0.5
    flow = fresh()
    flow.std.fill_(1.0)

    def velocity(x: torch.Tensor, time: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        angle = angle_at(time)
        cosine, sine = angle.cos(), angle.sin()
        off = (x - sine * mean) / (cosine**2 + sine**2 * deviation**2)
        units, noise = mean + sine * deviation**2 * off, cosine * off
        return cosine * units - sine * noise

    monkeypatch.setattr(flow.velocity, "embed", lambda times: times)
    monkeypatch.setattr(flow.velocity, "forward", velocity)
    with torch.no_grad():
        sampled = flow.sampler(torch.Generator().manual_seed(0), Sampling(sound_temperature=1))(
            torch.zeros(20_000, SIZE)
        )
    assert sampled.mean().item() == pytest.approx(mean, abs=0.06)
    assert sampled.std().item() == pytest.approx(deviation, abs=0.06)


def test_every_weight_is_taught() -> None:
    flow = make().train()
    flow.loss(rows(20, SIZE), rows(20, 3, seed=1)).backward()  # type: ignore[no-untyped-call]
    for name, weight in flow.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name
