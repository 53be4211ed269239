"""The one engine of roll-outs."""

import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.codecs import make_codec
from pipeline.codecs.piano import LONGEST_NOTE, PianoCodec
from pipeline.config import PRESETS
from pipeline.errors import SettingsError
from pipeline.models import Model, make_model
from pipeline.prompts import Prompt, noise, silence
from pipeline.session import Chunk, Session, arithmetic
from tests.pipeline.codecs.strings import planted
from tests.pipeline.conftest import TINY, TINY_FLOW, melody, melody_notes
from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.events import Notes

N_PROMPT = 4  # blocks


def made(preset: str) -> tuple[Model, object]:
    """An untrained model that is not silent, and its codec; the piano's plays strings that are known."""
    settings = PRESETS[preset].with_values(TINY_FLOW if preset == "flow" else TINY)
    torch.manual_seed(0)
    codec = make_codec(settings.codec)
    if isinstance(codec, PianoCodec):
        codec.instrument.load_state_dict(planted().state_dict())
    model = make_model(settings, codec)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return model, codec


@pytest.fixture(params=["flow", "classic"])
def session(request: pytest.FixtureRequest) -> Session:
    return Session(*made(request.param))  # type: ignore[arg-type]


@pytest.fixture
def flow() -> Session:
    return Session(*made("flow"))  # type: ignore[arg-type]


def prompts(n: int = 2, n_blocks: int = N_PROMPT) -> list[Prompt]:
    """Melodies whose notes are known."""
    seconds = n_blocks / 4
    return [Prompt(melody(seed, seconds), "files", notes=melody_notes(seed, seconds)) for seed in range(n)]


def joined(parts: Sequence[Chunk] | Iterator[Chunk]) -> Tensor:
    return torch.cat([part.samples for part in parts], dim=-1)


def notes_of(parts: Sequence[Chunk]) -> list[Notes]:
    """Of the first row, part by part."""
    return [part.notes[0] for part in parts]


@pytest.mark.parametrize(("n_prompt", "n_blocks"), [(1, 3), (4, 0), (70, 2)])
def test_a_stream_is_the_prompt_and_as_many_blocks(session: Session, n_prompt: int, n_blocks: int) -> None:
    """Also of a prompt that is decoded in two chunks."""
    session.prime([silence(n_prompt * BLOCK_SIZE)] * 2, seed=0)
    parts = list(session.stream(n_blocks, with_prompt=True))
    assert {len(part.notes) for part in parts} == {2}
    waveform = joined(parts)
    assert waveform.shape == (2, (n_prompt + n_blocks) * BLOCK_SIZE)
    assert waveform.isfinite().all()


def test_the_classic_prompt_is_rendered_as_it_was() -> None:
    session = Session(*made("classic"))  # type: ignore[arg-type]
    session.prime(prompts(), seed=0)
    waveform = joined(session.stream(2, with_prompt=True))[:, : N_PROMPT * BLOCK_SIZE].numpy()
    np.testing.assert_allclose(waveform, [prompt.waveform for prompt in prompts()], atol=1e-5)


def test_the_same_seed_gives_the_same_samples(flow: Session) -> None:
    waveforms = []
    for seed in (1, 1, 2):
        flow.prime(prompts(), seed=seed)
        waveforms.append(joined(flow.stream(3, with_prompt=True)))
    assert torch.equal(waveforms[0], waveforms[1])
    assert not torch.equal(waveforms[0], waveforms[2])


def test_of_a_longer_roll_out_the_shorter_is_the_beginning(session: Session) -> None:
    """What is decided part by part does not depend on how long it goes on."""
    parts = []
    for n_blocks in (3, 6):
        session.prime(prompts(), seed=1)
        parts.append(list(session.stream(n_blocks, with_prompt=True)))
    for short, long in zip(parts[0][:-1], parts[1], strict=False):
        assert torch.equal(short.samples, long.samples)


def test_a_prompt_is_rendered_once(session: Session) -> None:
    """A second stream would begin in the middle: who goes on asks for more blocks, or for all of them."""
    with pytest.raises(AssertionError, match="prime comes first"):
        next(session.stream(1, with_prompt=True))
    session.prime(prompts(), seed=0)
    joined(session.stream(1, with_prompt=True))
    with pytest.raises(AssertionError, match="a prompt is rendered once"):
        next(session.stream(1, with_prompt=True))


