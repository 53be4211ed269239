import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from pipeline import checkpoint
from pipeline.config import BEST, LAST, Settings, preset_named
from pipeline.errors import TrainingError
from pipeline.training.begin import Run, begin
from pipeline.training.loop import fit, learning_rate
from pipeline.training.pieces import Span, fitted_to, pieces_of
from pipeline.training.request import TrainRequest
from pipeline.training.validation import validate
from tests.pipeline.conftest import LENGTHS, TINY, TINY_FLOW, melody_notes, n_blocks_of
from tests.pipeline.training.runs import Recorder, begun, resumed, trained, validated
from waveforms.corpus import Corpus
from waveforms.errors import CorpusError


def test_a_run_writes_checkpoints_and_history(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    recorder = Recorder()
    outcome = trained(corpus, tiny, tmp_path, recorder)
    assert outcome.reason == "finished"
    assert outcome.run.progress.step == 12
    assert [row["step"] for row in recorder.metrics] == [4, 8, 12]
    for row in recorder.metrics:
        assert row["skill_mean"] == pytest.approx(100 * (1 - row["loss"] / row["mean"]))
        assert row["skill_repeat"] == pytest.approx(100 * (1 - row["loss"] / row["repeat"]))
    best, last = checkpoint.load(tmp_path / BEST), checkpoint.load(tmp_path / LAST)
    assert min(row["loss"] for row in last.history) == best.history[-1]["loss"]
    assert last.history == recorder.metrics
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
    settings = preset_named(preset).with_values(values | {"layers": 2, "dropout": 0.5})  # random at each step
    whole = trained(corpus, settings, tmp_path / "whole").run.checkpoint
    stopped = trained(corpus, settings, tmp_path / "parts", Recorder(stop_after))
    assert (stopped.reason, stopped.run.progress.step) == ("stopped", stop_after)
    torch.manual_seed(12345)  # whatever happened in between
    torch.rand(100)
    outcome = resumed(corpus, tmp_path / "parts")
    assert outcome.reason == "finished"
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, outcome.run.checkpoint.model.state_dict()[name]), name
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in whole.history]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in outcome.run.checkpoint.history] == timeless
    for file in (BEST, LAST):
        one, other = (checkpoint.load(tmp_path / way / file) for way in ("whole", "parts"))
        assert all(
            torch.equal(a, b)
            for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
        )


@pytest.mark.usefixtures("known_notes")
def test_a_killed_run_goes_on_from_its_last_save(corpus: Corpus, tiny_flow: Settings, tmp_path: Path) -> None:
    tiny = tiny_flow.with_values({"ema_decay": 0.9})

    class Killed(Recorder):
        def on_step_end(self, run: Run, loss: float) -> None:
            if run.progress.step == 7:
                raise MemoryError

    whole = trained(corpus, tiny, tmp_path / "whole").run.checkpoint
    with pytest.raises(MemoryError):
        trained(corpus, tiny, tmp_path / "parts", Killed())
    again = begin(TrainRequest(corpus.places, tmp_path / "parts", resume=True), corpus=corpus)
    assert again.progress.step == 4
    again.progress.seconds += 1000.0
    outcome = fit(again)
    assert 1000.0 < outcome.run.progress.seconds < 1060.0
    parts = outcome.run.checkpoint
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.model.state_dict().values(), parts.model.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(("optimiser", "error"), [("adamw", "absolute"), ("adamw", "squared"), ("rmsprop", "squared")])
def test_training_learns_its_training_split(
    corpus: Corpus, tiny: Settings, tmp_path: Path, optimiser: str, error: str
) -> None:
    """A few melodies can be learned by heart; if nothing is learned here, nothing is anywhere."""

    def skill(learning_rate: float) -> float:
        values = {"optimiser": optimiser, "error": error, "width": 64, "steps": 60, "validate_every": 60}
        settings = tiny.with_values(values | {"dropout": 0.0, "learning_rate": learning_rate})
        done = trained(corpus, settings, tmp_path / str(learning_rate)).run.checkpoint
        return validated(done, corpus.subset(done.split["training"]))["skill_mean"]

    assert skill(3e-3) > 5
    assert abs(skill(1e-9)) < 0.1  # where nothing moves, there is no skill: the head starts at the mean


