import math
import os
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.config import BEST, LAST, Settings, preset_named
from pipeline.errors import TrainingError
from pipeline.training.begin import begin
from pipeline.training.loop import learning_rate, train
from pipeline.training.pieces import Stretch, fitted_to, held_out_rows, pieces_of
from pipeline.training.progress import Outcome, Progress
from pipeline.training.validation import validate
from tests.pipeline.conftest import LENGTHS, TINY, TINY_FLOW, melody_notes
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import n_blocks_of
from waveforms.errors import CorpusError


class Silent:
    """Watches and says nothing; may act after a step."""

    def __init__(self, stop_after: int = -1) -> None:
        self.stop_after = stop_after
        self.rows: list[dict[str, float]] = []

    def listening(self, done: float, total: float) -> None:
        self.listened = (done, total)

    def fitting(self, done: int, total: int) -> None:
        self.fitted = (done, total)

    def started(self, progress: Progress, n_steps: int) -> None:
        pass

    def stepped(self, progress: Progress, loss: float, n_blocks: int) -> None:
        if progress.step == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    def validated(self, row: dict[str, float], run: Checkpoint, is_best: bool) -> None:
        self.rows.append(row)

    def noted(self, sentence: str) -> None:
        self.notes = [*getattr(self, "notes", []), sentence]


def validated(done: Checkpoint, corpus: Corpus) -> dict[str, float]:
    """As training validates, on all of a corpus."""
    rows = held_out_rows(
        fitted_to(pieces_of(corpus, done.codec), done.codec), done.settings.training.sequence_blocks, 1000
    )
    return validate(done.model, done.codec, rows, Fabric(accelerator="cpu"))


def run(corpus: Corpus, settings: Settings, out: Path, watcher: Silent | None = None) -> Outcome:
    watcher = watcher or Silent()
    return train(begin(corpus, settings, None, watcher), corpus, out, watcher)


def test_a_run_writes_checkpoints_and_history(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    watcher = Silent()
    outcome = run(corpus, tiny, tmp_path, watcher)
    assert outcome.reason == "finished"
    assert outcome.progress.step == 12
    assert [row["step"] for row in watcher.rows] == [4, 8, 12]
    for row in watcher.rows:
        assert row["skill_mean"] == pytest.approx(100 * (1 - row["loss"] / row["mean"]))
        assert row["skill_repeat"] == pytest.approx(100 * (1 - row["loss"] / row["repeat"]))
    best, last = checkpoint.load(tmp_path / BEST), checkpoint.load(tmp_path / LAST)
    assert min(row["loss"] for row in last.history) == best.history[-1]["loss"]
    assert last.history == watcher.rows
    assert {*best.split["training"], *best.split["validation"]} == {r.name for r in corpus}
    assert best.excerpts
    assert {p.source for p in best.excerpts} <= set(best.split["validation"])


@pytest.mark.usefixtures("known_notes")
@pytest.mark.parametrize(
    ("preset", "stop_after"), [("classic", 1), ("classic", 4), ("classic", 7), ("flow", 4), ("flow", 7)]
)
def test_a_stopped_run_goes_on_to_the_same_weights_bit_for_bit(
    corpus: Corpus, tmp_path: Path, preset: str, stop_after: int
) -> None:
    values = {"classic": TINY, "flow": TINY_FLOW}[preset] | {"validate_every": 4}
    settings = preset_named(preset).with_values(values | {"layers": 2, "dropout": 0.5})  # drawn at each step
    whole = run(corpus, settings, tmp_path / "whole")
    stopped = run(corpus, settings, tmp_path / "parts", Silent(stop_after))
    assert (stopped.reason, stopped.progress.step) == ("stopped", stop_after)
    torch.manual_seed(12345)  # whatever happened in between
    torch.rand(100)
    resumed = train(checkpoint.load(tmp_path / "parts" / LAST), corpus, tmp_path / "parts", Silent())
    assert resumed.reason == "finished"
    for name, weight in whole.run.model.state_dict().items():
        assert torch.equal(weight, resumed.run.model.state_dict()[name]), name
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in whole.run.history]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.run.history] == timeless
    for file in (BEST, LAST):
        one, other = (checkpoint.load(tmp_path / way / file) for way in ("whole", "parts"))
        assert all(
            torch.equal(a, b)
            for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
        )