def test_priming_again_forgets_all_that_was(session: Session) -> None:
    session.prime(prompts(), seed=3)
    first = joined(session.stream(3, with_prompt=True))
    session.prime([noise(N_PROMPT * BLOCK_SIZE, np.random.default_rng(0))] * 2, seed=9)
    list(islice(session.stream(5, with_prompt=True), 4))
    session.prime(prompts(), seed=3)
    assert torch.equal(joined(session.stream(3, with_prompt=True)), first)
    session.reset()
    with pytest.raises(AssertionError, match="prime comes first"):
        next(session.stream(1, with_prompt=True))


def test_a_change_acts_from_the_next_block_on(flow: Session) -> None:
    """Blocks of sound are decided later than they are sampled, notes at once."""

    def rolled_out(change_after: int) -> list[Chunk]:
        flow.change(temperature=1.0, sound_temperature=1.0)
        flow.prime(prompts(1), seed=1)
        parts = []
        for n, part in enumerate(flow.stream(8, with_prompt=True)):
            parts.append(part)
            if n == change_after:
                flow.change(temperature=0.0, sound_temperature=0.0)
        return parts

    unchanged, changed = rolled_out(99), rolled_out(3)
    for one, other in zip(unchanged[:4], changed[:4], strict=True):
        assert torch.equal(one.samples, other.samples)
    assert not torch.equal(joined(unchanged[4:]), joined(changed[4:]))
    alike = [
        np.array_equal(one.table, other.table)
        for one, other in zip(notes_of(unchanged), notes_of(changed), strict=True)
    ]
    assert all(alike[:4])
    assert not all(alike[4:])
    assert flow.sampling.sound_temperature == 0.0


def test_what_is_not_legal_is_refused_and_changes_nothing(flow: Session) -> None:
    with pytest.raises(SettingsError, match="temperature must be between 0 and 2 and not 3"):
        flow.change(temperature=3.0)
    assert flow.sampling.temperature == 1.0


def test_a_stream_without_end_goes_on_until_it_is_cancelled(session: Session) -> None:
    session.prime(prompts(), seed=0)
    parts = []
    for part in session.stream(None, with_prompt=True):
        parts.append(part)
        if len(parts) == 5:
            session.cancel()
    assert joined(parts).shape == (2, (N_PROMPT + 5) * BLOCK_SIZE)


