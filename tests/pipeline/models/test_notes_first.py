"""Notes first, then residuals: what is carried along, what sees what, and that it learns."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from pipeline.codecs import Sound
from pipeline.codecs.base import Player
from pipeline.codecs.events import BLOCK_SECONDS
from pipeline.config import Sampling
from pipeline.models import Head, Latents
from pipeline.models.base import total_of
from pipeline.models.notes_first import ATTRIBUTES, NotesFirst, NotesFirstState
from tests.pipeline.models import small
from waveforms.notes.events import Notes

N_BLOCKS = 6


class Scripted(Head):
    """Keeps what it is conditioned on, and samples what it was given to."""

    def __init__(self, slices: Tensor) -> None:
        super().__init__()
        self.slices = iter(slices.unbind(1))
        self.conditioned: list[Tensor] = []

    def loss(self, conditioning: Tensor, targets: Tensor) -> Tensor:
        self.conditioned.append(conditioning)
        return targets.new_zeros(())

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError

    def sampler(self, generator: Generator, sampling: Sampling) -> Callable[[Tensor], Tensor]:
        def draw(conditioning: Tensor) -> Tensor:
            self.conditioned.append(conditioning)
            return next(self.slices)

        return draw


class Expecting(Player):
    """Expects sound that was made up, and keeps the notes."""

    def __init__(self, sound: Sound, first: int = 0) -> None:
        self.sound, self.block = sound, first
        self.notes: list[Sequence[Notes]] = []

    def expect(self, notes: Sequence[Notes], n_blocks: int = 1) -> Sound:
        self.notes.append(notes)
        expected = self.sound.rows(slice(None), slice(self.block, self.block + n_blocks))
        self.block += n_blocks
        return expected._replace(latent=torch.zeros_like(expected.latent))

    def push(self, sound: Sound) -> Tensor:
        raise NotImplementedError

    def finish(self) -> Tensor:
        raise NotImplementedError


def rows(n: int = 2, n_blocks: int = N_BLOCKS) -> list[Notes]:
    return [small.music(seed, n_blocks) for seed in range(n)]


def blocks(latents: Latents, notes: list[Notes], first: int, n: int) -> Latents:
    """Some blocks of what was read."""
    return Latents(latents.sound.rows(slice(None), slice(first, first + n)), small.events_of(notes, n, first))


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
    whole = small.latents(notes, N_BLOCKS)
    losses, after = model.loss(whole, model.start(2))
    first, between = model.loss(blocks(whole, notes, 0, 2), model.start(2))
    second, after_second = model.loss(blocks(whole, notes, 2, N_BLOCKS - 2), between)
    for name in ATTRIBUTES:
        assert sums(first)[name] + sums(second)[name] == pytest.approx(sums(losses)[name], rel=1e-4)
        assert first[name].number + second[name].number == losses[name].number
    same_state(after_second, after)
    forgetful, _ = model.loss(blocks(whole, notes, 2, N_BLOCKS - 2), model.start(2))
    assert sums(forgetful)["keys"] != pytest.approx(sums(second)["keys"], rel=1e-4)


@torch.no_grad()
def test_rows_know_nothing_of_each_other(model: NotesFirst) -> None:
    notes = rows(3)
    whole = small.latents(notes, N_BLOCKS)
    together, after = model.loss(whole, model.start(3))
    alone = [
        model.loss(Latents(whole.sound.rows(slice(n, n + 1)), small.events_of([row], N_BLOCKS)), model.start(1))
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
    whole = small.latents(notes, N_BLOCKS)
    tables = [row.table for row in notes]
    for table in tables:
        table[table[:, 0] >= 1.0, 3] = 128 - table[table[:, 0] >= 1.0, 3]
    changed = small.latents([Notes.of_table(table) for table in tables], N_BLOCKS)
    sound = whole.sound._replace(latent=whole.sound.latent.clone())
    sound.latent[:, 4:] += 1
    conditioned = []
    for latents in (whole, Latents(sound, changed.events)):
        model.residual.head = Scripted(torch.zeros(0, 0))
        model.loss(latents, model.start(2))
        conditioned.append(model.residual.head.conditioned[0].view(2, N_BLOCKS * small.N_SLICES, -1))
    known = 4 * small.N_SLICES
    assert not torch.equal(conditioned[0][:, known:], conditioned[1][:, known:])
    torch.testing.assert_close(conditioned[0][:, :known], conditioned[1][:, :known], atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_step_after_a_prompt_sees_what_training_sees(model: NotesFirst) -> None:
    """The same residuals, conditioned on the same, and then the same state as if the block had been in the prompt."""
    notes = rows()
    whole = small.latents(notes, N_BLOCKS)
    at = N_BLOCKS - 2
    scripted = Scripted(whole.sound.latent[:, at:].flatten(1, 2))
    model.residual.head = scripted
    state, player = model.prime(blocks(whole, notes, 0, at)), Expecting(whole.sound, at)
    for n in range(at, N_BLOCKS):
        given = [row.between(n * BLOCK_SECONDS, (n + 1) * BLOCK_SECONDS) for row in notes]
        block, state = model.step(state, player, Generator(), Sampling(), given)
        torch.testing.assert_close(block.sound.latent[:, 0], whole.sound.latent[:, n])
        assert block.notes is given
        assert player.notes[-1] is given
        same_state(state, model.prime(blocks(whole, notes, 0, n + 1)))
    stepped = torch.stack(scripted.conditioned, dim=1)
    scripted.conditioned.clear()
    model.loss(whole, model.start(2))
    trained = scripted.conditioned[0].view(2, N_BLOCKS * small.N_SLICES, -1)
    torch.testing.assert_close(stepped, trained[:, at * small.N_SLICES :], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_blocks_notes_are_as_likely_after_a_prompt_as_in_training(model: NotesFirst) -> None:
    """What the note decoder is given to sample from costs what the loss of one more block does."""
    notes = rows()
    whole = small.latents(notes, N_BLOCKS)
    longer, _ = model.loss(whole, model.start(2))
    shorter, _ = model.loss(blocks(whole, notes, 0, N_BLOCKS - 1), model.start(2))
    state = model.prime(blocks(whole, notes, 0, N_BLOCKS - 1))
    last = small.events_of(notes, 1, N_BLOCKS - 1)
    before, _ = model.notes.read(last, state.notes)
    found = model.notes.loss(last, before, state.context[:, None])
    for name, value in zip(ATTRIBUTES, found.tolist(), strict=True):
        assert value == pytest.approx(sums(longer)[name] - sums(shorter)[name], rel=1e-3)


@torch.no_grad()
def test_sampled_notes_begin_in_their_block_and_the_state_knows_how_long_they_sound(model: NotesFirst) -> None:
    codec = small.codec()
    generator, state, player = Generator().manual_seed(0), model.start(3), codec.player(torch.zeros(3, 16))
    played = [Notes.of([])] * 3
    for n in range(4):
        block, state = model.step(state, player, generator, Sampling())
        assert block.sound.latent.shape == (3, 1, 5, small.DIMS)
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
    with_sound, without = small.latents(notes, N_BLOCKS), small.latents(rows(2)[1:] + notes, N_BLOCKS, n_sound=1)
    _, after = model.loss(with_sound, model.start(1))
    _, among = model.loss(without, model.start(2))
    torch.testing.assert_close(among.context[1:], after.context, atol=1e-5, rtol=1e-4)
    losses, _ = model.loss(without, model.start(2))
    assert losses["sound"].number == N_BLOCKS * small.N_SLICES
    assert losses["keys"].number == sum(map(len, rows(2)))


@torch.no_grad()
def test_latents_are_kept_in_their_share_of_sequences_while_training() -> None:
    """Whole rows: to 0.05, two deviations of 400."""
    model = small.model(latents_kept=0.3, dropout=0.0)
    latents = small.latents([Notes.of([])] * 400, 2)
    silent = latents._replace(sound=latents.sound._replace(latent=torch.zeros_like(latents.sound.latent)))
    model.from_latent.bias.zero_()
    outputs = []
    for each in (latents, silent):
        torch.manual_seed(0)
        outputs.append(model.train().loss(each, model.start(400))[1].context)
    differ = (outputs[0] != outputs[1]).any(1)
    assert differ.float().mean() == pytest.approx(0.3, abs=0.05)
    assert (model.eval().loss(latents, model.start(400))[1].context != outputs[1]).any(1).all()


@torch.no_grad()
def test_in_training_some_blocks_residuals_are_predicted_and_in_validation_all() -> None:
    model, latents = small.model(residual_blocks=2), small.latents(rows(), N_BLOCKS)
    model.residual.head = Scripted(torch.zeros(0, 0))
    torch.manual_seed(0)
    counts = []
    for training in (True, False):
        model.train(training).loss(latents, model.start(2))
        counts.append(len(model.residual.head.conditioned[-1]))
    assert counts == [2 * 2 * small.N_SLICES, 2 * N_BLOCKS * small.N_SLICES]


@pytest.mark.parametrize("preset", ["flow", "codes"])
def test_a_fitted_model_knows_no_more_than_the_mean(preset: str) -> None:
    """But for what cannot come. Of a flow validation tells its loss to a few per cent."""
    torch.manual_seed(0)
    model = small.make_model(small.PRESETS[preset].with_values(small.VALUES[preset]), small.codec()).eval()
    latents = small.latents(rows(4, 20), 20)
    with torch.no_grad():
        model.fit([latents])
        losses, means = model.loss(latents, model.start(4))[0], model.baselines(latents)["mean"]
    assert losses.keys() == means.keys() == {*ATTRIBUTES, "sound"}
    for name in losses:
        assert sums(losses)[name] == pytest.approx(sums(means)[name], rel=0.2 if name in ("onsets", "keys") else 0.05)
        assert (losses[name].number, losses[name].weight) == (means[name].number, means[name].weight)
    notes = sum(sums(losses)[name] for name in ATTRIBUTES) / 4 / losses["keys"].number
    sound = sums(losses)["sound"] / (4 * 20 * small.N_SLICES)
    assert total_of(losses).item() == pytest.approx(notes + sound, rel=1e-4)


@pytest.mark.parametrize("preset", ["flow", "codes"])
def test_every_weight_is_taught(preset: str) -> None:
    model = small.model(preset, latents_kept=1.0, layers=2).train()
    latents = small.latents(rows(3), N_BLOCKS, n_sound=2)
    if preset == "codes":
        with torch.no_grad():
            model.residual.fit(latents.sound.latent.flatten(0, 2))
    total_of(model.loss(latents, model.start(3))[0]).backward()  # type: ignore[no-untyped-call]
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


def test_it_learns_music_that_goes_in_a_circle() -> None:
    """Four blocks with a chord each: how often classes come tells little, the last block everything."""
    chords = [(0.05, 48), (0.05, 64), (0.3, 50), (0.55, 52), (0.6, 67), (0.8, 55)]
    notes = Notes.of((on + n, on + n + 0.2, pitch, 64) for n in range(5) for on, pitch in chords)
    events, sound = small.events_of([notes] * 2, 20), small.sound(2, 20)
    latents = Latents(sound, events)
    torch.manual_seed(0)
    settings = small.PRESETS["flow"].with_values(small.VALUES["flow"] | {"width": 32, "note_width": 32, "dropout": 0.0})
    model = small.make_model(settings, small.codec()).train()
    with torch.no_grad():
        model.fit([latents])
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(40):
        losses, _ = model.loss(latents, model.start(2))
        total_of(losses).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
    with torch.no_grad():
        losses, means = model.eval().loss(latents, model.start(2))[0], model.baselines(latents)["mean"]
    for name in ("onsets", "keys"):
        assert sums(losses)[name] < 0.4 * sums(means)[name]
