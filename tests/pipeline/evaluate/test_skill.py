"""What knows the next block has all the skill, what repeats or gives the mean has none; distances by closed forms."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Generator, Tensor

from pipeline.checkpoint import Checkpoint
from pipeline.evaluate import EvaluationError
from pipeline.evaluate.prediction.log_spectral import floor_below, log_spectral_distance
from pipeline.evaluate.prediction.skill import measure_skill
from pipeline.predictors import Predictor
from pipeline.settings import Sampling, Settings
from pipeline.train import begin, validate
from pipeline.windows import read_blocks, windows
from tests.pipeline.test_train import Silent
from waveforms import BLOCK_SIZE
from waveforms.corpus import Corpus

HELD_OUT = ["melody_1.wav", "melody_3.wav"]


class Fake(Predictor):
    """Predicts by a rule: (past (..., dim), generator) -> next (..., dim)."""

    def __init__(self, rule: Callable[[Tensor, Generator], Tensor]) -> None:
        super().__init__()
        self.rule = rule

    def fit(self, elements: Iterable[Tensor]) -> None:
        pass

    def loss(self, sequence: Tensor, n_targets: Tensor) -> Tensor:
        return self._error(self.rule(sequence[:, :-1], Generator()), sequence, n_targets)

    def baselines(self, sequence: Tensor, n_targets: Tensor) -> dict[str, Tensor]:
        guesses = {"mean": torch.zeros_like(sequence[:, 1:]), "repeat": sequence[:, :-1]}
        return {name: self._error(guess, sequence, n_targets) for name, guess in guesses.items()}

    def start(self, prompt: Tensor) -> Tensor:
        return prompt[:, -1]

    def step(self, state: Tensor, generator: Generator, sampling: Sampling) -> tuple[Tensor, Tensor]:
        element = self.rule(state, generator)
        return element, element

    def _error(self, guess: Tensor, sequence: Tensor, n_targets: Tensor) -> Tensor:
        counted = torch.arange(sequence.shape[1] - 1) < n_targets[:, None]
        return F.l1_loss(guess[counted], sequence[:, 1:][counted])


def knowing(run: Checkpoint, corpus: Corpus) -> Fake:
    """Looks its past up in the held-out recordings, and what comes after."""
    margins = run.representation.margins
    parts = [read_blocks(corpus[name], 0, corpus[name].n_blocks, margins) for name in HELD_OUT]
    elements = [run.representation.transform(part) for part in parts]
    pasts, nexts = torch.cat([part[:-1] for part in elements]), torch.cat([part[1:] for part in elements])
    return Fake(lambda past, _: nexts[torch.cdist(past.flatten(0, -2), pasts).argmin(-1)].reshape(past.shape))


@pytest.fixture(params=[0, 2205])
def run(request: pytest.FixtureRequest, corpus: Corpus, tiny: Settings) -> Checkpoint:
    return begin(corpus, tiny.with_values({"lap": request.param}), HELD_OUT, Silent())


def test_what_knows_the_next_block_has_all_the_skill(run: Checkpoint, corpus: Corpus) -> None:
    skill = measure_skill(replace(run, predictor=knowing(run, corpus)), corpus)
    n_targets = sum(corpus[name].n_blocks - 1 for name in HELD_OUT)
    assert (skill.n_recordings, skill.n_blocks, skill.n_decoded) == (2, n_targets, n_targets)
    for value in (skill.against_mean, skill.against_repeat):
        assert value.value == pytest.approx(100, abs=1e-3)
    for value in (skill.decoded_against_mean, skill.decoded_against_repeat):
        assert value.value == pytest.approx(100, abs=0.1)
    assert skill.distance == skill.distance_of_real
    assert skill.distance.value == pytest.approx(0, abs=0.01)
    assert skill.distance_of_mean.value > 1
    assert skill.distance_of_repeat.value > 1


def test_what_learns_nothing_has_no_skill(run: Checkpoint, corpus: Corpus) -> None:
    repeating = measure_skill(replace(run, predictor=Fake(lambda past, _: past)), corpus)
    assert repeating.against_repeat.value == repeating.decoded_against_repeat.value == 0
    assert repeating.distance == repeating.distance_of_repeat
    mean = measure_skill(replace(run, predictor=Fake(lambda past, _: torch.zeros_like(past))), corpus)
    assert mean.against_mean.value == mean.decoded_against_mean.value == 0
    assert mean.distance == mean.distance_of_mean


def test_it_is_the_skill_that_training_tells(run: Checkpoint, corpus: Corpus) -> None:
    settings, held_out = run.settings.training, corpus.subset(HELD_OUT)
    torch.nn.init.normal_(run.predictor.head.dense.weight, std=0.1)
    skill = measure_skill(run, corpus, n_sequences=1)
    sums = dict.fromkeys(("loss", "mean", "repeat"), 0.0)
    for recording in held_out:  # by itself: nobody is asked to guess which piece comes next
        alone = corpus.subset([recording.name])
        plan = windows(alone, settings.sequence_blocks)
        row = validate(run.predictor, run.representation, alone, plan, settings, Fabric(accelerator="cpu"))
        sums = {name: total + (recording.n_blocks - 1) * row[name] for name, total in sums.items()}
    assert skill.against_mean.value == pytest.approx(100 * (1 - sums["loss"] / sums["mean"]), abs=1e-3)
    assert skill.against_repeat.value == pytest.approx(100 * (1 - sums["loss"] / sums["repeat"]), abs=1e-3)


def test_draws_and_choices_follow_the_seed(corpus: Corpus, tiny: Settings) -> None:
    drawing = Fake(lambda past, generator: torch.randn(past.shape, generator=generator))
    run = replace(begin(corpus, tiny, HELD_OUT, Silent()), predictor=drawing)
    steps: list[tuple[int, int]] = []
    first = measure_skill(run, corpus, n_sequences=7, progress=lambda *at: steps.append(at))
    assert measure_skill(run, corpus, n_sequences=7).distance == first.distance
    assert measure_skill(run, corpus, n_sequences=7, seed=1).distance != first.distance
    assert first.n_decoded == 7
    assert steps == [(n, len(steps)) for n in range(1, len(steps) + 1)]
    assert first.distance.low < first.distance.value < first.distance.high


def test_one_recording_gives_no_interval(corpus: Corpus, tiny: Settings) -> None:
    run = begin(corpus, tiny, HELD_OUT[:1], Silent())
    skill = measure_skill(run, corpus, n_sequences=4)
    assert skill.n_recordings == 1
    assert (skill.distance.low, skill.distance.high) == (None, None)


def test_a_corpus_without_the_held_out_recordings_is_refused(corpus: Corpus, tiny: Settings) -> None:
    run = begin(corpus, tiny, HELD_OUT, Silent())
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
