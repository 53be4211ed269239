"""Averaged weights: what is validated and rendered from, beside those that are trained."""

from pathlib import Path

import pytest
import torch

from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.config import BEST, LAST, Settings
from pipeline.training.begin import begin
from pipeline.training.loop import train
from tests.pipeline.training.test_train import Silent, run, validated
from waveforms.corpus import Corpus


class Weighing(Silent):
    """Keeps trained and averaged weights at every validation."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self.out = out
        self.trained: list[dict[str, torch.Tensor]] = []
        self.averaged: list[dict[str, torch.Tensor]] = []

    def validated(self, row: dict[str, float], run: Checkpoint, is_best: bool) -> None:
        super().validated(row, run, is_best)
        resume = checkpoint.load_resume(self.out / LAST)
        self.trained.append({n.removeprefix("weights."): t for n, t in resume.items() if n.startswith("weights.")})
        self.averaged.append({name: weight.detach().clone() for name, weight in run.model.named_parameters()})


@pytest.mark.usefixtures("known_notes")
@pytest.mark.parametrize("ema_decay", [0.9, 0.15])
def test_averages_are_exponential_and_soon_forget_how_they_began(
    corpus: Corpus, tiny_flow: Settings, tmp_path: Path, ema_decay: float
) -> None:
    settings = tiny_flow.with_values({"ema_decay": ema_decay, "validate_every": 1, "steps": 5})
    watcher = Weighing(tmp_path)
    fresh = begin(corpus, settings, None, watcher)
    oracle = {name: weight.detach().double() for name, weight in fresh.model.named_parameters()}
    train(fresh, corpus, tmp_path, watcher)
    assert len(watcher.trained) == 5
    for step, (trained, averaged) in enumerate(zip(watcher.trained, watcher.averaged, strict=True)):
        keep = min(ema_decay, [1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14][step])
        assert trained.keys() == averaged.keys() == oracle.keys()
        for name in oracle:
            oracle[name] = keep * oracle[name] + (1 - keep) * trained[name].double()
            torch.testing.assert_close(averaged[name].double(), oracle[name], atol=1e-7, rtol=1e-5)
    best = dict(checkpoint.load(tmp_path / BEST).model.named_parameters())
    at = min(range(5), key=lambda n: watcher.rows[n]["loss"])
    assert all(torch.equal(best[name], weight.half().float()) for name, weight in watcher.averaged[at].items())


@pytest.mark.usefixtures("known_notes")
def test_averaging_takes_no_part_in_training_and_is_what_is_validated(
    corpus: Corpus, tiny_flow: Settings, tmp_path: Path
) -> None:
    settings = tiny_flow.with_values({"precision": "float32", "steps": 6, "validate_every": 6})
    plain = run(corpus, settings.with_values({"ema_decay": 0.0}), tmp_path / "plain").run
    averaged = run(corpus, settings.with_values({"ema_decay": 0.9}), tmp_path / "averaged").run
    resume = checkpoint.load_resume(tmp_path / "averaged" / LAST)
    for name, weight in plain.model.named_parameters():
        assert torch.equal(resume[f"weights.{name}"], weight), name
    validation = corpus.subset(plain.split["validation"])
    for done in (plain, averaged):
        assert validated(done, validation)["loss"] == done.history[-1]["loss"]
    assert plain.history[-1]["loss"] != averaged.history[-1]["loss"]


def test_without_averaging_weights_are_saved_once(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    run(corpus, tiny, tmp_path)
    assert {name.split(".")[0] for name in checkpoint.load_resume(tmp_path / LAST)} == {"optimiser", "state"}
