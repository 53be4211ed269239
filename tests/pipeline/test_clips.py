import json
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from wavinfo import WavInfoReader

from pipeline.checkpoint import Checkpoint
from pipeline.clips import Clip, Rendering, check_free, render_clips
from pipeline.errors import OutputError
from pipeline.generate import arithmetic, ready, roll_out
from pipeline.predictors import make_predictor
from pipeline.predictors.quantised import is_faster
from pipeline.prompts import Prompt, noise, silence
from pipeline.representations import make_representation
from pipeline.settings import Settings
from pipeline.windows import sweep
from waveforms import BLOCK_SIZE, SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.level import Level
from waveforms.marks import read_labels


def make_model(settings: Settings, corpus: Corpus, spread: float = 0.02) -> Checkpoint:
    """An untrained model whose head says something: what is tested here does not depend on what was learned."""
    torch.manual_seed(0)
    representation = make_representation(settings.representation)
    representation.fit(sweep(corpus, representation.margins))
    predictor = make_predictor(settings, representation.shape)
    torch.nn.init.normal_(predictor.head.dense.weight, std=spread)  # type: ignore[union-attr,arg-type]
    return Checkpoint(settings, predictor.eval(), representation, split={}, history=[{"step": 7}])


@pytest.fixture
def model(tiny: Settings, corpus: Corpus) -> Checkpoint:
    return make_model(tiny, corpus)


def prompts(n: int, n_blocks: int = 2) -> list[Prompt]:
    return [noise(n_blocks, np.random.default_rng(i)) for i in range(n)]


def render(model: Checkpoint, out: Path, rendering: Rendering, n: int = 2) -> list[Clip]:
    paths = [out / f"clip-{i}.wav" for i in range(n)]
    return list(render_clips(model, "model.safetensors", prompts(n), paths, rendering, lambda _: None))


def test_clips_are_forty_blocks_of_16_bit_mono(model: Checkpoint, tmp_path: Path) -> None:
    clips = render(model, tmp_path, Rendering(n_blocks=40, seed=1, pictures=False))
    for clip in clips:
        with wave.open(str(clip.path)) as file:
            assert file.getparams()[:4] == (1, 2, 44_100, 441_000)
        assert clip.n_samples == 441_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip-0.txt", "clip-0.wav", "clip-1.txt", "clip-1.wav"]


@pytest.mark.parametrize("lap", [0, 1000])
def test_the_roll_out_renders_the_prompt_as_it_was(tiny: Settings, corpus: Corpus, lap: int) -> None:
    model = make_model(tiny.with_values({"lap": lap}), corpus)
    prompt = torch.from_numpy(corpus[0].read(0, 8 * BLOCK_SIZE))[None]
    generator = torch.Generator().manual_seed(0)
    waveform = torch.cat(list(roll_out(model.predictor, model.representation, prompt, 3, generator)), dim=-1)
    assert waveform.shape == (1, 11 * BLOCK_SIZE)
    untouched = 8 * BLOCK_SIZE - lap  # the last lap of the prompt fades into the first predicted block
    torch.testing.assert_close(waveform[:, :untouched], prompt[:, :untouched], atol=1e-5, rtol=0)


def test_length_by_length_the_clip_is_the_same(model: Checkpoint) -> None:
    prompt = torch.from_numpy(np.stack([p.waveform for p in prompts(2)]))
    short, long = (
        torch.cat(list(roll_out(model.predictor, model.representation, prompt, n, torch.Generator())), dim=-1)
        for n in (5, 9)
    )
    assert torch.equal(short, long[:, : short.shape[1]])


@pytest.mark.parametrize(("faster", "arithmetic_of_it"), [(True, "int8"), (False, "float32")])
def test_eight_bits_are_for_processors_that_multiply_them(
    model: Checkpoint, monkeypatch: pytest.MonkeyPatch, faster: bool, arithmetic_of_it: str
) -> None:
    monkeypatch.setattr("pipeline.generate.is_faster", lambda: faster)
    predictor = ready(model.predictor, "cpu")
    assert arithmetic("cpu") == arithmetic_of_it
    assert (predictor is model.predictor) is not faster
    assert not predictor.training
    assert arithmetic("cuda") == "float32"


def test_silence_in_and_an_untrained_head_give_the_mean(tiny: Settings, corpus: Corpus) -> None:
    """A new head predicts the mean spectrum, whatever it read: every block is the corpus's mean block."""
    model = make_model(tiny, corpus, spread=0.0)
    blocks = np.concatenate([s.numpy() for s in sweep(corpus, (0, 0))]).reshape(-1, BLOCK_SIZE)
    prompt = torch.from_numpy(silence(2).waveform)[None]
    waveform = torch.cat(list(roll_out(model.predictor, model.representation, prompt, 2, torch.Generator())), dim=-1)
    for block in waveform[0, 2 * BLOCK_SIZE :].reshape(2, BLOCK_SIZE).numpy():
        np.testing.assert_allclose(block, blocks.mean(0), atol=1e-5)


