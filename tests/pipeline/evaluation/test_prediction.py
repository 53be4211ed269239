"""What knows the next block has all the skill, what repeats or gives the mean has none; distances by closed forms."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pipeline.checkpoint import Checkpoint
from pipeline.codecs import Decoder, Latents
from pipeline.config import Sampling, Settings
from pipeline.evaluation import EvaluationError
from pipeline.evaluation.prediction import (
    floor_below,
    log_spectral_distance,
    measure_skill,
    next_block_distances,
)
from pipeline.models import Blocks, Losses, Model
from pipeline.models.base import Block, LossTerm
from pipeline.session import Session
from pipeline.training.lanes import encode_rows
from pipeline.training.pieces import Span, fitted_to, pieces_of, read_blocks
from tests.pipeline.conftest import n_blocks_of
from tests.pipeline.training.runs import begun, validated
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.events import Notes

HELD_OUT = ["melody_1.wav", "melody_3.wav"]


class Fake(Model[Tensor | None]):
    """Guesses by a rule: (latent (..., dims), generator) -> next (..., dims); of the first block the mean."""

    sampled_by = ()

    def __init__(self, rule: Callable[[Tensor, Generator], Tensor]) -> None:
        super().__init__()
        self.rule = rule

    def fit(self, latents: Iterable[Blocks]) -> None:
        pass

    def init_state(self, n_rows: int) -> None:
        return None

    def loss(self, latents: Blocks, state: None) -> tuple[Losses, None]:
        blocks = latents.latents.latent
        guess = torch.cat([torch.zeros_like(blocks[:, :1]), self.rule(blocks[:, :-1], Generator())], dim=1)
        return self._error(guess, blocks), None

    def baselines(self, latents: Blocks) -> dict[str, Losses]:
        blocks = latents.latents.latent
        repeat = torch.cat([torch.zeros_like(blocks[:, :1]), blocks[:, :-1]], dim=1)
        return {"mean": self._error(torch.zeros_like(blocks), blocks), "repeat": self._error(repeat, blocks)}

    def prime(self, latents: Blocks) -> Tensor:
        return latents.latents.latent[:, -1]

    def step(
        self,
        state: Tensor,
        decoder: Decoder,
        generator: Generator,
        sampling: Sampling,
        notes: Sequence[Notes] | None = None,
    ) -> tuple[Block, Tensor]:
        latent = self.rule(state, generator)
        return Block(Latents(latent[:, None]), [Notes.of([])] * len(latent)), latent

    def _error(self, guess: Tensor, blocks: Tensor) -> Losses:
        number = blocks.shape[0] * blocks.shape[1]
        return {"blocks": LossTerm(F.l1_loss(guess, blocks) * number, number)}


def knowing(run: Checkpoint, corpus: Corpus) -> Fake:
    """Looks latents up in the held-out recordings, and what comes after."""
    parts = [read_blocks(corpus[name], 0, n_blocks_of(corpus[name].n_samples), run.codec) for name in HELD_OUT]
    latents = [run.codec.encode(part[None], None, None).latent[0] for part in parts]
    befores, nexts = torch.cat([part[:-1] for part in latents]), torch.cat([part[1:] for part in latents])

    def rule(latent: Tensor, _: Generator) -> Tensor:
        nearest = torch.cdist(latent.flatten(0, -3).flatten(1), befores.flatten(1)).argmin(-1)
        return nexts[nearest].reshape(latent.shape)

    return Fake(rule)


@pytest.fixture(params=[0, 2205])
def run(request: pytest.FixtureRequest, corpus: Corpus, tiny: Settings, tmp_path: Path) -> Checkpoint:
    return begun(corpus, tiny.with_values({"overlap": request.param}), tmp_path, held_out=HELD_OUT).checkpoint


def test_what_knows_the_next_block_has_all_the_skill(run: Checkpoint, corpus: Corpus) -> None:
    """But for the first block of each recording, which nobody can know."""
    skill = measure_skill(replace(run, model=knowing(run, corpus)), corpus)
    n_blocks = sum(n_blocks_of(corpus[name].n_samples) for name in HELD_OUT)
    for name in ("skill_mean", "skill_repeat"):
        assert skill[name].value == pytest.approx(100, abs=100 * 4 / n_blocks)
    for name in ("skill_decoded_mean", "skill_decoded_repeat"):
        assert skill[name].value == pytest.approx(100, abs=0.1)
    assert skill["skill_distance"] == skill["skill_distance_of_real"]
    assert skill["skill_distance"].value == pytest.approx(0, abs=0.01)


def test_what_learns_nothing_has_no_skill(run: Checkpoint, corpus: Corpus) -> None:
    repeating = measure_skill(replace(run, model=Fake(lambda latent, _: latent)), corpus)
    assert repeating["skill_repeat"].value == repeating["skill_decoded_repeat"].value == 0
    assert repeating["skill_distance"].value > 1
    mean = measure_skill(replace(run, model=Fake(lambda latent, _: torch.zeros_like(latent))), corpus)
    assert mean["skill_mean"].value == mean["skill_decoded_mean"].value == 0
    assert mean["skill_distance"].value > 1


def test_it_is_the_skill_that_training_reports(run: Checkpoint, corpus: Corpus) -> None:
    torch.nn.init.normal_(run.model.output.weight, std=0.1)
    skill = measure_skill(run, corpus, n_sequences=1)
    sums = dict.fromkeys(("loss", "mean", "repeat"), 0.0)
    for recording in corpus.subset(HELD_OUT):  # by itself: nobody is asked to guess which piece comes next
        row = validated(run, corpus.subset([recording.name]))
        sums = {name: total + n_blocks_of(recording.n_samples) * row[name] for name, total in sums.items()}
    assert skill["skill_mean"].value == pytest.approx(100 * (1 - sums["loss"] / sums["mean"]), abs=1e-3)
    assert skill["skill_repeat"].value == pytest.approx(100 * (1 - sums["loss"] / sums["repeat"]), abs=1e-3)


@pytest.mark.usefixtures("known_notes")
def test_what_knows_notes_and_residual_loses_what_the_codec_loses(
    corpus: Corpus, tiny_flow: Settings, tmp_path: Path
) -> None:
    """To 2 %; if no note began, or the last block came again, it would lose more."""
    run = begun(corpus, tiny_flow, tmp_path, held_out=HELD_OUT).checkpoint
    held_out = fitted_to(pieces_of(corpus.subset(HELD_OUT), run.codec), run.codec)
    batch = [(0, 5), (1, 9)]

    class Knowing(Fake):
        def __init__(self) -> None:
            super().__init__(lambda latent, _: latent)

        def step(
            self,
            state: Tensor,
            decoder: Decoder,
            generator: Generator,
            sampling: Sampling,
            notes: Sequence[Notes] | None = None,
        ) -> tuple[Block, Tensor]:
            pieces = [held_out[index].notes for index, _ in batch]
            starts = [(n - 4) / 4 for _, n in batch]
            now = [
                piece.moved(seconds=-start).between(1.0, 1.25)
                for piece, start in zip(pieces, starts, strict=True)
                if piece is not None
            ]
            rows = [[Span(held_out[index], n - 4, 5, 0)] for index, n in batch]
            real = encode_rows(rows, run.codec, torch.device("cpu")).latents.latent[:, -1:]
            return Block(decoder.expect(now)._replace(latent=real), now), state

    session = Session(Knowing(), run.codec)
    spans = [Span(held_out[index], n - 4, 5, 0) for index, n in batch]
    found = next_block_distances(session, run.codec, spans, torch.device("cpu"), seed=0)
    predicted, mean, repeat, real = found.T
    np.testing.assert_allclose(predicted, real, rtol=0.02)
    assert (mean > 1.05 * real).all()
    assert (repeat > 1.05 * real).all()


def test_samples_and_choices_follow_the_seed(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    drawing = Fake(lambda latent, generator: torch.randn(latent.shape, generator=generator))
    run = replace(begun(corpus, tiny, tmp_path, held_out=HELD_OUT).checkpoint, model=drawing)
    steps: list[tuple[int, int]] = []
    first = measure_skill(run, corpus, n_sequences=7, progress=lambda *at: steps.append(at))
    assert measure_skill(run, corpus, n_sequences=7) == first
    assert measure_skill(run, corpus, n_sequences=7, seed=1)["skill_distance"] != first["skill_distance"]
    assert steps == [(n, len(steps)) for n in range(1, len(steps) + 1)]
    assert first["skill_distance"].low < first["skill_distance"].value < first["skill_distance"].high


def test_one_recording_gives_no_interval(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    run = begun(corpus, tiny, tmp_path, held_out=HELD_OUT[:1]).checkpoint
    found = measure_skill(run, corpus, n_sequences=4)
    assert {(value.low, value.high) for value in found.values()} == {(None, None)}


def test_a_corpus_without_the_held_out_recordings_is_refused(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    run = begun(corpus, tiny, tmp_path, held_out=HELD_OUT).checkpoint
    with pytest.raises(EvaluationError) as caught:
        measure_skill(run, corpus.subset(run.split["training"]))
    assert str(caught.value) == (
        f"{corpus.where}: must hold the recordings that the checkpoint was not trained on, and lacks "
        "melody_1.wav, melody_3.wav"
    )


def test_a_gain_is_as_many_decibels_and_silence_as_many_as_the_floor_is_deep() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, BLOCK_SIZE)).float()
    deep = floor_below(noise) * 1e-9  # below every frequency
    assert float(log_spectral_distance(noise / 2, noise, deep)) == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert float(log_spectral_distance(2 * noise, noise, deep)) == pytest.approx(20 * np.log10(2), abs=1e-3)
    time = torch.arange(BLOCK_SIZE) / 44_100
    sine = torch.sin(2 * torch.pi * 44_100 / 2048 * 64 * time)  # on one bin: under the window it has three
    expected = np.sqrt((60.0**2 + 2 * (60 - 20 * np.log10(2)) ** 2) / 1025)
    distance = log_spectral_distance(torch.zeros(BLOCK_SIZE), sine, floor_below(sine))
    assert float(distance) == pytest.approx(expected, rel=1e-3)


def test_two_noises_are_apart_as_two_exponential_variables_are() -> None:
    # Powers are exponential, the logarithm of their quotient is logistic, with a deviation of pi / sqrt(3).
    one, other = (torch.from_numpy(np.random.default_rng(n).normal(0, 0.1, 1_000_000)).float() for n in (0, 1))
    distance = float(log_spectral_distance(one, other, torch.tensor(1e-20)))
    assert distance == pytest.approx(10 / np.log(10) * np.pi / np.sqrt(3), rel=0.01)


def test_silence_is_not_far_from_silence() -> None:
    silence = torch.zeros(2, BLOCK_SIZE)
    assert log_spectral_distance(silence, silence, floor_below(silence)).tolist() == [0.0, 0.0]