@pytest.mark.usefixtures("known_notes")
def test_notes_and_residuals_are_learned(corpus: Corpus, tiny_flow: Settings, tmp_path: Path) -> None:
    values = {"dims": 16, "width": 32, "flow_width": 64, "dropout": 0.0, "note_rows": 0, "ema_decay": 0.0}
    settings = tiny_flow.with_values(values | {"learning_rate": 1e-2, "steps": 40, "validate_every": 40})
    recorder = Recorder()
    done = trained(corpus, settings, tmp_path, recorder).run.checkpoint
    n_seconds, of_seconds = recorder.preparation["reading notes"]
    assert n_seconds == of_seconds > 0
    training = corpus.subset(done.split["training"])
    row = validated(done, training)
    assert row["skill_mean"] > 10
    for name in ("onsets", "keys", "velocities", "lengths", "sound"):
        assert row[f"loss {name}"] < row[f"mean {name}"], name
    parts = [row[f"loss {name}"] for name in ("onsets", "keys", "velocities", "lengths")]
    assert row["loss"] == pytest.approx(sum(parts) / 4 + row["loss sound"], rel=1e-5)


@pytest.mark.usefixtures("known_notes")
def test_a_validation_is_the_mean_over_all_notes_and_frames(
    corpus: Corpus, tiny_flow: Settings, tmp_path: Path
) -> None:
    """Not over rows, of which one may hold more than another; a row knows nothing of the others."""
    fresh = begun(corpus, tiny_flow, tmp_path).checkpoint
    rows = [[Span(piece, 0, piece.n_blocks, 0)] for piece in fitted_to(pieces_of(corpus, fresh.codec), fresh.codec)]
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
    outcome = trained(corpus, settings, tmp_path)
    assert outcome.reason == "early"
    losses = [row["loss"] for row in outcome.run.checkpoint.history]
    assert all(loss >= min(losses[:-2]) for loss in losses[-2:])


def test_a_loss_that_is_no_number_ends_the_run(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    settings = tiny.with_values({"learning_rate": 1e30, "error": "squared", "warmup_steps": 0})
    with pytest.raises(TrainingError, match=r"the loss at step \d+ is (nan|inf): training has diverged; start again"):
        trained(corpus, settings, tmp_path)


def test_a_recording_that_went_missing_is_named(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    gone = trained(corpus, tiny, tmp_path).run.checkpoint.split["training"][0]
    rest = corpus.subset([r.name for r in corpus if r.name != gone])
    with pytest.raises(CorpusError) as caught:
        resumed(rest, tmp_path)
    assert str(caught.value) == f"{corpus.where}: the run was begun with {gone}, which cannot be used now"


def test_the_same_seed_gives_the_same_run(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    outcomes = [trained(corpus, tiny.with_values({"seed": s}), tmp_path / str(n)) for n, s in enumerate((1, 1, 2))]
    weights = [outcome.run.checkpoint.model.state_dict()["output.weight"] for outcome in outcomes]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_bfloat16_learns_about_the_same(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    outcomes = [
        trained(corpus, tiny.with_values({"precision": p, "steps": 8}), tmp_path / p) for p in ("float32", "bfloat16")
    ]
    losses = [outcome.run.checkpoint.history[-1]["loss"] for outcome in outcomes]
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
    fresh = begun(corpus, tiny.with_values({"precision": precision, "steps": 1}), tmp_path)
    seen = set()
    fresh.checkpoint.model.dense.register_forward_hook(  # type: ignore[union-attr]
        lambda module, _, output: seen.add((module.training, str(output.dtype)))
    )
    fit(fresh)
    assert seen == {(True, f"torch.{precision}"), (False, f"torch.{precision}")}


def test_a_run_begins_with_what_another_has_learned(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    trained(corpus, tiny, tmp_path / "first")
    first = checkpoint.load(tmp_path / "first" / LAST)
    request = TrainRequest(corpus.places, tmp_path / "second", start=tmp_path / "first" / LAST, values={"steps": 7})
    second = begin(request, corpus=corpus)
    assert second.settings == tiny.with_values({"steps": 7})
    assert (second.checkpoint.history, second.progress.step) == ([], 0)
    for module, other in ((second.checkpoint.model, first.model), (second.checkpoint.codec, first.codec)):
        found, expected = module.state_dict(), other.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
