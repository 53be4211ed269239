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
from pipeline.codecs import make_codec
from pipeline.config import Settings
from pipeline.distributed import derive_seed
from pipeline.errors import OutputError
from pipeline.models import make_model as make_model_of
from pipeline.models.backends.int8 import is_faster
from pipeline.prompts import Prompt, noise, silence
from pipeline.session import Session
from pipeline.training.pieces import Piece, excerpts
from tests.conftest import read_labels
from tests.pipeline.codecs.strings import planted
from waveforms import SAMPLE_RATE
from waveforms.audio.gain import GainPolicy
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE, n_blocks_of
from waveforms.notes.events import Notes
from waveforms.notes.midi import read_midi


def make_model(settings: Settings, corpus: Corpus, deviation: float = 0.02) -> Checkpoint:
    """An untrained model whose last layer is at work: what is tested here does not depend on what was learned."""
    torch.manual_seed(0)
    codec = make_codec(settings.codec)
    codec.fit(excerpts([Piece(recording.name, None, recording) for recording in corpus], codec.margins))
    model = make_model_of(settings, codec)
    torch.nn.init.normal_(model.leave.weight, std=deviation)  # type: ignore[union-attr,arg-type]
    return Checkpoint(settings, model.eval(), codec, split={}, history=[{"step": 7}])


@pytest.fixture
def model(tiny: Settings, corpus: Corpus) -> Checkpoint:
    return make_model(tiny, corpus)


@pytest.fixture
def playing(tiny_flow: Settings) -> Checkpoint:
    """One that plays notes, with strings that are known."""
    torch.manual_seed(0)
    codec = make_codec(tiny_flow.codec)
    codec.instrument.load_state_dict(planted().state_dict())  # type: ignore[union-attr]
    return Checkpoint(tiny_flow, make_model_of(tiny_flow, codec).eval(), codec, split={}, history=[{"step": 7}])


def prompts(n: int, n_blocks: int = 2) -> list[Prompt]:
    return [noise(n_blocks, np.random.default_rng(i)) for i in range(n)]


def rolled_out(model: Checkpoint, prompt: Prompt, n_blocks: int, seed: int) -> np.ndarray:
    """Prompt and blocks, (n_samples,)."""
    session = Session(model.model, model.codec)
    session.prime([prompt], seed=seed)
    return torch.cat([part.samples for part in session.stream(n_blocks, with_prompt=True)], dim=-1)[0].numpy()


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
    prompt = Prompt(corpus[0].read(0, 8 * BLOCK_SIZE), "files")
    waveform = rolled_out(model, prompt, 3, seed=0)
    assert waveform.shape == (11 * BLOCK_SIZE,)
    untouched = 8 * BLOCK_SIZE - lap  # the last lap of the prompt fades into the first predicted block
    np.testing.assert_allclose(waveform[:untouched], prompt.waveform[:untouched], atol=1e-5)


def test_silence_in_and_an_untrained_model_give_the_mean(tiny: Settings, corpus: Corpus) -> None:
    """A new model predicts the mean spectrum, whatever it read: every block is the corpus's mean block."""
    model = make_model(tiny, corpus, deviation=0.0)
    blocks = np.concatenate([r.read(0, n_blocks_of(r.n_samples) * BLOCK_SIZE) for r in corpus]).reshape(-1, BLOCK_SIZE)
    waveform = rolled_out(model, silence(2), 2, seed=0)
    for block in waveform[2 * BLOCK_SIZE :].reshape(2, BLOCK_SIZE):
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
    model = make_model(tiny, corpus, deviation=50.0)
    peak = render(model, tmp_path, Rendering(n_blocks=8, seed=1, pictures=False), n=1)[0]
    quiet, _ = soundfile.read(peak.path)
    assert peak.gain < 0
    assert peak.n_clipped == 0
    assert np.abs(quiet).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    clip = render(model, tmp_path, Rendering(n_blocks=8, seed=1, level=GainPolicy(limit=False), pictures=False), n=1)[0]
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
    truth = rolled_out(model, prompts(1)[0], 8, seed=1)[2 * BLOCK_SIZE :] * 10 ** (clip.gain / 20)
    written, _ = soundfile.read(clip.path, dtype="float64")
    assert np.abs(written - truth).max() <= step


def test_a_loudness_is_met(model: Checkpoint, tmp_path: Path) -> None:
    import pyloudnorm

    clip = render(model, tmp_path, Rendering(n_blocks=40, seed=1, level=GainPolicy(-40.0), pictures=False), n=1)[0]
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


