"""A run that diverges ends with a sentence, and leaves what was saved before as it was."""

import math
from pathlib import Path

import pytest
import torch

from pipeline import checkpoint
from pipeline.config import BEST, LAST, Settings
from pipeline.errors import TrainingError
from pipeline.training.begin import Run
from pipeline.training.loop import fit
from tests.pipeline.training.runs import Recorder, begun, trained
from waveforms.corpus import Corpus

REMEDY = r"training has diverged; start again with a --learning-rate below 0\.\d+$"


def test_a_gradient_that_is_not_finite_ends_the_run(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    """At step 8 a step would be saved that it has spoilt, though the loss of that step is finite."""
    fresh = begun(corpus, tiny, tmp_path)
    factors = iter([1.0] * 7 + [math.inf])
    next(fresh.checkpoint.model.parameters()).register_hook(lambda gradient: gradient * next(factors))
    with pytest.raises(TrainingError, match=rf"^the gradient's norm at step 8 is (inf|nan): {REMEDY}"):
        fit(fresh)
    for name in (BEST, LAST):
        saved = checkpoint.load(tmp_path / name)
        assert [row["step"] for row in saved.history] == [4]
        assert all(weight.isfinite().all() for weight in saved.model.parameters())


def test_a_held_out_loss_that_is_not_finite_is_never_the_best(
    corpus: Corpus, tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.training.loop.validate", lambda *_: {"loss": math.nan, "mean": 1.0, "repeat": 1.0})
    with pytest.raises(TrainingError, match=rf"^the held-out loss at step 4 is nan: {REMEDY}"):
        trained(corpus, tiny, tmp_path)
    assert not list(tmp_path.iterdir())


class Spoiling(Recorder):
    """Spoils a weight after a step, and stops."""

    def __init__(self, weight: torch.nn.Parameter, value: float) -> None:
        super().__init__(stop_after=3)
        self.weight, self.value = weight, value

    def on_step_end(self, run: Run, loss: float) -> None:
        if run.progress.step == self.stop_after:
            self.weight.data.flatten()[-1] = self.value
        super().on_step_end(run, loss)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_weights_that_are_not_finite_are_not_saved(
    corpus: Corpus, tiny: Settings, tmp_path: Path, value: float
) -> None:
    fresh = begun(corpus, tiny, tmp_path)
    spoiling = Spoiling(list(fresh.checkpoint.model.parameters())[-1], value)
    with pytest.raises(TrainingError, match=rf"^the largest weight at step 3 is {abs(value)}: {REMEDY}"):
        fit(fresh, [spoiling])
    assert not list(tmp_path.iterdir())
