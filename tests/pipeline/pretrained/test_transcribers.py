"""Transcribers against known notes and the published program; notes of frames made by hand.

What the published program answers was computed with basic-pitch 0.4.0 on onnxruntime 1.31.1.
"""

import sys
import types
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from pipeline.errors import EvaluationError
from pipeline.pretrained.basic_pitch import BINS_PER_SEMITONE, N_FRAMES, N_SAMPLES, ConstantQ
from pipeline.pretrained.transcribers import Quick, Thorough, load_transcribers, notes_of
from waveforms import SAMPLE_RATE
from waveforms.notes.events import Notes
from waveforms.notes.performance import Note, Performance
from waveforms.piano.render import render
from waveforms.piano.steinway import Steinway

SCALE = (0, 2, 4, 5, 7, 9, 11, 12)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Quick:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTERWAVE_CACHE", str(tmp_path_factory.mktemp("weights")))
        quick = load_transcribers()["quick"]
        assert isinstance(quick, Quick)
        return quick


@pytest.fixture(scope="module")
def melody() -> tuple[list[Note], np.ndarray]:
    """Twenty seconds of scales in two voices on the sampled piano, first softly and then loudly."""
    notes = []
    for n in range(60):
        velocity = 45 if n < 30 else 90
        notes.append(Note(0.5 + 0.3 * n, 0.28, 60 + SCALE[n % 8], velocity))
        if n % 4 == 0:
            notes.append(Note(0.5 + 0.3 * n, 1.1, 45 + SCALE[n // 4 % 8], velocity))
    return notes, render(Performance("scales", tuple(sorted(notes))), Steinway())


def f1(notes: list[Note], found: Notes) -> float:
    """F1 of the onsets, each note found by one at most of its pitch within 50 ms."""
    left = list(zip(found.onsets.tolist(), found.pitches.tolist(), strict=True))
    n_found = 0
    for note in notes:
        near = [one for one in left if one[1] == note.pitch and abs(one[0] - note.onset) <= 0.05]
        if near:
            left.remove(near[0])
            n_found += 1
    return 2 * n_found / (len(notes) + len(found))


def tones() -> np.ndarray:
    """Four decaying tones of six partials in a window, 0.4 s apart, float32 (N_SAMPLES,)."""
    time = np.arange(N_SAMPLES) / 22_050
    waveform = np.zeros_like(time)
    for n, frequency in enumerate([261.63, 329.63, 392.0, 523.25]):
        since = np.clip(time - 0.1 - 0.4 * n, 0, None)
        for partial in range(1, 7):
            tone = np.sin(2 * np.pi * partial * frequency * since) * np.exp(-(2 + partial) * since)
            waveform += (since > 0) * 0.15 / partial * tone
    return waveform.astype(np.float32)


def test_network_answers_as_the_published_program_does(quick: Quick) -> None:
    with torch.inference_mode():
        answer = quick.network(torch.from_numpy(tones()).unsqueeze(0))[0].numpy()
    assert answer.shape == (N_FRAMES, 3, 88)
    keys, onsets = [39, 43, 46, 51], [9, 43, 78, 112]
    sounds = [
        [0.861421, 0.101809, 0.093153, 0.266173],
        [0.816131, 0.842265, 0.096068, 0.11112],
        [0.564306, 0.736693, 0.816051, 0.091163],
        [0.338457, 0.354664, 0.676399, 0.824257],
    ]
    begins = [
        [0.924417, 0.160775, 0.104241, 0.626246],
        [0.733789, 0.961212, 0.193578, 0.124458],
        [0.584574, 0.82876, 0.923763, 0.085378],
        [0.492279, 0.363797, 0.629716, 0.947467],
    ]
    assert answer[[n + 5 for n in onsets], 0][:, keys] == pytest.approx(np.array(sounds), abs=1e-4)
    assert answer[onsets, 1][:, keys] == pytest.approx(np.array(begins), abs=1e-4)
    assert [answer[:, n].mean() for n in (0, 1)] == pytest.approx([0.118818, 0.096084], abs=1e-4)


@pytest.mark.parametrize("semitones", [12, 45, 90])
def test_constant_q_finds_a_tone_in_its_bin(semitones: int) -> None:
    frequency = 27.5 * 2 ** (semitones / 12)
    tone = torch.sin(2 * torch.pi * frequency / 22_050 * torch.arange(N_SAMPLES, dtype=torch.float64)).float()
    power = ConstantQ()(tone.unsqueeze(0))[0, 60:110].mean(0)
    assert int(power.argmax()) == BINS_PER_SEMITONE * semitones


def test_known_notes_are_found(quick: Quick, melody: tuple[list[Note], np.ndarray]) -> None:
    notes, waveform = melody
    found = quick.transcribe(waveform)
    assert f1(notes, found) >= 0.9
    assert (np.diff(found.onsets) >= 0).all()
    assert (found.offsets > found.onsets).all()
    assert found.offsets.max() <= len(waveform) / SAMPLE_RATE


def test_other_notes_are_not_those(quick: Quick, melody: tuple[list[Note], np.ndarray]) -> None:
    notes, waveform = melody
    found = quick.transcribe(waveform)
    late = [Note(note.onset + 0.15, note.duration, note.pitch, 64) for note in notes]
    sharp = [Note(note.onset, note.duration, note.pitch + 1, 64) for note in notes]
    assert f1(late, found) < 0.1
    assert f1(sharp, found) < 0.3  # a scale has semitones, and partials


def test_loud_notes_have_greater_velocities(quick: Quick, melody: tuple[list[Note], np.ndarray]) -> None:
    found = quick.transcribe(melody[1])
    soft, loud = found.velocities[found.onsets < 9.4], found.velocities[found.onsets > 9.4]
    assert np.median(loud) - np.median(soft) == pytest.approx(45, abs=15)
    assert found.velocities.min() >= 1
    assert found.velocities.max() <= 127


def test_what_is_no_piano_has_hardly_a_note(quick: Quick) -> None:
    rng, n_samples = np.random.default_rng(0), 10 * SAMPLE_RATE
    sounds = {
        "noise": rng.normal(0, 0.1, n_samples),
        "faint noise": rng.normal(0, 1e-5, n_samples),
        "rumble": np.cumsum(rng.normal(0, 1e-3, n_samples)),
        "a click": np.eye(1, n_samples, n_samples // 2)[0],
        "silence": np.zeros(n_samples),
        "a moment": rng.normal(0, 0.1, 16),
    }
    found = {name: len(quick.transcribe(sound.astype(np.float32))) for name, sound in sounds.items()}
    assert max(found.values()) <= 2, found


@pytest.mark.parametrize("seconds", [1.5, 1.64, 1.7, 3.3])
def test_the_end_is_found_wherever_windows_end(quick: Quick, seconds: float) -> None:
    last = Note(seconds - 0.3, 0.3, 64, 80)
    waveform = render(Performance("end", (Note(0.1, 0.5, 60, 80), last)), Steinway())
    found = quick.transcribe(waveform[: round(seconds * SAMPLE_RATE)])
    assert f1([Note(0.1, 0.5, 60, 80), last], found) == 1.0


def test_a_note_at_the_very_beginning_is_found(quick: Quick) -> None:
    notes = [Note(0.0, 0.4, 60, 70), Note(0.5, 0.4, 64, 70)]
    assert f1(notes, quick.transcribe(render(Performance("now", tuple(notes)), Steinway()))) == 1.0


@pytest.mark.parametrize("bad", [[0.0, np.inf], [0.0, np.nan], []])
def test_waveforms_must_have_samples_and_finite_ones(quick: Quick, bad: list[float]) -> None:
    for transcriber in (quick, Thorough(Model())):
        with pytest.raises(
            EvaluationError, match=r"^a waveform must have samples, and finite ones, to be transcribed$"
        ):
            transcriber.transcribe(np.array(bad, np.float32))


def frames(n_frames: int, *notes: tuple[int, int, int]) -> np.ndarray:
    """Frames of notes (start, stop, key): sounding at 0.8, begun at 0.9, of power 1."""
    made = np.zeros((n_frames, 3, 88), np.float32)
    for start, stop, key in notes:
        made[start:stop, 0, key] = 0.8
        made[start : start + 2, 1, key] = (0.9, 0.7)
        made[start:stop, 2, key] = 1.0
    return made


def test_a_note_lasts_until_its_key_is_quiet_for_long() -> None:
    made = frames(300, (50, 150, 40))
    made[80:90, 0, 40] = 0.0
    assert list(notes_of(made)) == [(50, 150, 40, 1.0)]
    made[80:91, 0, 40] = 0.0  # the 11th quiet frame ends it
    assert list(notes_of(made)) == [(50, 80, 40, 1.0)]


def test_a_second_onset_begins_a_second_note() -> None:
    made = frames(300, (50, 150, 40), (100, 150, 40))
    assert sorted(note[:2] for note in notes_of(made)) == [(50, 100), (100, 150)]


def test_short_notes_are_none() -> None:
    assert list(notes_of(frames(100, (50, 58, 40)))) == []
    assert [note[1] for note in notes_of(frames(100, (50, 59, 40)))] == [59]


def test_neighbours_sound_along_with_a_note() -> None:
    made = frames(300, (50, 150, 40))
    made[50:52, 1, 41] = made[50:52, 1, 43] = (0.9, 0.7)
    made[50:150, 0, [39, 41, 43]] = 0.5  # the last of them no neighbour
    assert [key for _, _, key, _ in notes_of(made)] == [43, 41]  # and 41 takes what sounds on 40


def test_nothing_has_no_notes() -> None:
    assert [list(notes_of(frames(n))) for n in range(4)] == [[]] * 4


def test_what_sounds_beyond_the_end_is_cut_off() -> None:
    rows = [(1.0, 3.0, 60, 70.0), (0.5, 0.9, 72, 50.0), (2.0, 2.1, 65, 60.0)]
    found = Thorough(Model(rows)).transcribe(np.zeros(2 * SAMPLE_RATE, np.float32))
    assert found.onsets.tolist() == [0.5, 1.0]
    assert found.offsets.tolist() == [0.9, 2.0]
    assert found.pitches.tolist() == [72, 60]
    assert found.velocities.tolist() == [50.0, 70.0]


class Model:
    """In the place of transkun's."""

    fs = SAMPLE_RATE

    def __init__(self, rows: Sequence[tuple[float, float, int, float]] = ()) -> None:
        self._rows = rows

    def transcribe(self, waveform: torch.Tensor) -> list[types.SimpleNamespace]:
        assert waveform.shape[1] == 1
        return [
            types.SimpleNamespace(**dict(zip(("start", "end", "pitch", "velocity"), row, strict=True)))
            for row in self._rows
        ]


def test_thorough_finds_notes_and_no_pedals() -> None:
    rows = [(0.5, 2.0, 60, 80.0), (0.1, 0.4, 64, 70.0), (0.0, 0.9, -64, 127.0)]
    found = Thorough(Model(rows)).transcribe(np.zeros(SAMPLE_RATE, np.float32))
    assert found.pitches.tolist() == [64, 60]
    assert found.offsets.tolist() == [0.4, 1.0]
    assert found.velocities.tolist() == [70.0, 80.0]


def test_thorough_comes_beside_quick(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.pretrained.transcribers.load_basic_pitch", lambda: quick.network)
    monkeypatch.setattr("pipeline.pretrained.transcribers.load_thorough", lambda: Thorough(Model()))
    assert list(load_transcribers()) == ["quick"]
    both = load_transcribers(thorough=True)
    assert {name: each.name for name, each in both.items()} == {"quick": "basic-pitch", "thorough": "transkun"}


def test_thorough_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transkun", None)
    monkeypatch.setitem(sys.modules, "transkun.ModelTransformer", None)
    advice = r"install it with `pip install --no-deps transkun==.* which is what `make thorough` does"
    with pytest.raises(EvaluationError, match=rf"the thorough transcriber is the package transkun \(.*\); {advice}"):
        load_transcribers(thorough=True)


def test_thorough_wants_the_version_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("transkun")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "transkun", package)
    monkeypatch.setitem(sys.modules, "transkun.ModelTransformer", types.ModuleType("transkun.ModelTransformer"))
    with pytest.raises(EvaluationError, match=r"the package transkun must be version 2\.0\.1"):
        load_transcribers(thorough=True)
