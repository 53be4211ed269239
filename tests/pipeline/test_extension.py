"""A model, a head and a codec that are not ours: a class each, settings, and lines in the registries."""

import json
import wave
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from pipeline.cli.main import main
from pipeline.codecs import CODECS, Codec, Decoder, Example, Latents
from pipeline.codecs.base import Report, no_report
from pipeline.codecs.note_table import NoteTable
from pipeline.config import PRESETS, CodecSettings, HeadSettings, ModelSettings, Sampling, Settings, at_least, setting
from pipeline.config import TrainingSettings as Training
from pipeline.models import HEADS, MODELS, Block, Blocks, Head, Losses, Model
from pipeline.models.base import HeadMaker, LossTerm
from waveforms import SAMPLE_RATE
from waveforms.notes.events import Notes

BLOCK_SIZE = 4410  # 0.1 s, no part of our own 0.25 s


@dataclass(frozen=True)
class SamplesSettings(CodecSettings):
    frames: int = setting(2, "frames in a block", at_least(1))


@dataclass(frozen=True)
class GRUSettings(ModelSettings):
    units: int = setting(8, "units of the recurrent network", at_least(1))


@dataclass(frozen=True)
class PointSettings(HeadSettings):
    sharpness: float = setting(1.0, "factor of the error", at_least(0))


class Samples(Codec):
    """Samples over their standard deviation, a block in several frames."""

    std: Tensor
    block_size, conditioning_dims, padding, reads_notes = BLOCK_SIZE, 0, (0, 0), False

    def __init__(self, settings: SamplesSettings) -> None:
        super().__init__()
        self.n_frames, self.dims = settings.frames, BLOCK_SIZE // settings.frames
        self.register_buffer("std", torch.ones(()))

    def fit(self, examples: Iterable[Example], report: Report = no_report) -> None:
        self.std.copy_(torch.cat([example.waveform for example in examples]).std())

    def encode(self, waveforms: Tensor, notes: NoteTable | None, profiles: Tensor | None) -> Latents:
        return Latents((waveforms / self.std).unflatten(-1, (-1, self.n_frames, self.dims)))

    def profile(self, waveform: Tensor, notes: Notes | None) -> Tensor:
        return torch.zeros(0)

    def decoder(self, profiles: Tensor) -> Decoder:
        return SamplesDecoder(self, len(profiles))


class SamplesDecoder(Decoder):
    def __init__(self, codec: Samples, n_rows: int) -> None:
        self.codec, self.n_rows = codec, n_rows

    def expect(self, notes: Sequence[Notes], n_blocks: int = 1) -> Latents:
        return Latents(torch.zeros(self.n_rows, n_blocks, self.codec.n_frames, self.codec.dims))

    def push(self, latents: Latents, *, sampled: bool = False) -> Tensor:
        return latents.latent.flatten(1) * self.codec.std

    def finish(self) -> Tensor:
        return torch.zeros(self.n_rows, 0)


class GRUState(NamedTuple):
    hidden: Tensor


