"""Averaged weights: what is validated and rendered from, beside those that are trained."""

from pathlib import Path

import pytest
import torch

from pipeline import checkpoint
from pipeline.config import BEST, LAST, Settings
from pipeline.training.begin import Run
from pipeline.training.loop import fit
from tests.pipeline.training.runs import Recorder, begun, trained, validated
from waveforms.corpus import Corpus


class Weighing(Recorder):
    """Keeps trained and averaged weights at every validation."""

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[dict[str, torch.Tensor]] = []
        self.averaged: list[dict[str, torch.Tensor]] = []

    def on_validation_end(self, run: Run, metrics: dict[str, float]) -> None:
        super().on_validation_end(run, metrics)
        resume = checkpoint.load_resume(run.folder / LAST)
        self.trained.append({n.removeprefix("weights."): t for n, t in resume.items() if n.startswith("weights.")})
        weights = run.checkpoint.model.named_parameters()
        self.averaged.append({name: weight.detach().clone() for name, weight in weights})


@pytest.mark.usefixtures("known_notes")
@pytest.mark.parametrize("ema_decay", [0.9, 0.15])
def test_averages_are_exponential_and_soon_forget_how_they_began(
    corpus: Corpus, tiny_flow: Settings, tmp_path: Path, ema_decay: float
) -> None:
    settings = tiny_flow.with_values({"ema_decay": ema_decay, "validate_every": 1, "steps": 5})
    weighing = Weighing()
    fresh = begun(corpus, settings, tmp_path)
    oracle = {name: weight.detach().double() for name, weight in fresh.checkpoint.model.named_parameters()}
    fit(fresh, [weighing])
    assert len(weighing.trained) == 5
    for step, (weights, averaged) in enumerate(zip(weighing.trained, weighing.averaged, strict=True)):
        keep = min(ema_decay, [1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14][step])
        assert weights.keys() == averaged.keys() == oracle.keys()
        for name in oracle:
            oracle[name] = keep * oracle[name] + (1 - keep) * weights[name].double()
            torch.testing.assert_close(averaged[name].double(), oracle[name], atol=1e-7, rtol=1e-5)
    best = dict(checkpoint.load(tmp_path / BEST).model.named_parameters())
    at = min(range(5), key=lambda n: weighing.metrics[n]["loss"])
    assert all(torch.equal(best[name], weight.half().float()) for name, weight in weighing.averaged[at].items())


@pytest.mark.usefixtures("known_notes")
def test_averaging_takes_no_part_in_training_and_is_what_is_validated(
    corpus: Corpus, tiny_flow: Settings, tmp_path: Path
) -> None:
    settings = tiny_flow.with_values({"precision": "float32", "steps": 6, "validate_every": 6})
    plain = trained(corpus, settings.with_values({"ema_decay": 0.0}), tmp_path / "plain").run.checkpoint
    averaged = trained(corpus, settings.with_values({"ema_decay": 0.9}), tmp_path / "averaged").run.checkpoint
    resume = checkpoint.load_resume(tmp_path / "averaged" / LAST)
    for name, weight in plain.model.named_parameters():
        assert torch.equal(resume[f"weights.{name}"], weight), name
    validation = corpus.subset(plain.split["validation"])
    for done in (plain, averaged):
        assert validated(done, validation)["loss"] == done.history[-1]["loss"]
    assert plain.history[-1]["loss"] != averaged.history[-1]["loss"]


def test_without_averaging_weights_are_saved_once(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    trained(corpus, tiny, tmp_path)
    assert {name.split(".")[0] for name in checkpoint.load_resume(tmp_path / LAST)} == {"optimiser", "state"}
