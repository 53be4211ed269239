import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipeline import __version__, checkpoint
from pipeline.checkpoint import Checkpoint, Excerpt
from pipeline.codecs import make_codec
from pipeline.config import Settings
from pipeline.errors import CheckpointError, OutputError, SettingsError
from pipeline.models import make_model
from waveforms.notes.events import Notes

NOTES = Notes.of([(-0.3, 0.1, 60, 64.5), (0.123456789012, 4.0, 71, 1.0), (0.2, 0.3, 21, 127.0)])
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
SPLIT = {
    "places": ["/srv/takes", "s3://bucket/takes"],
    "training": ["01_rag_1of2.wav"],
    "validation": ["ü.wav"],
    "music": {"folder": "/srv/midi", "names": ["a.mid"]},
    "recordings": {
        "01_rag_1of2.wav": {"digest": "12", "work": "rag"},
        "ü.wav": {"digest": "34", "work": "u"},
    },
}


@pytest.fixture
def model(tiny: Settings) -> Checkpoint:
    codec = make_codec(tiny.codec)
    codec.mean_ += 0.25
    return Checkpoint(
        settings=tiny,
        model=make_model(tiny, codec),
        codec=codec,
        split=SPLIT,
        history=[{"step": 4, "loss": 0.5}],
        excerpts=[
            Excerpt("ü.wav", 1.25, torch.arange(11025, dtype=torch.int16), NOTES),
            Excerpt("ü.wav", 5.0, torch.zeros(22050, dtype=torch.int16), Notes.of([])),
        ],
        progress={"step": 4},
        provenance=[{"first_step": 0, "torch": "2.0"}, {"first_step": 2, "torch": "2.1"}],
        ancestors=[{"split": SPLIT, "history": [], "steps": 9, "provenance": []}],
    )