def test_of_torchs_threads_half_decode_and_all_are_given_back(flow: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a stream is left in the middle."""
    decoding: list[tuple[str, int]] = []
    push = flow._push

    def watched(*args: Any, **kwargs: Any) -> Tensor:
        decoding.append((threading.current_thread().name, torch.get_num_threads()))
        return push(*args, **kwargs)

    monkeypatch.setattr(flow, "_push", watched)
    before = torch.get_num_threads()
    try:
        for n_threads, n_beside in ((3, 1), (1, 1)):
            torch.set_num_threads(n_threads)
            flow.prime(prompts(1), seed=0)
            stream = flow.stream(4)
            next(stream), next(stream)
            assert torch.get_num_threads() == n_threads - (n_beside if n_threads > 1 else 0)
            stream.close()  # type: ignore[attr-defined]
            assert torch.get_num_threads() == n_threads
            assert {n for _, n in decoding} == {n_beside}
            assert all((name == threading.current_thread().name) == (n_threads == 1) for name, _ in decoding)
            decoding.clear()
    finally:
        torch.set_num_threads(before)


def test_memory_does_not_grow(flow: Session) -> None:
    """Of eight notes a second those are kept that may still sound; the state and the open frames keep their sizes."""
    given = Notes.of((n / 8, n / 8 + 0.2, 40 + n % 24, 64) for n in range(8 * 25))
    flow.prime([silence(1 * BLOCK_SIZE)], seed=0)
    sizes = []
    for n, _ in enumerate(flow.stream(4 * 25, [given], with_prompt=True)):
        decoder = flow._decoder
        kept = len(decoder._notes[0])  # type: ignore[union-attr]
        n_open = decoder._recovery._open.numel()  # type: ignore[union-attr]
        assert kept <= 8 * (LONGEST_NOTE + 0.25)
        if n in (70, 90):
            sizes.append((kept, n_open, sum(value.numel() for value in flow._state if isinstance(value, Tensor))))
    assert sizes[0] == sizes[1]
    assert sizes[0][0] > 50


def onsets_in(waveform: np.ndarray) -> list[float]:
    """When the energy of 5 ms rises to thirty times what it was 20 ms before, and is measured, in seconds."""
    size = SAMPLE_RATE // 200
    energy = np.square(waveform[: len(waveform) // size * size]).reshape(-1, size).mean(1) + 1e-9
    rises = np.flatnonzero((energy[4:] > 30 * energy[:-4]) & (energy[4:] > 0.02 * energy.max())) + 4
    return [rises[n] / 200 for n in range(len(rises)) if n == 0 or rises[n] - rises[n - 1] > 8]


def test_given_notes_sound_at_their_times_and_pitches(flow: Session) -> None:
    """After a prompt of silence, and one on the border of two blocks; to 30 ms, what a frame's window reaches."""
    given = Notes.of([(0.4, 0.6, 69, 100.0), (1.25, 1.5, 76, 100.0), (1.99, 2.4, 57, 100.0)])
    flow.change(sound_temperature=0.0)
    flow._codec.scale.fill_(1e-3)  # type: ignore[operator]  # the residual of an untrained model is noise
    flow.prime([silence(2 * BLOCK_SIZE)], seed=0)
    parts = list(flow.stream(12, [given], with_prompt=True))
    waveform = joined(parts)[0, 2 * BLOCK_SIZE :].numpy()
    assert onsets_in(waveform) == pytest.approx(given.onsets.tolist(), abs=0.03)
    for onset, pitch in zip(given.onsets, given.pitches, strict=True):
        start = round((onset + 0.03) * SAMPLE_RATE)
        spectrum = np.abs(np.fft.rfft(waveform[start : start + 8192] * np.hanning(8192)))
        loudest = np.argmax(spectrum) * SAMPLE_RATE / 8192
        assert loudest == pytest.approx(440 * 2 ** ((pitch - 69) / 12), rel=0.06)
    played = np.concatenate([notes.table for notes in notes_of(parts)])
    np.testing.assert_allclose(played, given.table, atol=1e-9)


def test_each_row_plays_its_own_notes(flow: Session) -> None:
    rows = [Notes.of([(0.1, 0.5, 60, 64.0)]), Notes.of([]), Notes.of([(0.6, 0.8, 62, 64.0)])]
    flow.prime([silence(1 * BLOCK_SIZE)] * 3, seed=0)
    parts = list(flow.stream(4, rows, with_prompt=True))
    for n, row in enumerate(rows):
        played = np.concatenate([part.notes[n].table for part in parts])
        np.testing.assert_allclose(played, row.table, atol=1e-9)


def test_a_models_notes_are_prescribed_from_where_the_prompt_ends(flow: Session) -> None:
    flow.prime(prompts(1), seed=0)
    parts = list(flow.stream(6, with_prompt=True))
    for n, notes in enumerate(notes_of(parts)[:6]):  # the prompt's own are known to who gave it
        assert np.all((notes.onsets >= 0.25 * n - 1e-9) & (notes.onsets < 0.25 * (n + 1)))
    assert sum(map(len, notes_of(parts))) > 0


def test_unknown_notes_of_a_prompt_are_transcribed(flow: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    transcribed: list[np.ndarray] = []

    def transcribe(waveform: np.ndarray) -> Notes:
        transcribed.append(waveform)
        return melody_notes(1, 1.0)

    monkeypatch.setattr("pipeline.session.transcribe", transcribe)
    monkeypatch.setattr(flow._codec, "refine", lambda waveform, notes, profile: notes)
    known, other = prompts()
    unknown = Prompt(other.waveform, "files")
    flow.prime([known, unknown], seed=0)
    waveforms = [joined(flow.stream(2, with_prompt=True))]
    assert [each is other.waveform for each in transcribed] == [True]
    flow.prime([known, other], seed=0)
    waveforms.append(joined(flow.stream(2, with_prompt=True)))
    assert len(transcribed) == 1
    assert torch.equal(*waveforms)


@pytest.mark.parametrize(("faster", "expected"), [(True, "int8"), (False, "float32")])
def test_eight_bits_are_for_processors_that_multiply_them(
    monkeypatch: pytest.MonkeyPatch, faster: bool, expected: str
) -> None:
    monkeypatch.setattr("pipeline.session.is_faster", lambda: faster)
    model, codec = made("classic")
    session = Session(model, codec)  # type: ignore[arg-type]
    assert arithmetic("cpu") == expected
    assert (session._model is model) is not faster
    assert not session._model.training
    assert arithmetic("cuda") == "float32"
