import json
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from wavinfo import WavInfoReader

from pipeline.checkpoint import Checkpoint
from pipeline.clips import Clip, ClipFormat
from pipeline.codecs import make_codec
from pipeline.config import Sampling, Settings
from pipeline.distributed import derive_seed
from pipeline.errors import OutputError, SettingsError
from pipeline.models import make_model as make_model_of
from pipeline.models.backends.int8 import is_faster
from pipeline.prompts import Prompt, noise, silence
from pipeline.rendering import RenderRequest, render
from pipeline.session import Session
from pipeline.training.pieces import Piece, examples
from tests.conftest import read_labels
from tests.pipeline.codecs.strings import planted
from tests.pipeline.conftest import n_blocks_of
from waveforms import SAMPLE_RATE
from waveforms.audio.gain import GainPolicy
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.events import Notes
from waveforms.notes.midi import read_midi

SOUND_ALONE = ClipFormat(pictures=False)


def make_model(settings: Settings, corpus: Corpus, std: float = 0.02) -> Checkpoint:
    """An untrained model whose last layer is at work: what is tested here does not depend on what was learned."""
    torch.manual_seed(0)
    codec = make_codec(settings.codec)
    codec.fit(examples([Piece(recording.name, BLOCK_SIZE, None, recording) for recording in corpus], codec))
    model = make_model_of(settings, codec)
    torch.nn.init.normal_(model.output.weight, std=std)  # type: ignore[union-attr,arg-type]
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
    return [noise(n_blocks * BLOCK_SIZE, np.random.default_rng(i)) for i in range(n)]


def rolled_out(model: Checkpoint, prompt: Prompt, n_blocks: int, seed: int) -> np.ndarray:
    """Prompt and blocks, (n_samples,)."""
    session = Session(model.model, model.codec)
    session.prime([prompt], seed=seed)
    return torch.cat([chunk.samples for chunk in session.stream(n_blocks, with_prompt=True)], dim=-1)[0].numpy()


def rendered(model: Checkpoint, out: Path, request: RenderRequest, n: int = 2) -> list[Clip]:
    return list(render(model, request, out, source="model.safetensors", prompts=prompts(n)))


def test_clips_are_forty_blocks_of_16_bit_mono(model: Checkpoint, tmp_path: Path) -> None:
    clips = rendered(model, tmp_path, RenderRequest(seconds=10, seed=1, format=SOUND_ALONE))
    for clip in clips:
        with wave.open(str(clip.path)) as file:
            assert file.getparams()[:4] == (1, 2, 44_100, 441_000)
        assert clip.n_samples == 441_000
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "clip-1-1.txt",
        "clip-1-1.wav",
        "clip-1-2.txt",
        "clip-1-2.wav",
    ]


@pytest.mark.parametrize("overlap", [0, 1000])
def test_the_roll_out_renders_the_prompt_as_it_was(tiny: Settings, corpus: Corpus, overlap: int) -> None:
    model = make_model(tiny.with_values({"overlap": overlap}), corpus)
    prompt = Prompt(corpus[0].read(0, 8 * BLOCK_SIZE), "files")
    waveform = rolled_out(model, prompt, 3, seed=0)
    assert waveform.shape == (11 * BLOCK_SIZE,)
    untouched = 8 * BLOCK_SIZE - overlap  # the end of the prompt fades into the first predicted block
    np.testing.assert_allclose(waveform[:untouched], prompt.waveform[:untouched], atol=1e-5)


def test_silence_in_and_an_untrained_model_give_the_mean(tiny: Settings, corpus: Corpus) -> None:
    """A new model predicts the mean spectrum, whatever it read: every block is the corpus's mean block."""
    model = make_model(tiny, corpus, std=0.0)
    blocks = np.concatenate([r.read(0, n_blocks_of(r.n_samples) * BLOCK_SIZE) for r in corpus]).reshape(-1, BLOCK_SIZE)
    waveform = rolled_out(model, silence(2 * BLOCK_SIZE), 2, seed=0)
    for block in waveform[2 * BLOCK_SIZE :].reshape(2, BLOCK_SIZE):
        np.testing.assert_allclose(block, blocks.mean(0), atol=1e-5)