@pytest.mark.parametrize(("suffix", "has_notes"), [("wav", False), ("txt", False), ("png", False), ("mid", True)])
def test_nothing_is_overwritten_unasked(tmp_path: Path, suffix: str, has_notes: bool) -> None:
    (tmp_path / f"clip-0.{suffix}").touch()
    rendering = Rendering(n_blocks=1, seed=0)
    with pytest.raises(OutputError) as caught:
        check_free([tmp_path / "clip-0.wav"], rendering, has_notes=has_notes)
    assert str(caught.value) == f"{tmp_path / f'clip-0.{suffix}'}: exists already; --force overwrites it"
    check_free([tmp_path / "clip-1.wav"], rendering, has_notes=True)


def test_a_file_that_would_not_be_written_is_not_in_the_way(tmp_path: Path) -> None:
    for suffix in ("mid", "png"):
        (tmp_path / f"clip-0.{suffix}").touch()
    check_free([tmp_path / "clip-0.wav"], Rendering(n_blocks=1, seed=0, pictures=False), has_notes=False)


GIVEN = Notes.of([(0.1, 0.4, 60, 64), (0.6, 9.0, 64, 100), (1.9, 2.4, 67, 30), (2.1, 2.5, 50, 64)])


@pytest.mark.parametrize("keep_prompt", [False, True])
def test_notes_lie_beside_the_clip_at_the_times_of_its_sound(
    playing: Checkpoint, tmp_path: Path, keep_prompt: bool
) -> None:
    """Of a clip of two seconds; a note of its prompt is the clip's where the prompt is kept. MIDI rounds to 0.6 ms."""
    prompt = Prompt(silence(2).waveform, "silence", notes=Notes.of([(-1.0, 0.2, 40, 64), (0.25, 0.4, 45, 80)]))
    rendering = Rendering(n_blocks=8, seed=1, notes=GIVEN, keep_prompt=keep_prompt, pictures=False)
    path = tmp_path / "clip.wav"
    (clip,) = render_clips(playing, "m", [prompt], [path], rendering, lambda _: None)
    later = 0.5 if keep_prompt else 0.0
    expected = [(on + later, min(off, 2.0) + later, p, v) for on, off, p, v in GIVEN.table.tolist() if on < 2.0]
    expected = ([(0.25, 0.4, 45, 80)] if keep_prompt else []) + expected
    found = Notes.of_performance(read_midi(path.with_suffix(".mid")))
    np.testing.assert_allclose(found.table, expected, atol=6e-4)
    assert {file.suffix for file in tmp_path.iterdir()} == {".wav", ".txt", ".mid"}
    assert clip.n_samples == (8 + 2 * keep_prompt) * BLOCK_SIZE


def test_a_clip_in_which_nothing_is_played_has_an_empty_midi_file(playing: Checkpoint, tmp_path: Path) -> None:
    rendering = Rendering(n_blocks=4, seed=1, notes=Notes.of([]), pictures=False)
    list(render_clips(playing, "m", [silence(2)], [tmp_path / "clip.wav"], rendering, lambda _: None))
    assert (tmp_path / "clip.mid").read_bytes().startswith(b"MThd")


def test_the_notes_of_each_clip_are_its_own(playing: Checkpoint, tmp_path: Path) -> None:
    """As the session gives them for each row; velocities as MIDI has them, whole numbers."""
    rendering = Rendering(n_blocks=12, seed=1, pictures=False)
    paths = [tmp_path / f"{n}.wav" for n in range(3)]
    list(render_clips(playing, "m", [silence(2)] * 3, paths, rendering, lambda _: None))
    session = Session(playing.model, playing.codec)
    session.prime([silence(2)] * 3, seed=derive_seed(1, 0))
    parts = list(session.stream(12))
    for n, path in enumerate(paths):
        played = Notes.of(row for part in parts for row in part.notes[n].table.tolist())
        found = Notes.of_performance(read_midi(path.with_suffix(".mid")))
        assert found.pitches.tolist() == played.pitches.tolist()
        np.testing.assert_allclose(found.onsets, played.onsets, atol=6e-4)
        np.testing.assert_allclose(found.velocities, played.velocities, atol=0.5)
        assert found.seconds <= 3.0 + 0.02  # what a note lasts at least in a MIDI file


def test_an_interrupted_rendering_leaves_nothing(model: Checkpoint, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(render_clips(model, "m", prompts(1), [tmp_path / "a.wav"], Rendering(n_blocks=4, seed=0), stop))
    assert list(tmp_path.iterdir()) == []
