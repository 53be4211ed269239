"""Notes first, then residuals: what is carried along, what sees what, and that it learns."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from pipeline.codecs import Latents
from pipeline.codecs.base import Decoder
from pipeline.codecs.events import BLOCK_SECONDS
from pipeline.config import Sampling
from pipeline.models import Blocks, Head
from pipeline.models.base import total_loss
from pipeline.models.notes_first import ATTRIBUTES, NotesFirst, NotesFirstState
from tests.pipeline.models import small
from waveforms.notes.events import Notes

N_BLOCKS = 6


class Scripted(Head):
    """Keeps what it is conditioned on, and samples what it was given to."""

    def __init__(self, frames: Tensor) -> None:
        super().__init__()
        self.frames = iter(frames.unbind(1))
        self.conditioned: list[Tensor] = []

    def fit(self, targets: Tensor) -> None:
        raise NotImplementedError

    def loss(self, conditioning: Tensor, targets: Tensor) -> Tensor:
        self.conditioned.append(conditioning)
        return targets.new_zeros(())

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError

    def sampler(self, generator: Generator, sampling: Sampling) -> Callable[[Tensor], Tensor]:
        def sample(conditioning: Tensor) -> Tensor:
            self.conditioned.append(conditioning)
            return next(self.frames)

        return sample


class Expecting(Decoder):
    """Expects sound that was made up, and keeps the notes."""

    def __init__(self, latents: Latents, first: int = 0) -> None:
        self.latents, self.block = latents, first
        self.notes: list[Sequence[Notes]] = []

    def expect(self, notes: Sequence[Notes], n_blocks: int = 1) -> Latents:
        self.notes.append(notes)
        expected = self.latents.blocks(slice(self.block, self.block + n_blocks))
        self.block += n_blocks
        return expected._replace(latent=torch.zeros_like(expected.latent))

    def push(self, latents: Latents, *, sampled: bool = False) -> Tensor:
        raise NotImplementedError

    def finish(self) -> Tensor:
        raise NotImplementedError


def rows(n: int = 2, n_blocks: int = N_BLOCKS) -> list[Notes]:
    return [small.music(seed, n_blocks) for seed in range(n)]


def blocks(latents: Blocks, notes: list[Notes], first: int, n: int) -> Blocks:
    """Some blocks of what was read."""
    return Blocks(latents.latents.blocks(slice(first, first + n)), small.events_of(notes, n, first))


def sums(losses: dict[str, object]) -> dict[str, float]:
    return {name: float(part.sum) for name, part in losses.items()}  # type: ignore[attr-defined]


def same_state(one: NotesFirstState, other: NotesFirstState) -> None:
    for field, value in one._asdict().items():
        torch.testing.assert_close(value, getattr(other, field), atol=1e-4, rtol=1e-4)


@pytest.fixture
def model() -> NotesFirst:
    return small.model(layers=2)


@torch.no_grad()
def test_blocks_in_two_calls_with_the_state_carried_are_blocks_in_one(model: NotesFirst) -> None:
    notes = rows()
    whole = small.blocks(notes, N_BLOCKS)
    losses, after = model.loss(whole, model.init_state(2))
    first, between = model.loss(blocks(whole, notes, 0, 2), model.init_state(2))
    second, after_second = model.loss(blocks(whole, notes, 2, N_BLOCKS - 2), between)
    for name in ATTRIBUTES:
        assert sums(first)[name] + sums(second)[name] == pytest.approx(sums(losses)[name], rel=1e-4)
        assert first[name].n + second[name].n == losses[name].n
    same_state(after_second, after)
    forgetful, _ = model.loss(blocks(whole, notes, 2, N_BLOCKS - 2), model.init_state(2))
    assert sums(forgetful)["keys"] != pytest.approx(sums(second)["keys"], rel=1e-4)


@torch.no_grad()
def test_rows_know_nothing_of_each_other(model: NotesFirst) -> None:
    notes = rows(3)
    whole = small.blocks(notes, N_BLOCKS)
    together, after = model.loss(whole, model.init_state(3))
    alone = [
        model.loss(Blocks(whole.latents.rows(slice(n, n + 1)), small.events_of([row], N_BLOCKS)), model.init_state(1))
        for n, row in enumerate(notes)
    ]
    for name in ATTRIBUTES:
        assert sum(sums(losses)[name] for losses, _ in alone) == pytest.approx(sums(together)[name], rel=1e-4)
    for n, (_, state) in enumerate(alone):
        torch.testing.assert_close(state.context[0], after.context[n], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(state.cell[0], after.cell[n], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_future_has_no_part_in_a_prediction(model: NotesFirst) -> None:
    notes = rows()
    whole = small.blocks(notes, N_BLOCKS)
    tables = [row.table for row in notes]
    for table in tables:
        table[table[:, 0] >= 1.0, 3] = 128 - table[table[:, 0] >= 1.0, 3]
    changed = small.blocks([Notes.of_table(table) for table in tables], N_BLOCKS)
    moved = whole.latents._replace(latent=whole.latents.latent.clone())
    moved.latent[:, 4:] += 1
    conditioned = []
    for each in (whole, Blocks(moved, changed.events)):
        model.residual.head = Scripted(torch.zeros(0, 0))
        model.loss(each, model.init_state(2))
        conditioned.append(model.residual.head.conditioned[0].view(2, N_BLOCKS * small.N_PATCHES, -1))
    known = 4 * small.N_PATCHES
    assert not torch.equal(conditioned[0][:, known:], conditioned[1][:, known:])
    torch.testing.assert_close(conditioned[0][:, :known], conditioned[1][:, :known], atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_step_after_a_prompt_sees_what_training_sees(model: NotesFirst) -> None:
    """The same residuals, conditioned on the same, and then the same state as if the block had been in the prompt."""
    notes = rows()
    whole = small.blocks(notes, N_BLOCKS)
    at = N_BLOCKS - 2
    scripted = Scripted(whole.latents.latent[:, at:].flatten(1, 2))
    model.residual.head = scripted
    state, decoder = model.prime(blocks(whole, notes, 0, at)), Expecting(whole.latents, at)
    for n in range(at, N_BLOCKS):
        given = [row.between(n * BLOCK_SECONDS, (n + 1) * BLOCK_SECONDS) for row in notes]
        block, state = model.step(state, decoder, Generator(), Sampling(), given)
        torch.testing.assert_close(block.latents.latent[:, 0], whole.latents.latent[:, n])
        assert block.notes is given
        assert decoder.notes[-1] is given
        same_state(state, model.prime(blocks(whole, notes, 0, n + 1)))
    stepped = torch.stack(scripted.conditioned, dim=1)
    scripted.conditioned.clear()
    model.loss(whole, model.init_state(2))
    trained = scripted.conditioned[0].view(2, N_BLOCKS * small.N_PATCHES, -1)
    torch.testing.assert_close(stepped, trained[:, at * small.N_PATCHES :], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_blocks_notes_are_as_likely_after_a_prompt_as_in_training(model: NotesFirst) -> None:
    """What the note decoder is given to sample from costs what the loss of one more block does."""
    notes = rows()
    whole = small.blocks(notes, N_BLOCKS)
    longer, _ = model.loss(whole, model.init_state(2))
    shorter, _ = model.loss(blocks(whole, notes, 0, N_BLOCKS - 1), model.init_state(2))
    state = model.prime(blocks(whole, notes, 0, N_BLOCKS - 1))
    last = small.events_of(notes, 1, N_BLOCKS - 1)
    before, _ = model.notes.read(last, state.notes)
    found = model.notes.loss(last, before, state.context[:, None])
    for name, value in zip(ATTRIBUTES, found.tolist(), strict=True):
        assert value == pytest.approx(sums(longer)[name] - sums(shorter)[name], rel=1e-3)


@torch.no_grad()
def test_sampled_notes_begin_in_their_block_and_the_state_knows_how_long_they_sound(model: NotesFirst) -> None:
    codec = small.codec()
    generator, state, decoder = Generator().manual_seed(0), model.init_state(3), codec.decoder(torch.zeros(3, 16))
    played = [Notes.of([])] * 3
    for n in range(4):
        block, state = model.step(state, decoder, generator, Sampling())
        assert block.latents.latent.shape == (3, 1, 5, small.DIMS)
        for row in block.notes:
            assert np.all((row.onsets >= n * BLOCK_SECONDS) & (row.onsets < (n + 1) * BLOCK_SECONDS))
        played = [before.joined(row) for before, row in zip(played, block.notes, strict=True)]
        end = (n + 1) * BLOCK_SECONDS
        for row, left in zip(played, state.sounding, strict=True):
            expected = np.zeros(88)
            still = row.sounding_from(end)
            expected[still.pitches - 21] = still.offsets - end
            np.testing.assert_allclose(left, expected, atol=1e-4)
    assert sum(map(len, played)) > 10
    assert state.block.tolist() == [4, 4, 4]


@torch.no_grad()
def test_rows_of_notes_alone_are_rows_whose_sound_is_dropped() -> None:
    model, notes = small.model(latents_kept=0.0, dropout=0.0).train(), rows(1)
    with_sound, without = small.blocks(notes, N_BLOCKS), small.blocks(rows(2)[1:] + notes, N_BLOCKS, n_sound=1)
    _, after = model.loss(with_sound, model.init_state(1))
    _, among = model.loss(without, model.init_state(2))
    torch.testing.assert_close(among.context[1:], after.context, atol=1e-5, rtol=1e-4)
    losses, _ = model.loss(without, model.init_state(2))
    assert losses["sound"].n == N_BLOCKS * small.N_PATCHES
    assert losses["keys"].n == sum(map(len, rows(2)))


@torch.no_grad()
def test_latents_are_kept_in_their_share_of_sequences_while_training() -> None:
    """Whole rows: to 0.05, two stds of 400."""
    model = small.model(latents_kept=0.3, dropout=0.0)
    read = small.blocks([Notes.of([])] * 400, 2)
    silent = read._replace(latents=read.latents._replace(latent=torch.zeros_like(read.latents.latent)))
    model.from_latent.bias.zero_()
    outputs = []
    for each in (read, silent):
        torch.manual_seed(0)
        outputs.append(model.train().loss(each, model.init_state(400))[1].context)
    differ = (outputs[0] != outputs[1]).any(1)
    assert differ.float().mean() == pytest.approx(0.3, abs=0.05)
    assert (model.eval().loss(read, model.init_state(400))[1].context != outputs[1]).any(1).all()


@torch.no_grad()
def test_in_training_some_blocks_residuals_are_predicted_and_in_validation_all() -> None:
    model, read = small.model(residual_blocks=2), small.blocks(rows(), N_BLOCKS)
    model.residual.head = Scripted(torch.zeros(0, 0))
    torch.manual_seed(0)
    counts = []
    for training in (True, False):
        model.train(training).loss(read, model.init_state(2))
        counts.append(len(model.residual.head.conditioned[-1]))
    assert counts == [2 * 2 * small.N_PATCHES, 2 * N_BLOCKS * small.N_PATCHES]


@pytest.mark.parametrize("preset", ["flow", "codes"])
def test_a_fitted_model_knows_no_more_than_the_mean(preset: str) -> None:
    """But for what cannot come. Of a flow validation says its loss to a few per cent."""
    torch.manual_seed(0)
    model = small.make_model(small.PRESETS[preset].with_values(small.VALUES[preset]), small.codec()).eval()
    read = small.blocks(rows(4, 20), 20)
    with torch.no_grad():
        model.fit([read])
        losses, means = model.loss(read, model.init_state(4))[0], model.baselines(read)["mean"]
    assert losses.keys() == means.keys() == {*ATTRIBUTES, "sound"}
    for name in losses:
        assert sums(losses)[name] == pytest.approx(sums(means)[name], rel=0.2 if name in ("onsets", "keys") else 0.05)
        assert (losses[name].n, losses[name].weight) == (means[name].n, means[name].weight)
    notes = sum(sums(losses)[name] for name in ATTRIBUTES) / 4 / losses["keys"].n
    sound = sums(losses)["sound"] / (4 * 20 * small.N_PATCHES)
    assert total_loss(losses).item() == pytest.approx(notes + sound, rel=1e-4)


@pytest.mark.parametrize("preset", ["flow", "codes"])
def test_every_weight_is_taught(preset: str) -> None:
    model = small.model(preset, latents_kept=1.0, layers=2).train()
    read = small.blocks(rows(3), N_BLOCKS, n_sound=2)
    if preset == "codes":
        with torch.no_grad():
            model.residual.fit(read.latents.latent.flatten(0, 2))
    total_loss(model.loss(read, model.init_state(3))[0]).backward()  # type: ignore[no-untyped-call]
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


def test_it_learns_music_that_goes_in_a_circle() -> None:
    """Four blocks with a chord each: how often classes come says little, the last block everything."""
    chords = [(0.05, 48), (0.05, 64), (0.3, 50), (0.55, 52), (0.6, 67), (0.8, 55)]
    notes = Notes.of((on + n, on + n + 0.2, pitch, 64) for n in range(5) for on, pitch in chords)
    read = Blocks(small.latents(2, 20), small.events_of([notes] * 2, 20))
    torch.manual_seed(0)
    settings = small.PRESETS["flow"].with_values(small.VALUES["flow"] | {"width": 32, "note_width": 32, "dropout": 0.0})
    model = small.make_model(settings, small.codec()).train()
    with torch.no_grad():
        model.fit([read])
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(40):
        losses, _ = model.loss(read, model.init_state(2))
        total_loss(losses).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
    with torch.no_grad():
        losses, means = model.eval().loss(read, model.init_state(2))[0], model.baselines(read)["mean"]
    for name in ("onsets", "keys"):
        assert sums(losses)[name] < 0.4 * sums(means)[name]
