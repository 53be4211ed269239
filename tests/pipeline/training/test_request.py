"""A request to train checks itself, and callbacks are called in order, to the end of a run however it ends."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PRESETS, Settings
from pipeline.errors import CheckpointError, OutputError, SettingsError
from pipeline.training.begin import Run
from pipeline.training.callbacks import Callback
from pipeline.training.request import TrainRequest
from tests.pipeline.training.runs import begun, trained
from waveforms.corpus import Corpus


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"places": "recordings"}, "places must be a list of one folder of recordings or more, and not 'recordings'"),
        ({"places": []}, "places must be a list of one folder of recordings or more, and not []"),
        ({"values": {"steps": 0}}, "steps must be at least 1 and not 0"),
        ({"preset": "classic", "values": {"dims": 8}}, "preset classic has no setting dims"),
        ({"preset": "baroque"}, "preset must be one of flow, codes, classic and not baroque"),
        (
            {"resume": True, "held_out": ["a.wav"]},
            "--resume goes on with the run's own preset, split, weights and music: leave out --preset, --held-out, "
            "--from and --music",
        ),
        (
            {"resume": True, "out": "run", "values": {"steps": 9, "dims": 8, "batch_size": 2}},
            "--resume goes on with the settings in run, but for --steps and --patience: leave out --batch-size, --dims",
        ),
        (
            {"start": "a.safetensors", "preset": "flow", "values": {"width": 8, "steps": 9}},
            "--from takes the preset and its sizes from a.safetensors: leave out --preset, --width",
        ),
    ],
)
def test_what_is_not_legal_is_refused_at_once(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        TrainRequest(**{"places": ["recordings"]} | fields)
    assert str(caught.value) == message


def test_a_folder_is_named_after_places_and_preset() -> None:
    assert TrainRequest(["a/takes/"]).folder == Path("checkpoints/takes-flow")
    assert TrainRequest(["list.jsonl", "b", "c"], preset="classic").folder == Path("checkpoints/list+2-classic")
    assert TrainRequest(["a"], out="elsewhere").folder == Path("elsewhere")


def test_settings_are_those_of_the_preset_with_changes() -> None:
    request = TrainRequest(["a"], preset=PRESETS["codes"], values={"steps": 7})
    assert request.settings() == PRESETS["codes"].with_values({"steps": 7})


def test_a_run_is_neither_made_up_nor_overwritten(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"last\.safetensors: no such file, so there is no run to go on with"):
        TrainRequest(corpus.places, tmp_path, resume=True).settings()
    trained(corpus, tiny.with_values({"steps": 1}), tmp_path)
    with pytest.raises(OutputError) as caught:
        begun(corpus, tiny, tmp_path)
    assert str(caught.value) == f"{tmp_path}: holds a run already; --resume goes on with it, --force starts afresh"
    assert trained(corpus, tiny.with_values({"steps": 2}), tmp_path, force=True).run.progress.step == 2


class Named(Callback):
    """Notes which of its hooks are called; may fail after a step."""

    def __init__(self, name: str, calls: list[str], *, fails: bool = False) -> None:
        self.name, self.calls, self.fails = name, calls, fails

    def on_train_start(self, run: Run) -> None:
        self.calls.append(f"{self.name} starts at {run.progress.step}")

    def on_step_end(self, run: Run, loss: float) -> None:
        self.calls.append(f"{self.name} step {run.progress.step}")
        if self.fails:
            raise MemoryError

    def on_validation_end(self, run: Run, metrics: dict[str, float]) -> None:
        self.calls.append(f"{self.name} validated {metrics['step']}")

    def on_train_end(self, run: Run) -> None:
        self.calls.append(f"{self.name} ends")


def test_callbacks_are_called_in_their_order(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    calls: list[str] = []
    trained(corpus, tiny.with_values({"steps": 1}), tmp_path, Named("a", calls), Named("b", calls))
    hooks = "starts at 0", "step 1", "validated 1", "ends"
    assert calls == [f"{name} {hook}" for hook in hooks for name in "ab"]


def test_callbacks_learn_of_the_end_where_something_fails(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    calls: list[str] = []
    with pytest.raises(MemoryError):
        trained(corpus, tiny, tmp_path, Named("a", calls, fails=True))
    assert calls == ["a starts at 0", "a step 1", "a ends"]