def test_the_same_seed_gives_the_same_bytes(model: Checkpoint, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        rendered(model, tmp_path / folder, RenderRequest(seconds=2, seed=5))
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_marks_lie_where_a_person_wants_them(model: Checkpoint, tmp_path: Path) -> None:
    request = RenderRequest(seconds=1, seed=1, keep_prompt=True, format=ClipFormat(mark_blocks=True, pictures=False))
    clip = rendered(model, tmp_path, request, n=1)[0]
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
    clip = rendered(model, tmp_path, RenderRequest(seconds=1, seed=11, format=SOUND_ALONE), n=1)[0]
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
    model = make_model(tiny, corpus, std=50.0)
    peak = rendered(model, tmp_path, RenderRequest(seconds=2, seed=1, format=SOUND_ALONE), n=1)[0]
    quiet, _ = soundfile.read(peak.path)
    assert peak.gain < 0
    assert peak.n_clipped == 0
    assert np.abs(quiet).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    clip = rendered(
        model,
        tmp_path,
        RenderRequest(
            overwrite=True, seconds=2, seed=1, format=ClipFormat(level=GainPolicy(limit=False), pictures=False)
        ),
        n=1,
    )[0]
    cut, _ = soundfile.read(clip.path)
    assert clip.gain == 0
    at_full_scale = np.count_nonzero(np.abs(cut) >= 32767 / 32768)
    assert 0 < clip.n_clipped <= at_full_scale < clip.n_clipped * 1.01  # some samples fall just short of it
    np.testing.assert_allclose(cut, np.clip(quiet * 10 ** (-peak.gain / 20), -1, 32767 / 32768), atol=1e-3)


@pytest.mark.parametrize(("encoding", "step"), [("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 2**-24)])
def test_encodings_hold_the_same_sound(model: Checkpoint, tmp_path: Path, encoding: str, step: float) -> None:
    request = RenderRequest(seconds=2, seed=1, format=ClipFormat(encoding=encoding, pictures=False))
    clip = rendered(model, tmp_path, request, n=1)[0]
    assert soundfile.info(clip.path).subtype == encoding
    truth = rolled_out(model, prompts(1)[0], 8, seed=1)[2 * BLOCK_SIZE :] * 10 ** (clip.gain / 20)
    written, _ = soundfile.read(clip.path, dtype="float64")
    assert np.abs(written - truth).max() <= step


def test_a_loudness_is_met(model: Checkpoint, tmp_path: Path) -> None:
    import pyloudnorm

    clip = rendered(
        model,
        tmp_path,
        RenderRequest(seconds=10, seed=1, format=ClipFormat(level=GainPolicy(-40.0), pictures=False)),
        n=1,
    )[0]
    waveform, _ = soundfile.read(clip.path)
    assert pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(waveform) == pytest.approx(-40, abs=0.1)
    assert clip.loudness == pytest.approx(-40, abs=0.01)


def test_a_picture_shows_prompt_and_clip(model: Checkpoint, tmp_path: Path) -> None:
    import matplotlib.image

    clip = rendered(model, tmp_path, RenderRequest(seconds=2, seed=1), n=1)[0]
    picture = matplotlib.image.imread(clip.path.with_suffix(".png"))
    assert picture.shape[:2] == (600, 1200)
    crimson = np.all(np.abs(picture[..., :3] - np.array([220, 20, 60]) / 255) < 0.02, axis=-1)
    column = crimson[:, 70:1100].sum(0).argmax() + 70  # the line that ends the prompt
    assert crimson[:, column].sum() > 300
    inside = np.flatnonzero((picture[250:550, :1120, :3].max(-1) < 0.999).all(0))  # the spectrogram's columns
    share = (column - inside[0]) / (inside[-1] - inside[0])
    assert share == pytest.approx(2 / 10, abs=0.03)  # two blocks of prompt before eight of clip


@pytest.mark.parametrize("suffix", ["wav", "txt", "png"])
def test_nothing_is_overwritten_unasked(model: Checkpoint, tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"clip-0-2.{suffix}").touch()
    with pytest.raises(OutputError) as caught:
        render(model, RenderRequest(seconds=1, seed=0), tmp_path, prompts=prompts(2))
    assert str(caught.value) == f"{tmp_path / f'clip-0-2.{suffix}'}: exists already; --force overwrites"
    render(model, RenderRequest(seconds=1, seed=1), tmp_path, prompts=prompts(2))
    render(model, RenderRequest(seconds=1, seed=0, overwrite=True), tmp_path, prompts=prompts(2))


def test_a_midi_file_is_not_overwritten_where_one_would_be_written(
    model: Checkpoint, playing: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "clip-0-1.mid").touch()
    with pytest.raises(OutputError, match=r"clip-0-1\.mid: exists already"):
        render(playing, RenderRequest(seconds=1, seed=0), tmp_path, prompts=prompts(1))
    (tmp_path / "clip-0-1.png").touch()
    render(model, RenderRequest(seconds=1, seed=0, format=SOUND_ALONE), tmp_path, prompts=prompts(1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, "seed must be at least 0 and not -1"),
        ({"seed": 0, "n_clips": 0}, "clips must be at least 1 and not 0"),
        ({"seed": 0, "seconds": 0.3}, "a length must be a multiple of 0.25 s (one block), not 0.3 s"),
        (
            {"seed": 0, "sampling": Sampling(temperature=0.5)},
            "preset classic samples by no setting: it gives its one guess; leave out temperature",
        ),
        ({"seed": 0, "notes": Notes.of([])}, "preset classic reads no notes: leave out --notes"),
    ],
)
def test_what_cannot_be_rendered_is_said(
    model: Checkpoint, tmp_path: Path, values: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        render(model, RenderRequest(**values), tmp_path, prompts=prompts(1))  # type: ignore[arg-type]
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


GIVEN = Notes.of([(0.1, 0.4, 60, 64), (0.6, 9.0, 64, 100), (1.9, 2.4, 67, 30), (2.1, 2.5, 50, 64)])


@pytest.mark.parametrize("keep_prompt", [False, True])
def test_notes_lie_beside_the_clip_at_the_times_of_its_sound(
    playing: Checkpoint, tmp_path: Path, keep_prompt: bool
) -> None:
    """Of a clip of two seconds; a note of its prompt is the clip's where the prompt is kept. MIDI rounds to 0.6 ms."""
    prompt = Prompt(
        silence(2 * BLOCK_SIZE).waveform, "silence", notes=Notes.of([(-1.0, 0.2, 40, 64), (0.25, 0.4, 45, 80)])
    )
    request = RenderRequest(seconds=2, seed=1, notes=GIVEN, keep_prompt=keep_prompt, format=SOUND_ALONE)
    (clip,) = render(playing, request, tmp_path, prompts=[prompt])
    later = 0.5 if keep_prompt else 0.0
    expected = [(on + later, min(off, 2.0) + later, p, v) for on, off, p, v in GIVEN.table.tolist() if on < 2.0]
    expected = ([(0.25, 0.4, 45, 80)] if keep_prompt else []) + expected
    found = Notes.of_performance(read_midi(clip.path.with_suffix(".mid")))
    np.testing.assert_allclose(found.table, expected, atol=6e-4)
    assert {file.suffix for file in tmp_path.iterdir()} == {".wav", ".txt", ".mid"}
    assert clip.n_samples == (8 + 2 * keep_prompt) * BLOCK_SIZE


def test_a_clip_in_which_nothing_is_played_has_an_empty_midi_file(playing: Checkpoint, tmp_path: Path) -> None:
    request = RenderRequest(seconds=1, seed=1, notes=Notes.of([]), format=SOUND_ALONE)
    (clip,) = render(playing, request, tmp_path, prompts=[silence(2 * BLOCK_SIZE)])
    assert clip.path.with_suffix(".mid").read_bytes().startswith(b"MThd")


def test_the_notes_of_each_clip_are_its_own(playing: Checkpoint, tmp_path: Path) -> None:
    """As the session gives them for each row; velocities as MIDI has them, whole numbers."""
    request = RenderRequest(seconds=3, seed=1, format=SOUND_ALONE)
    clips = list(render(playing, request, tmp_path, prompts=[silence(2 * BLOCK_SIZE)] * 3))
    session = Session(playing.model, playing.codec)
    session.prime([silence(2 * BLOCK_SIZE)] * 3, seed=derive_seed(1, 0))
    parts = list(session.stream(12))
    for n, clip in enumerate(clips):
        played = Notes.of(row for part in parts for row in part.notes[n].table.tolist())
        found = Notes.of_performance(read_midi(clip.path.with_suffix(".mid")))
        assert found.pitches.tolist() == played.pitches.tolist()
        np.testing.assert_allclose(found.onsets, played.onsets, atol=6e-4)
        np.testing.assert_allclose(found.velocities, played.velocities, atol=0.5)
        assert found.seconds <= 3.0 + 0.02  # what a note lasts at least in a MIDI file


def test_an_interrupted_rendering_leaves_nothing(model: Checkpoint, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(render(model, RenderRequest(seconds=1, seed=0), tmp_path, prompts=prompts(1), advanced=stop))
    assert list(tmp_path.iterdir()) == []