class GRU(Model[GRUState]):
    """Reads whole blocks, and predicts the frames of the next one at once."""

    def __init__(self, settings: GRUSettings, codec: Codec, make_head: HeadMaker) -> None:
        super().__init__()
        self.shape, self.units = (codec.n_frames, codec.dims), settings.units
        self.gru = nn.GRU(codec.n_frames * codec.dims, settings.units, batch_first=True)
        self.head = make_head(settings.units, codec.n_frames * codec.dims)
        self.sampled_by = self.head.sampled_by

    def fit(self, blocks: Iterable[Blocks]) -> None:
        self.head.fit(torch.cat([each.latents.latent.flatten(0, 1).flatten(1) for each in blocks]))

    def init_state(self, n_rows: int) -> GRUState:
        return GRUState(torch.zeros(n_rows, self.units))

    def loss(self, blocks: Blocks, state: GRUState) -> tuple[Losses, GRUState]:
        targets = blocks.latents.latent.flatten(2)
        outputs, after = self._read(targets, state)
        before = torch.cat([state.hidden[:, None], outputs[:, :-1]], dim=1)
        n = targets.shape[0] * targets.shape[1]
        return {"blocks": LossTerm(n * self.head.loss(before.flatten(0, 1), targets.flatten(0, 1)), n)}, after

    def baselines(self, blocks: Blocks) -> dict[str, Losses]:
        targets = blocks.latents.latent.flatten(0, 1).flatten(1)
        errors = self.head.baselines(targets[:-1], targets[1:])
        return {name: {"blocks": LossTerm(error, 1)} for name, error in errors.items()}

    def prime(self, blocks: Blocks) -> GRUState:
        return self._read(blocks.latents.latent.flatten(2), self.init_state(blocks.n_rows))[1]

    def step(
        self,
        state: GRUState,
        decoder: Decoder,
        generator: Generator,
        sampling: Sampling,
        notes: Sequence[Notes] | None = None,
    ) -> tuple[Block, GRUState]:
        latent = self.head.sampler(generator, sampling)(state.hidden)[:, None]
        block = Block(Latents(latent.unflatten(-1, self.shape)), [Notes.of([])] * len(latent))
        return block, self._read(latent, state)[1]

    def _read(self, latents: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
        outputs, _ = self.gru(latents, state.hidden[None].contiguous())
        return outputs, GRUState(outputs[:, -1])


class Point(Head):
    def __init__(self, settings: PointSettings, conditioning: int, dims: int) -> None:
        super().__init__()
        self.linear, self.sharpness = nn.Linear(conditioning, dims), settings.sharpness

    def fit(self, targets: Tensor) -> None:
        with torch.no_grad():
            self.linear.bias.copy_(targets.mean(0))

    def loss(self, conditioning: Tensor, targets: Tensor) -> Tensor:
        return self.sharpness * (self.linear(conditioning) - targets).square().mean()

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"mean": targets.square().mean(), "repeat": (targets - previous).square().mean()}

    def sampler(self, generator: Generator, sampling: Sampling) -> Callable[[Tensor], Tensor]:
        return self.linear


TOY = Settings(
    "toy",
    SamplesSettings(),
    GRUSettings(),
    PointSettings(),
    Training(steps=6, batch_size=2, sequence_blocks=5, validate_every=3, ema_decay=0.5),
)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "toy", TOY)
    monkeypatch.setitem(CODECS, SamplesSettings, Samples)
    monkeypatch.setitem(HEADS, PointSettings, Point)
    monkeypatch.setitem(MODELS, GRUSettings, GRU)


@pytest.mark.usefixtures("registered")
def test_a_model_a_head_and_a_codec_of_ones_own_train_and_generate(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    flags = ["--preset=toy", "--units=5", "--frames=3", "--sharpness=2", f"--out={run}"]
    assert main(["train", str(folder), *flags]) == 0
    assert main(["train", str(folder), f"--out={run}", "--resume"]) == 0  # it is over already
    best = run / "best.safetensors"
    clips = ["--clips=2", "--seconds=0.7", "--prompt-seconds=0.3", "--seed=4", f"--out={tmp_path / 'clips'}"]
    assert main(["generate", f"--checkpoint={best}", "--keep-prompt", "--mark-blocks", *clips]) == 0
    with wave.open(str(tmp_path / "clips/clip-4-1.wav")) as file:
        assert file.getnframes() == 10 * BLOCK_SIZE
        samples = np.frombuffer(file.readframes(10 * BLOCK_SIZE), np.int16)
    assert samples[: 3 * BLOCK_SIZE].any()
    marks = (tmp_path / "clips/clip-4-1.txt").read_text().splitlines()
    assert marks[-1].split("\t")[0] == f"{9 * BLOCK_SIZE / SAMPLE_RATE:.7f}"
    assert main(["generate", f"--checkpoint={best}", "--seconds=0.25", "--out=elsewhere"]) == 1
    assert "a length must be a multiple of 0.1 s (one block), not 0.25 s" in capsys.readouterr().err
    assert main(["inspect", str(best), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["settings"]["model"], document["settings"]["head"]) == ({"units": 5}, {"sharpness": 2})
    assert main(["inspect", str(best)]) == 0
    assert "a block: 4410 samples, 0.1 s; latents: 30 frames/s, 1470 numbers each; channels: 1" in " ".join(
        capsys.readouterr().out.split()
    )