def test_the_same_seed_gives_the_same_bytes(model: Checkpoint, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        render(model, tmp_path / folder, Rendering(n_blocks=8, seed=5))
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_marks_lie_where_a_listener_wants_them(model: Checkpoint, tmp_path: Path) -> None:
    rendering = Rendering(n_blocks=4, seed=1, keep_prompt=True, mark_blocks=True, pictures=False)
    clip = render(model, tmp_path, rendering, n=1)[0]
    assert soundfile.info(clip.path).frames == clip.n_samples == 6 * BLOCK_SIZE
    expected = [
        (0, "prompt: noise"),
        (2 * BLOCK_SIZE, "prompt end (noise)"),
        *((n * BLOCK_SIZE, f"block {n - 1}") for n in range(2, 6)),
    ]
    cues = WavInfoReader(str(clip.path)).cues
    labels = {label.name: label.text for label in cues.labels}
    assert [(cue.sample_offset, labels[cue.name].rstrip("\0")) for cue in cues.cues] == expected
    assert [(mark.sample, mark.label) for mark in read_labels(clip.path.with_suffix(".txt"))] == expected


def test_provenance_is_in_the_file(model: Checkpoint, tmp_path: Path) -> None:
    clip = render(model, tmp_path, Rendering(n_blocks=4, seed=11, pictures=False), n=1)[0]
    provenance = json.loads(WavInfoReader(str(clip.path)).info.comment)
    assert provenance["checkpoint"] == "model.safetensors"
    assert (provenance["seed"], provenance["step"]) == (11, 7)
    assert provenance["prompt"] == {"kind": "noise", "parts": []}
    assert provenance["gain_db"] == clip.gain
    assert provenance["arithmetic"] == ("int8" if is_faster() else "float32")
    assert Settings.from_json(provenance["settings"]) == model.settings


def test_a_clip_beyond_full_scale_is_turned_down_or_clipped_but_never_wraps(
    tiny: Settings, corpus: Corpus, tmp_path: Path
) -> None:
    model = make_model(tiny, corpus, spread=50.0)
    peak = render(model, tmp_path, Rendering(n_blocks=8, seed=1, pictures=False), n=1)[0]
    quiet, _ = soundfile.read(peak.path)
    assert peak.gain < 0
    assert peak.n_clipped == 0
    assert np.abs(quiet).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    clip = render(model, tmp_path, Rendering(n_blocks=8, seed=1, level=Level(limit=False), pictures=False), n=1)[0]
    cut, _ = soundfile.read(clip.path)
    assert clip.gain == 0
    at_full_scale = np.count_nonzero(np.abs(cut) >= 32767 / 32768)
    assert 0 < clip.n_clipped <= at_full_scale < clip.n_clipped * 1.01  # some samples fall just short of it
    np.testing.assert_allclose(cut, np.clip(quiet * 10 ** (-peak.gain / 20), -1, 32767 / 32768), atol=1e-3)


@pytest.mark.parametrize(("encoding", "step"), [("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 2**-24)])
def test_encodings_hold_the_same_sound(model: Checkpoint, tmp_path: Path, encoding: str, step: float) -> None:
    rendering = Rendering(n_blocks=8, seed=1, encoding=encoding, pictures=False)
    clip = render(model, tmp_path, rendering, n=1)[0]
    assert soundfile.info(clip.path).subtype == encoding
    prompt = torch.from_numpy(prompts(1)[0].waveform)[None]
    generator = torch.Generator().manual_seed(1)
    pieces = list(roll_out(ready(model.predictor, "cpu"), model.representation, prompt, 8, generator))
    truth = torch.cat(pieces, dim=-1)[0, 2 * BLOCK_SIZE :].numpy() * 10 ** (clip.gain / 20)
    written, _ = soundfile.read(clip.path, dtype="float64")
    assert np.abs(written - truth).max() <= step


def test_a_loudness_is_met(model: Checkpoint, tmp_path: Path) -> None:
    import pyloudnorm

    clip = render(model, tmp_path, Rendering(n_blocks=40, seed=1, level=Level(-40.0), pictures=False), n=1)[0]
    waveform, _ = soundfile.read(clip.path)
    assert pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(waveform) == pytest.approx(-40, abs=0.1)
    assert clip.loudness == pytest.approx(-40, abs=0.01)


def test_a_picture_shows_prompt_and_clip(model: Checkpoint, tmp_path: Path) -> None:
    import matplotlib.image

    clip = render(model, tmp_path, Rendering(n_blocks=8, seed=1), n=1)[0]
    picture = matplotlib.image.imread(clip.path.with_suffix(".png"))
    assert picture.shape[:2] == (600, 1200)
    crimson = np.all(np.abs(picture[..., :3] - np.array([220, 20, 60]) / 255) < 0.02, axis=-1)
    column = crimson[:, 70:1100].sum(0).argmax() + 70  # the line that ends the prompt
    assert crimson[:, column].sum() > 300
    inside = np.flatnonzero((picture[250:550, :1120, :3].max(-1) < 0.999).all(0))  # the spectrogram's columns
    share = (column - inside[0]) / (inside[-1] - inside[0])
    assert share == pytest.approx(2 / 10, abs=0.03)  # two blocks of prompt before eight of clip


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "clip-0.png").touch()
    rendering = Rendering(n_blocks=1, seed=0)
    with pytest.raises(OutputError) as caught:
        check_free([tmp_path / "clip-0.wav"], rendering)
    assert str(caught.value) == f"{tmp_path / 'clip-0.png'}: exists already; --force overwrites it"
    check_free([tmp_path / "clip-1.wav"], rendering)


def test_an_interrupted_rendering_leaves_nothing(model: Checkpoint, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(render_clips(model, "m", prompts(1), [tmp_path / "a.wav"], Rendering(n_blocks=4, seed=0), stop))
    assert list(tmp_path.iterdir()) == []
