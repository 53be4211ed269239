import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pipeline.checkpoint import Excerpt
from pipeline.errors import SettingsError
from pipeline.prompts import NOISE_PEAK, FilePart, from_files, held_out, noise, silence
from pipeline.training.pieces import EXCERPT_BLOCKS, N_EXCERPTS, Piece, choose_excerpts
from tests.conftest import noise as noise_of
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.errors import AudioError
from waveforms.notes.events import Notes

NOTES = Notes.of([(-0.05, 0.2, 60, 64), (0.1, 1.6, 62, 64), (0.7, 0.8, 64, 64), (1.45, 9.0, 66, 64)])


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """A file whose samples tell where they are from."""
    path = tmp_path / "a*b@1.wav"
    soundfile.write(path, np.arange(10 * BLOCK_SIZE) / 2**18, SAMPLE_RATE, subtype="FLOAT")
    return path


def test_excerpts_come_from_every_held_out_recording(corpus: Corpus) -> None:
    excerpts = choose_excerpts([Piece(recording.name, BLOCK_SIZE, None, recording) for recording in corpus])
    assert len(excerpts) <= N_EXCERPTS
    assert {p.source for p in excerpts} == {r.name for r in corpus}
    for excerpt in excerpts:
        recording = corpus[excerpt.source]
        assert len(excerpt.samples) % BLOCK_SIZE == 0
        assert 0 < len(excerpt.samples) <= EXCERPT_BLOCKS * BLOCK_SIZE
        start = round(excerpt.seconds * SAMPLE_RATE)
        truth = recording.read(start, start + len(excerpt.samples))
        np.testing.assert_allclose(excerpt.samples.numpy() / 32768, truth, atol=1 / 65536)


def test_excerpts_have_the_notes_that_sound_in_them(record: Callable[..., Path]) -> None:
    """Of 50 s two excerpts of 20, from the beginning and from 25 s on; notes that began before as well."""
    recording = Corpus.open(record("long.wav", noise_of(50 * SAMPLE_RATE)).parent)[0]
    notes = Notes.of([(1.0, 2.0, 60, 64), (19.0, 27.0, 61, 64), (24.0, 24.9, 62, 64), (44.9, 46.0, 63, 64)])
    first, second = choose_excerpts([Piece("long.wav", BLOCK_SIZE, notes, recording)])
    assert (first.seconds, second.seconds) == (0.0, 25.0)
    np.testing.assert_allclose(first.notes.table, [[1.0, 2.0, 60, 64], [19.0, 27.0, 61, 64]])
    np.testing.assert_allclose(second.notes.table, [[-6.0, 2.0, 61, 64], [19.9, 21.0, 63, 64]])


def test_of_many_recordings_excerpts_come_from_all_over(tmp_path: Path) -> None:
    for n in range(20):
        soundfile.write(tmp_path / f"{n:02}.wav", 0.1 * np.sin(np.arange(4 * BLOCK_SIZE) / (10 + n)), SAMPLE_RATE)
    pieces = [Piece(recording.name, BLOCK_SIZE, None, recording) for recording in Corpus.open(tmp_path)]
    numbers = [int(excerpt.source[:2]) for excerpt in choose_excerpts(pieces)]
    assert len(numbers) == N_EXCERPTS
    assert set(np.diff(numbers)) == {2, 3}
    assert (numbers[0], numbers[-1]) == (1, 18)


