"""The examples of CONTRIBUTING.md, run as they stand there."""

import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import pipeline.web
from pipeline import checkpoint, codecs, config, models
from pipeline.clips import ClipFormat
from pipeline.config import BEST, Settings
from pipeline.evaluation.notes import measure_notes
from pipeline.models import base
from pipeline.prompts import PromptRequest
from pipeline.rendering import RenderRequest, render
from pipeline.web import pages
from tests.chromium import Chromium
from tests.pipeline.conftest import melody
from tests.pipeline.training.runs import trained
from waveforms.audio import read
from waveforms.corpus import Corpus
from waveforms.notes.events import Notes

HOUSE = Path(__file__).parents[2]
TINY = {"steps": 12, "batch_size": 4, "sequence_blocks": 6, "validate_every": 6}
IMPORTS = """
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from pipeline.codecs.base import Codec, Decoder, Example, Latents, Report, no_report
from pipeline.codecs.note_table import NoteTable
from pipeline.config import *
from pipeline.evaluation.metrics import Metric
from pipeline.models.base import Block, Blocks, HeadMaker, Losses, LossTerm, Model
from pipeline.web.pages import assemble
from pipeline.web.sounds import prepare
from waveforms.audio import Waveform
from waveforms.audio.levels import measure_levels
from waveforms.dsp.blocks import BLOCK_SIZE, FRAMES_PER_BLOCK, HOP
from waveforms.files import write_whole
from waveforms.notes.events import Notes
from waveforms.notes.performance import LOWEST_PITCH
"""


def blocks_of(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (HOUSE / "CONTRIBUTING.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def examples() -> SimpleNamespace:
    """Everything that the examples define."""
    names: dict[str, object] = {"__name__": "examples"}
    for block in [IMPORTS, *blocks_of("python")]:
        exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    return SimpleNamespace(**names)


@pytest.fixture
def joined(examples: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The examples with their rows in the tables of codecs, models and presets."""
    monkeypatch.setitem(codecs.CODECS, examples.MuLawSettings, examples.MuLaw)
    monkeypatch.setitem(models.MODELS, examples.LinearSettings, examples.Linear)
    monkeypatch.setitem(config.PRESETS, "mulaw", examples.MU_LAW)
    monkeypatch.setitem(config.PRESETS, "linear", examples.LINEAR)
    return examples


def rendered(settings: Settings, corpus: Corpus, folder: Path) -> np.ndarray:
    """A clip of 1 s from a model that was trained for twelve steps, saved and loaded."""
    trained(corpus, settings, folder)
    request = RenderRequest(
        seed=1, n_clips=1, seconds=1.0, prompt=PromptRequest(seconds=0.5), format=ClipFormat(pictures=False)
    )
    (clip,) = render(checkpoint.load(folder / BEST), request, folder / "clips")
    return read(clip.path)


def test_the_codec_is_inverted_by_its_decoder(examples: SimpleNamespace) -> None:
    codec = examples.MuLaw(examples.MuLawSettings())
    waveforms = torch.from_numpy(np.stack([melody(n, 1.0) for n in range(2)]))
    latents = codec.encode(waveforms)
    assert latents.latent.shape == (2, 4, 25, 441)
    decoded = codec.decoder(torch.zeros(2, 0)).push(latents)
    torch.testing.assert_close(decoded, waveforms, atol=1e-6, rtol=0)
    # G.711 by hand: half of full scale
    half = codec.encode(torch.full((1, codec.block_size), -0.5)).latent[0, 0, 0, 0]
    assert half == pytest.approx(-math.log(1 + 255 / 2) / math.log(256))


@pytest.mark.parametrize("preset", ["mulaw", "linear"])
def test_codec_and_model_train_and_render(joined: SimpleNamespace, preset: str, corpus: Corpus, tmp_path: Path) -> None:
    settings = config.preset_named(preset).with_values(TINY)
    if preset == "mulaw":
        settings = settings.with_values({"width": 16, "layers": 1})
    assert Settings.from_json(settings.to_json()) == settings
    clip = rendered(settings, corpus, tmp_path)
    assert clip.shape == (44_100,)
    assert np.isfinite(clip).all()


def test_the_model_carries_its_state(examples: SimpleNamespace) -> None:
    torch.manual_seed(0)
    codec = examples.MuLaw(examples.MuLawSettings())
    model = examples.Linear(examples.LinearSettings(rank=4), codec, None)
    blocks = base.Blocks(codec.encode(torch.from_numpy(melody(0, 2.0))[None]), None)
    whole, after = model.loss(blocks, model.init_state(1))
    state, parts = model.init_state(1), []
    for part in (slice(0, 3), slice(3, 8)):
        losses, state = model.loss(base.Blocks(blocks.latents.blocks(part), None), state)
        parts.append(losses["blocks"].sum)
    torch.testing.assert_close(sum(parts), whole["blocks"].sum)
    torch.testing.assert_close(state.last, after.last)
    block, stepped = model.step(model.prime(blocks), None, torch.Generator(), config.Sampling())
    predicted = model.output(model.down(blocks.latents.latent[:, -1].flatten(1)))
    torch.testing.assert_close(block.latents.latent.flatten(), predicted.flatten())
    torch.testing.assert_close(stepped.last, predicted)


def test_the_metric_counts_low_notes(examples: SimpleNamespace) -> None:
    notes = [(0.0, 1.0, 48, 64.0), (1.0, 2.0, 59, 64.0), (2.0, 3.0, 60, 64.0), (3.0, 4.0, 72, 64.0)]
    assert examples.BASS.of_notes(measure_notes(Notes.of(notes), 4.0)) == 50
    assert examples.BASS.of_notes(measure_notes(Notes.of([]), 4.0)) is None


@pytest.fixture
def page(examples: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page of two clips."""
    web = tmp_path / "web"
    shutil.copytree(Path(pipeline.web.__file__).parent, web)
    (web / "clips").mkdir()
    (page,) = blocks_of("html")
    (web / "clips/page.html").write_text(page.split("-->\n", 1)[1])
    monkeypatch.setattr(pages, "files", lambda _: web)
    examples.write_clips_page({"first": melody(0, 1.0), "second": melody(1, 2.0)}, tmp_path / "clips.html")
    return tmp_path / "clips.html"


def test_the_page_plays_clips(page: Path, browser: Chromium) -> None:
    browser.open(page)
    assert browser.text() == "Play first, 0:01.0Play second, 0:02.0"
    browser.click("#clips button")
    browser.wait_for("document.querySelector('#clips button').textContent.startsWith('Stop first')")
    browser.click("#clips button")
    browser.wait_for("document.querySelector('#clips button').textContent.startsWith('Play first')")