@pytest.mark.usefixtures("known_notes")
def test_a_killed_run_goes_on_from_its_last_save(corpus: Corpus, tiny_flow: Settings, tmp_path: Path) -> None:
    tiny = tiny_flow.with_values({"ema_decay": 0.9})

    class Killed(Silent):
        def stepped(self, progress: Progress, loss: float, n_blocks: int) -> None:
            if progress.step == 7:
                raise MemoryError

    whole = run(corpus, tiny, tmp_path / "whole")
    with pytest.raises(MemoryError):
        run(corpus, tiny, tmp_path / "parts", Killed())
    saved = checkpoint.load(tmp_path / "parts" / LAST)
    assert saved.progress["step"] == 4
    resumed = train(saved, corpus, tmp_path / "parts", Silent())
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.run.model.state_dict().values(), resumed.run.model.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(("optimiser", "error"), [("adamw", "absolute"), ("adamw", "squared"), ("rmsprop", "squared")])
def test_training_learns_its_training_split(
    corpus: Corpus, tiny: Settings, tmp_path: Path, optimiser: str, error: str
) -> None:
    """A few melodies can be learned by heart; if nothing is learned here, nothing is anywhere."""

    def skill(learning_rate: float) -> float:
        values = {"optimiser": optimiser, "error": error, "width": 64, "steps": 60, "validate_every": 60}
        settings = tiny.with_values(values | {"dropout": 0.0, "learning_rate": learning_rate})
        done = run(corpus, settings, tmp_path / str(learning_rate)).run
        return validated(done, corpus.subset(done.split["training"]))["skill_mean"]

    assert skill(3e-3) > 5
    assert abs(skill(1e-9)) < 0.1  # where nothing moves, there is no skill: the head starts at the mean


@pytest.mark.usefixtures("known_notes")
def test_notes_and_residuals_are_learned(corpus: Corpus, tiny_flow: Settings, tmp_path: Path) -> None:
    values = {"dims": 16, "width": 32, "flow_width": 64, "dropout": 0.0, "note_rows": 0, "ema_decay": 0.0}
    settings = tiny_flow.with_values(values | {"learning_rate": 1e-2, "steps": 40, "validate_every": 40})
    watcher = Silent()
    done = run(corpus, settings, tmp_path, watcher).run
    assert watcher.listened[0] == watcher.listened[1] > 0
    training = corpus.subset(done.split["training"])
    row = validated(done, training)
    assert row["skill_mean"] > 10
    for name in ("onsets", "keys", "velocities", "lengths", "sound"):
        assert row[f"loss {name}"] < row[f"mean {name}"], name
    parts = [row[f"loss {name}"] for name in ("onsets", "keys", "velocities", "lengths")]
    assert row["loss"] == pytest.approx(sum(parts) / 4 + row["loss sound"], rel=1e-5)