@pytest.fixture
def saved(model: Checkpoint, tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "model.safetensors"
    checkpoint.save(model, path, resume={"optimiser.0.step": torch.tensor(4.0)})
    return path


def rewrite(path: Path, tensors: dict | None = None, **changes: object) -> None:
    """Change a saved checkpoint behind its back."""
    with safe_open(path, framework="pt") as file:
        document = json.loads(file.metadata()[checkpoint.KEY])
    document |= changes
    save_file(tensors or load_file(path), path, metadata={checkpoint.KEY: json.dumps(document)})


def test_what_is_saved_is_loaded(model: Checkpoint, saved: Path) -> None:
    again = checkpoint.load(saved)
    assert again.settings == model.settings
    assert again.split == model.split
    assert again.history == model.history
    assert again.progress == model.progress
    for module in ("model", "codec"):
        before, after = getattr(model, module).state_dict(), getattr(again, module).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    for one, other in zip(again.excerpts, model.excerpts, strict=True):
        assert (one.source, one.seconds) == (other.source, other.seconds)
        assert torch.equal(one.samples, other.samples)
        np.testing.assert_array_equal(one.notes.table, other.notes.table)
    assert checkpoint.load_resume(saved) == {"optimiser.0.step": torch.tensor(4.0)}
    assert again.provenance == model.provenance
    assert again.ancestors == model.ancestors


def test_what_only_training_needs_can_be_left_out(model: Checkpoint, tmp_path: Path) -> None:
    checkpoint.save(model, tmp_path / "best.safetensors")
    assert checkpoint.load(tmp_path / "best.safetensors").progress == {}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_resume(tmp_path / "best.safetensors")
    assert str(caught.value) == (
        f"{tmp_path / 'best.safetensors'}: holds no optimiser state; only last.safetensors does"
    )


def test_weights_that_only_render_take_half_the_room(model: Checkpoint, saved: Path, tmp_path: Path) -> None:
    checkpoint.save(model, tmp_path / "best.safetensors")
    sizes, in_full = (checkpoint.tensor_sizes(path) for path in (tmp_path / "best.safetensors", saved))
    assert sizes["model"] * 2 == in_full["model"]
    assert sizes["codec"] == in_full["codec"]
    before, after = model.model.state_dict(), checkpoint.load(tmp_path / "best.safetensors").model.state_dict()
    for name, weight in before.items():
        assert after[name].dtype == torch.float32
        torch.testing.assert_close(after[name], weight, rtol=2**-11, atol=2**-25)  # of float16


def test_nothing_in_the_file_is_pickled(saved: Path) -> None:
    content = saved.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    last = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    assert len(content) == 8 + length + last  # the header accounts for every byte


def test_every_misfit_is_listed(saved: Path) -> None:
    tensors = load_file(saved)
    del tensors["model.lstm.weight_ih_l0"]
    tensors["model.lstm.weight_ih_l7"] = torch.zeros(1)
    tensors["codec.mean_"] = torch.zeros(3)
    rewrite(saved, tensors)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(saved)
    assert str(caught.value) == (
        f"{saved}: tensors do not fit the settings: missing model.lstm.weight_ih_l0; "
        "unexpected model.lstm.weight_ih_l7; codec.mean_ is (3,) and not (11026,)"
    )


def test_the_model_is_rebuilt_from_the_file_and_not_from_defaults(saved: Path, tiny: Settings) -> None:
    assert checkpoint.load(saved).settings.model.width == tiny.model.width == 16
    wider = tiny.with_values({"width": 17}).to_json()
    rewrite(saved, settings=wider)
    with pytest.raises(CheckpointError, match=r"model\.dense\.weight is \(16, 11026\) and not \(17, 11026\)"):
        checkpoint.load(saved)


def test_a_newer_format_is_refused(saved: Path) -> None:
    rewrite(saved, format=9)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(saved)
    assert str(caught.value) == (
        f"{saved}: written in format 9; quarterwave {__version__} reads 7 and 8: update quarterwave"
    )


@pytest.mark.parametrize("found", [5, 6])
def test_an_older_format_is_refused(saved: Path, found: int) -> None:
    """In one sentence, though its settings and its tensors are others."""
    rewrite(saved, {"network.dense.weight": torch.zeros(2)}, format=found, settings={"preset": "flow"})
    for read in (checkpoint.load, checkpoint.read_document):
        with pytest.raises(CheckpointError) as caught:
            read(saved)
        assert str(caught.value) == (
            f"{saved}: written in format {found}; quarterwave {__version__} reads 7 and 8: train again, "
            "or render with the version that wrote it"
        )


def test_a_damaged_description_is_refused(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        document = json.loads(file.metadata()[checkpoint.KEY])
    del document["split"], document["excerpts"]
    save_file(load_file(saved), saved, metadata={checkpoint.KEY: json.dumps(document)})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: its description lacks excerpts, split$"):
        checkpoint.load(saved)
    save_file(load_file(saved), saved, metadata={checkpoint.KEY: "[]"})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: its description is damaged: "):
        checkpoint.load(saved)


def test_a_checkpoint_that_is_shipped_names_no_places(model: Checkpoint, tmp_path: Path) -> None:
    source, target = tmp_path / "best.safetensors", tmp_path / "shipped.safetensors"
    checkpoint.save(model, source)
    tool = Path(__file__).parents[2] / "tools/ship_checkpoint.py"
    subprocess.run([sys.executable, tool, source, target], check=True, cwd=tool.parents[1], env=ENVIRONMENT)
    assert b"/srv/" not in target.read_bytes()
    shipped = checkpoint.load(target)
    nowhere = SPLIT | {"places": [], "music": {"folder": None, "names": ["a.mid"]}}
    assert shipped.split == nowhere
    assert shipped.ancestors[0]["split"] == nowhere
    assert shipped.provenance == model.provenance
    before, after = load_file(source), load_file(target)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_that_is_shipped_drops_prompts_by_name(model: Checkpoint, tmp_path: Path) -> None:
    source, target = tmp_path / "best.safetensors", tmp_path / "shipped.safetensors"
    checkpoint.save(model, source)
    name = model.excerpts[0].source
    tool = Path(__file__).parents[2] / "tools/ship_checkpoint.py"
    command = [sys.executable, tool, source, target, "--drop", f"*{name[1:]}"]
    subprocess.run(command, check=True, cwd=tool.parents[1], env=ENVIRONMENT)
    kept = [excerpt.source for excerpt in checkpoint.load(target).excerpts]
    assert kept == [excerpt.source for excerpt in model.excerpts if excerpt.source != name]


def test_settings_that_are_not_legal_are_refused(saved: Path, tiny: Settings) -> None:
    rewrite(saved, settings=tiny.to_json() | {"preset": "baroque"})
    with pytest.raises(SettingsError, match="preset must be one of flow, codes, classic and not baroque"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a checkpoint is a file, and there is none"),
        (b"", "not a readable safetensors file"),
        (b"RIFF....WAVE", "not a readable safetensors file"),
        (b"\x80\x04" + b"x" * 100, "not a readable safetensors file"),
    ],
)
def test_what_is_not_a_checkpoint_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_somebody_elses_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="a safetensors file, but not a checkpoint of quarterwave"):
        checkpoint.load(tmp_path / "other.safetensors")


def test_a_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        checkpoint.load(saved)


def test_a_failed_save_leaves_the_old_file_whole(
    model: Checkpoint, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"cannot be written: no space left on device"):
        checkpoint.save(model, saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_others_may_read_what_the_umask_lets_them(saved: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o666 & ~mask
