import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from pipeline.codecs import Sound
from pipeline.codecs.spectrum import Spectrum
from pipeline.config import LSTMSettings, Sampling, SpectrumSettings
from pipeline.models import Latents
from pipeline.models.classic import Classic

DIM = 12


@pytest.fixture(autouse=True)
def few_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of few numbers: the codec tells the model how many."""
    init = Spectrum.__init__

    def shortened(self: Spectrum, settings: SpectrumSettings) -> None:
        init(self, settings)
        self.dims = DIM

    monkeypatch.setattr(Spectrum, "__init__", shortened)


def make(**changes: object) -> Classic:
    torch.manual_seed(1)
    settings = LSTMSettings(**({"width": 8} | changes))  # type: ignore[arg-type]
    model = Classic(settings, Spectrum(SpectrumSettings()))
    torch.nn.init.normal_(model.leave.weight)
    return model.eval()


def sequence(n_blocks: int = 9) -> Latents:
    return latents(torch.randn(3, n_blocks, 1, DIM, generator=Generator().manual_seed(0)))


def latents(numbers: Tensor) -> Latents:
    return Latents(Sound(numbers), None)


def of_blocks(whole: Latents, blocks: slice) -> Latents:
    return Latents(whole.sound.rows(slice(None), blocks), None)


def step(model: Classic, state: object) -> tuple[Tensor, object]:
    player = Spectrum(SpectrumSettings()).player(torch.zeros(3, 0))
    block, state = model.step(state, player, Generator(), Sampling())  # type: ignore[arg-type]
    return block.sound.latent, state


@pytest.mark.parametrize("layers", [1, 3])
@torch.no_grad()
def test_stepping_with_carried_state_equals_reading_the_whole(layers: int) -> None:
    """The ancestor ran the whole growing sequence again at every step; carrying the state gives the same numbers."""
    model = make(layers=layers)
    grown = sequence(4).sound.latent
    state = model.prime(latents(grown))
    for _ in range(4):
        again, _ = step(model, model.prime(latents(grown)))
        latent, state = step(model, state)  # type: ignore[assignment]
        torch.testing.assert_close(latent, again, atol=1e-5, rtol=1e-5)
        grown = torch.cat([grown, latent], dim=1)


@torch.no_grad()
def test_a_step_is_the_guess_whose_loss_training_tells() -> None:
    model, whole = make(), sequence()
    losses, _ = model.loss(whole, model.start(3))
    errors, state = [], model.start(3)
    for n in range(9):
        guess, _ = step(model, state)
        errors.append((guess - whole.sound.latent[:, n : n + 1]).abs().mean())
        _, state = model.loss(of_blocks(whole, slice(n, n + 1)), state)
    assert losses["blocks"].number == 27
    assert losses["blocks"].sum.item() / 27 == pytest.approx(float(np.mean(errors)), rel=1e-4)


@pytest.mark.parametrize("error", ["absolute", "squared"])
@torch.no_grad()
def test_loss_and_baselines_against_numpy(error: str) -> None:
    measure = {"absolute": np.abs, "squared": np.square}[error]
    model, whole = make(error=error), sequence()
    targets = whole.sound.latent[:, :, 0].numpy()
    baselines = model.baselines(whole)
    means = {name: parts["blocks"].sum.item() / parts["blocks"].number for name, parts in baselines.items()}
    assert means == pytest.approx(
        {"mean": measure(targets).mean(), "repeat": measure(np.diff(targets, axis=1, prepend=0)).mean()}, rel=1e-5
    )
    torch.nn.init.zeros_(model.leave.weight)
    loss = model.loss(whole, model.start(3))[0]["blocks"]
    assert loss.sum.item() / loss.number == pytest.approx(means["mean"], rel=1e-6)


@torch.no_grad()
def test_a_row_of_one_block_has_baselines() -> None:
    """The last row of held-out blocks may be as short; nothing is before its block, so what is repeated is the mean."""
    means = {name: parts["blocks"] for name, parts in make().baselines(sequence(1)).items()}
    assert means["repeat"].sum.item() == means["mean"].sum.item() > 0


def test_it_learns_a_pattern_that_no_baseline_can() -> None:
    """A cycle of four vectors: the mean and the last block are wrong everywhere, the model gets it right."""
    torch.manual_seed(0)
    whole = latents(torch.randn(4, 1, DIM).repeat(5, 1, 1)[None].repeat(4, 1, 1, 1))
    model = make(width=32, dropout=0.0).train()
    optimiser = torch.optim.AdamW(model.parameters(), 0.01)
    for _ in range(150):
        loss = model.loss(whole, model.start(4))[0]["blocks"].sum
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    for parts in model.baselines(whole).values():
        assert loss / 80 < 0.3 * parts["blocks"].sum / parts["blocks"].number