@pytest.mark.usefixtures("known_notes")
def test_a_validation_is_the_mean_over_all_notes_and_slices(corpus: Corpus, tiny_flow: Settings) -> None:
    """Not over rows, of which one may hold more than another; a row knows nothing of the others."""
    fresh = begin(corpus, tiny_flow, None, Silent())
    rows = [[Stretch(piece, 0, piece.n_blocks, 0)] for piece in fitted_to(pieces_of(corpus, fresh.codec), fresh.codec)]
    fabric = Fabric(accelerator="cpu")
    together = validate(fresh.model, fresh.codec, rows, fabric)
    alone = [validate(fresh.model, fresh.codec, [row], fabric) for row in rows]
    n_notes = [len(melody_notes(n, seconds)) for n, seconds in enumerate(LENGTHS)]
    n_blocks = [n_blocks_of(recording.n_samples) for recording in corpus]
    for name, counts in {"onsets": n_notes, "keys": n_notes, "lengths": n_notes, "sound": n_blocks}.items():
        for of in ("loss", "mean", "repeat"):
            expected = np.average([row[f"{of} {name}"] for row in alone], weights=counts)
            assert together[f"{of} {name}"] == pytest.approx(expected, rel=1e-5)
    assert together["skill_mean"] == pytest.approx(100 * (1 - together["loss"] / together["mean"]))


def test_it_ends_early_when_nothing_gets_better(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    settings = tiny.with_values({"steps": 400, "learning_rate": 1e-12, "validate_every": 1, "patience": 2})
    outcome = run(corpus, settings, tmp_path)
    assert outcome.reason == "early"
    losses = [row["loss"] for row in outcome.run.history]
    assert all(loss >= min(losses[:-2]) for loss in losses[-2:])


def test_a_loss_that_is_no_number_ends_the_run(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    settings = tiny.with_values({"learning_rate": 1e30, "error": "squared", "warmup_steps": 0})
    with pytest.raises(TrainingError, match=r"the loss at step \d+ is (nan|inf): training has diverged; start again"):
        run(corpus, settings, tmp_path)


def test_a_recording_that_went_missing_is_named(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    run(corpus, tiny, tmp_path)
    saved = checkpoint.load(tmp_path / LAST)
    gone = saved.split["training"][0]
    rest = corpus.subset([r.name for r in corpus if r.name != gone])
    with pytest.raises(CorpusError) as caught:
        train(saved, rest, tmp_path, Silent())
    assert str(caught.value) == f"{corpus.where}: the run was begun with {gone}, which cannot be used now"


def test_the_same_seed_gives_the_same_run(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    runs = [run(corpus, tiny.with_values({"seed": seed}), tmp_path / str(n)) for n, seed in enumerate((1, 1, 2))]
    weights = [outcome.run.model.state_dict()["output.weight"] for outcome in runs]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_bfloat16_learns_about_the_same(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    losses = [
        run(corpus, tiny.with_values({"precision": p, "steps": 8}), tmp_path / p).run.history[-1]["loss"]
        for p in ("float32", "bfloat16")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_the_learning_rate_rises_then_falls_to_a_tenth(tiny: Settings) -> None:
    settings = tiny.with_values({"steps": 100, "warmup_steps": 10, "learning_rate": 1.0}).training
    rates = [learning_rate(step, settings) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[55] == pytest.approx((1 + 0.1) / 2)
    assert rates[100] == pytest.approx(0.1)
    assert learning_rate(10**9, settings) == pytest.approx(0.1)
    assert math.isfinite(learning_rate(0, tiny.with_values({"steps": 1, "warmup_steps": 0}).training))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_network_computes_in_the_precision_asked_for(
    corpus: Corpus, tiny: Settings, tmp_path: Path, precision: str
) -> None:
    fresh = begin(corpus, tiny.with_values({"precision": precision, "steps": 1}), None, Silent())
    seen = set()
    fresh.model.dense.register_forward_hook(  # type: ignore[union-attr]
        lambda module, _, output: seen.add((module.training, str(output.dtype)))
    )
    train(fresh, corpus, tmp_path, Silent())
    assert seen == {(True, f"torch.{precision}"), (False, f"torch.{precision}")}


def test_a_run_begins_with_what_another_has_learned(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    first = train(begin(corpus, tiny, None, Silent()), corpus, tmp_path / "first", Silent()).run
    again = begin(corpus, tiny, None, Silent(), learned=first)
    assert again.codec is first.codec
    assert again.model is first.model
    assert again.history == []
    assert again.progress == {}
