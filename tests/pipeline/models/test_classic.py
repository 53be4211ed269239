import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from pipeline.codecs import Latents
from pipeline.codecs.spectrum import Spectrum
from pipeline.config import LSTMSettings, Sampling, SpectrumSettings
from pipeline.models import Blocks, Head
from pipeline.models.classic import Classic

DIM = 12


@pytest.fixture(autouse=True)
def few_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of few numbers: the codec says the model how many."""
    init = Spectrum.__init__

    def shortened(self: Spectrum, settings: SpectrumSettings) -> None:
        init(self, settings)
        self.dims = DIM

    monkeypatch.setattr(Spectrum, "__init__", shortened)


def make_no_head(conditioning: int, dims: int) -> Head:
    raise AssertionError("the model has no head")


def make(**changes: object) -> Classic:
    torch.manual_seed(1)
    settings = LSTMSettings(**({"width": 8} | changes))  # type: ignore[arg-type]
    model = Classic(settings, Spectrum(SpectrumSettings()), make_no_head)
    torch.nn.init.normal_(model.output.weight)
    return model.eval()


def sequence(n_blocks: int = 9) -> Blocks:
    return blocks(torch.randn(3, n_blocks, 1, DIM, generator=Generator().manual_seed(0)))


def blocks(numbers: Tensor) -> Blocks:
    return Blocks(Latents(numbers), None)


def of_blocks(whole: Blocks, part: slice) -> Blocks:
    return Blocks(whole.latents.blocks(part), None)


def step(model: Classic, state: object) -> tuple[Tensor, object]:
    decoder = Spectrum(SpectrumSettings()).decoder(torch.zeros(3, 0))
    block, state = model.step(state, decoder, Generator(), Sampling())  # type: ignore[arg-type]
    return block.latents.latent, state


@pytest.mark.parametrize("layers", [1, 3])
@torch.no_grad()
def test_stepping_with_carried_state_equals_reading_the_whole(layers: int) -> None:
    """The ancestor ran the whole growing sequence again at every step; carrying the state gives the same numbers."""
    model = make(layers=layers)
    grown = sequence(4).latents.latent
    state = model.prime(blocks(grown))
    for _ in range(4):
        again, _ = step(model, model.prime(blocks(grown)))
        latent, state = step(model, state)  # type: ignore[assignment]
        torch.testing.assert_close(latent, again, atol=1e-5, rtol=1e-5)
        grown = torch.cat([grown, latent], dim=1)


@torch.no_grad()
def test_a_step_is_the_guess_whose_loss_training_says() -> None:
    model, whole = make(), sequence()
    losses, _ = model.loss(whole, model.init_state(3))
    errors, state = [], model.init_state(3)
    for n in range(9):
        guess, _ = step(model, state)
        errors.append((guess - whole.latents.latent[:, n : n + 1]).abs().mean())
        _, state = model.loss(of_blocks(whole, slice(n, n + 1)), state)
    assert losses["blocks"].n == 27
    assert losses["blocks"].sum.item() / 27 == pytest.approx(float(np.mean(errors)), rel=1e-4)


@pytest.mark.parametrize("error", ["absolute", "squared"])
@torch.no_grad()
def test_loss_and_baselines_against_numpy(error: str) -> None:
    measure = {"absolute": np.abs, "squared": np.square}[error]
    model, whole = make(error=error), sequence()
    targets = whole.latents.latent[:, :, 0].numpy()
    baselines = model.baselines(whole)
    means = {name: parts["blocks"].sum.item() / parts["blocks"].n for name, parts in baselines.items()}
    assert means == pytest.approx(
        {"mean": measure(targets).mean(), "repeat": measure(np.diff(targets, axis=1, prepend=0)).mean()}, rel=1e-5
    )
    torch.nn.init.zeros_(model.output.weight)
    loss = model.loss(whole, model.init_state(3))[0]["blocks"]
    assert loss.sum.item() / loss.n == pytest.approx(means["mean"], rel=1e-6)


@torch.no_grad()
def test_a_row_of_one_block_has_baselines() -> None:
    """The last row of held-out blocks may be as short; nothing is before its block, so what is repeated is the mean."""
    means = {name: parts["blocks"] for name, parts in make().baselines(sequence(1)).items()}
    assert means["repeat"].sum.item() == means["mean"].sum.item() > 0


def test_it_learns_a_pattern_that_no_baseline_can() -> None:
    """A cycle of four vectors: the mean and the last block are wrong everywhere, the model gets it right."""
    torch.manual_seed(0)
    whole = blocks(torch.randn(4, 1, DIM).repeat(5, 1, 1)[None].repeat(4, 1, 1, 1))
    model = make(width=32, dropout=0.0).train()
    optimiser = torch.optim.AdamW(model.parameters(), 0.01)
    for _ in range(150):
        loss = model.loss(whole, model.init_state(4))[0]["blocks"].sum
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    for parts in model.baselines(whole).values():
        assert loss / 80 < 0.3 * parts["blocks"].sum / parts["blocks"].n