def test_a_held_out_prompt_is_an_excerpt_at_its_place() -> None:
    samples = torch.arange(8 * BLOCK_SIZE).remainder(30_000).to(torch.int16)
    excerpt = Excerpt("aria.wav", 10.0, samples, NOTES)
    rng = np.random.default_rng(0)
    starts = set()
    for _ in range(60):
        prompt = held_out([excerpt], 3, BLOCK_SIZE, rng)
        assert prompt.waveform.shape == (3 * BLOCK_SIZE,)
        (part,) = prompt.parts
        assert (prompt.kind, part.recording, part.stop) == ("held-out", "aria.wav", part.start + 0.75)
        assert prompt.source == f"aria.wav @ {part.start:g} s (held out)"
        start = round((part.start - 10) * SAMPLE_RATE)
        starts.add(start // BLOCK_SIZE)
        expected = [row for row in NOTES.table.tolist() if row[0] < part.stop - 10 and row[1] > part.start - 10]
        assert prompt.notes is not None
        shift = np.array([part.start - 10, part.start - 10, 0, 0])
        np.testing.assert_allclose(prompt.notes.table, np.array(expected).reshape(-1, 4) - shift)
        assert np.array_equal(prompt.waveform, samples[start : start + 3 * BLOCK_SIZE].numpy() / np.float32(32768))
    assert starts == {0, 1, 2, 3, 4, 5}


def test_an_excerpt_that_is_too_short_begins_in_silence() -> None:
    prompt = held_out(
        [Excerpt("a.wav", 0.0, torch.ones(BLOCK_SIZE, dtype=torch.int16), NOTES.between(-1, 0.25))],
        3,
        BLOCK_SIZE,
        np.random.default_rng(0),
    )
    assert not prompt.waveform[: 2 * BLOCK_SIZE].any()
    assert prompt.waveform[2 * BLOCK_SIZE :].all()
    assert prompt.notes is not None
    np.testing.assert_allclose(prompt.notes.onsets, [0.45, 0.6])  # half a second later, as the sound is


def test_without_excerpts_a_file_is_asked_for() -> None:
    with pytest.raises(SettingsError, match=r"^this checkpoint carries no prompts: name one with --prompt FILE$"):
        held_out([], 3, BLOCK_SIZE, np.random.default_rng(0))


def test_a_file_from_some_second_on(ramp: Path) -> None:
    prompt = from_files([FilePart(ramp, 0.5)], 4, BLOCK_SIZE)
    np.testing.assert_allclose(prompt.waveform * 2**18, np.arange(22050, 22050 + 4 * BLOCK_SIZE), atol=0.1)
    assert prompt.source == "a*b@1.wav @ 0.5 s"
    assert prompt.to_json() == {
        "kind": "files",
        "parts": [{"recording": "a*b@1.wav", "start": 0.5, "stop": 1.5, "weight": 1.0}],
    }


def test_a_prompt_knows_where_it_ends_in_its_recording(ramp: Path) -> None:
    """The file ends after two blocks of four, so there is silence before it."""
    prompt = from_files([FilePart(ramp, 2.0)], 4, BLOCK_SIZE)
    assert not prompt.waveform[: 2 * BLOCK_SIZE].any()
    assert [(part.start, part.stop) for part in prompt.parts] == [(2.0, 2.5)]


def test_places_are_kept_to_the_sample() -> None:
    """Six digits would be ten seconds in a recording of twelve days."""
    excerpt = Excerpt("aria.wav", 1_000_000.25, torch.ones(BLOCK_SIZE, dtype=torch.int16), NOTES)
    prompt = held_out([excerpt], 1, BLOCK_SIZE, np.random.default_rng(0))
    assert json.loads(json.dumps(prompt.to_json()))["parts"][0]["start"] == 1_000_000.25
    assert prompt.source == "aria.wav @ 1000000.25 s (held out)"


def test_a_mix_is_the_weighted_sum(ramp: Path) -> None:
    one, other = (
        from_files([FilePart(ramp, 0)], 2, BLOCK_SIZE).waveform,
        from_files([FilePart(ramp, 1)], 2, BLOCK_SIZE).waveform,
    )
    mix = from_files([FilePart(ramp, 0, 0.75), FilePart(ramp, 1, -0.5)], 2, BLOCK_SIZE)
    np.testing.assert_allclose(mix.waveform, 0.75 * one - 0.5 * other, atol=1e-6)
    assert mix.source == "a*b@1.wav @ 0 s * 0.75 + a*b@1.wav @ 1 s * -0.5"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a.wav", FilePart(Path("a.wav"))),
        ("a.wav@3", FilePart(Path("a.wav"), 3)),
        ("a.wav@3.25*0.5", FilePart(Path("a.wav"), 3.25, 0.5)),
        ("dir/a b.flac*-2", FilePart(Path("dir/a b.flac"), 0, -2)),
        ("a@home.wav", FilePart(Path("a@home.wav"))),
    ],
)
def test_parts_are_read(text: str, part: FilePart) -> None:
    assert FilePart.parse(text) == part


def test_a_name_that_looks_like_a_place_is_a_name_if_there_is_such_a_file(ramp: Path) -> None:
    odd = ramp.rename(ramp.with_name("take@2"))
    assert FilePart.parse(str(odd)) == FilePart(odd)


def test_a_prompt_beyond_the_end_is_refused(ramp: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        from_files([FilePart(ramp, 2.4)], 2, BLOCK_SIZE)
    assert str(caught.value) == f"{ramp}: a prompt must begin between 0 and 2.25 s and not at 2.4 s"
    with pytest.raises(AudioError, match="missing: no such file"):
        from_files([FilePart(ramp.with_name("no.wav"))], 2, BLOCK_SIZE)


def test_noise_is_uniform_and_silence_silent() -> None:
    waveform = noise(8 * BLOCK_SIZE, np.random.default_rng(0)).waveform
    assert np.abs(waveform).max() <= NOISE_PEAK
    assert waveform.std() == pytest.approx(NOISE_PEAK / 3**0.5, rel=0.01)
    assert abs(np.corrcoef(waveform[:-1], waveform[1:])[0, 1]) < 0.01
    assert not silence(3 * BLOCK_SIZE).waveform.any()
    assert len(silence(3 * BLOCK_SIZE).waveform) == 3 * BLOCK_SIZE
