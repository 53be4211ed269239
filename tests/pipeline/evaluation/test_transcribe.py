"""Transcribers against known notes and the published program; tracking on frames made by hand.

What the published program answers was computed with basic-pitch 0.4.0 on onnxruntime 1.31.1.
"""

import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation import EvaluationError, tracking
from pipeline.evaluation.basic_pitch import BINS_PER_SEMITONE, N_FRAMES, N_SAMPLES, ConstantQ
from pipeline.evaluation.tracking import PIANO, PUBLISHED, Tracked, track
from pipeline.evaluation.transcribers import Quick, Thorough, Transcription, load_transcribers
from waveforms import SAMPLE_RATE
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


def f1(notes: list[Note], heard: Transcription) -> float:
    """F1 of the onsets, each note found by one at most of its pitch within 50 ms."""
    left = list(zip(heard.onsets.tolist(), heard.pitches.tolist(), strict=True))
    n_found = 0
    for note in notes:
        near = [one for one in left if one[1] == note.pitch and abs(one[0] - note.onset) <= 0.05]
        if near:
            left.remove(near[0])
            n_found += 1
    return 2 * n_found / (len(notes) + heard.n_notes)


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
    heard = quick.transcribe(waveform)
    assert f1(notes, heard) >= 0.9
    assert (np.diff(heard.onsets) >= 0).all()
    assert (heard.offsets > heard.onsets).all()
    assert heard.offsets.max() <= heard.seconds == len(waveform) / SAMPLE_RATE


def test_other_notes_are_not_those(quick: Quick, melody: tuple[list[Note], np.ndarray]) -> None:
    notes, waveform = melody
    heard = quick.transcribe(waveform)
    late = [Note(note.onset + 0.15, note.duration, note.pitch, 64) for note in notes]
    sharp = [Note(note.onset, note.duration, note.pitch + 1, 64) for note in notes]
    assert f1(late, heard) < 0.1
    assert f1(sharp, heard) < 0.3  # a scale has semitones, and partials


def test_loud_notes_have_greater_velocities(quick: Quick, melody: tuple[list[Note], np.ndarray]) -> None:
    heard = quick.transcribe(melody[1])
    soft, loud = heard.velocities[heard.onsets < 9.4], heard.velocities[heard.onsets > 9.4]
    assert np.median(loud) - np.median(soft) == pytest.approx(45, abs=15)
    assert heard.velocities.min() >= 1
    assert heard.velocities.max() <= 127


def test_a_clip_is_heard_alike_at_any_loudness(quick: Quick, melody: tuple[list[Note], np.ndarray]) -> None:
    waveform = melody[1][: 8 * SAMPLE_RATE]
    heard, faint = quick.transcribe(waveform), quick.transcribe(waveform * np.float32(0.01))
    assert faint.pitches.tolist() == heard.pitches.tolist()
    assert faint.velocities == pytest.approx(heard.velocities, abs=0.5)


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
    found = {name: quick.transcribe(sound.astype(np.float32)).n_notes for name, sound in sounds.items()}
    assert max(found.values()) <= 2, found


def test_pieces_leave_no_trace(quick: Quick, melody: tuple[list[Note], np.ndarray]) -> None:
    whole, pieces = (quick.transcribe_stream(np.array_split(melody[1], n)) for n in (1, 29))
    assert pieces.seconds == whole.seconds
    for name in ("onsets", "offsets", "pitches", "velocities"):
        assert np.array_equal(getattr(pieces, name), getattr(whole, name)), name


@pytest.mark.parametrize("seconds", [1.5, 1.64, 1.7, 3.3])
def test_the_end_is_heard_wherever_windows_end(quick: Quick, seconds: float) -> None:
    last = Note(seconds - 0.3, 0.3, 64, 80)
    waveform = render(Performance("end", (Note(0.1, 0.5, 60, 80), last)), Steinway())
    heard = quick.transcribe(waveform[: round(seconds * SAMPLE_RATE)])
    assert f1([Note(0.1, 0.5, 60, 80), last], heard) == 1.0


def test_a_note_at_the_very_beginning_is_heard(quick: Quick) -> None:
    notes = [Note(0.0, 0.4, 60, 70), Note(0.5, 0.4, 64, 70)]
    assert f1(notes, quick.transcribe(render(Performance("now", tuple(notes)), Steinway()))) == 1.0


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_waveforms_must_be_finite(quick: Quick, bad: float) -> None:
    for transcribe in (quick.transcribe, lambda waveform: quick.transcribe_stream([waveform])):
        with pytest.raises(EvaluationError, match="a waveform must be finite to be transcribed, and this one is not"):
            transcribe(np.array([0.0, bad], np.float32))


def test_waveforms_must_have_samples(quick: Quick) -> None:
    with pytest.raises(EvaluationError, match="a waveform must have samples to be transcribed, and this one has none"):
        quick.transcribe(np.zeros(0, np.float32))


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
    assert list(track([made])) == [Tracked(50, 150, 40, 1.0)]
    made[80:91, 0, 40] = 0.0  # the 11th quiet frame ends it
    assert list(track([made])) == [Tracked(50, 80, 40, 1.0)]


def test_a_second_onset_begins_a_second_note() -> None:
    made = frames(300, (50, 150, 40), (100, 150, 40))
    assert [(note.start, note.stop) for note in track([made])] == [(50, 100), (100, 150)]


def test_short_notes_are_none() -> None:
    assert list(track([frames(100, (50, 58, 40))])) == []
    assert [note.stop for note in track([frames(100, (50, 59, 40))])] == [59]


def test_neighbours_sound_along_with_a_note() -> None:
    made = frames(300, (50, 150, 40))
    made[50:150, 0, [39, 41, 43]] = 0.4  # the last of them no neighbour: a note without an onset
    assert [note.key for note in track([made])] == [40]
    assert [note.key for note in track([made], PUBLISHED)] == [40, 43]


def test_a_rise_is_an_onset_only_as_published() -> None:
    made = frames(300, (50, 250, 40))
    made[200:260, 0, 60] = 0.7
    made[200:260, 2, 60] = 2.0
    assert [note.key for note in track([made], PIANO)] == [40]
    assert list(track([made], PUBLISHED))[1] == Tracked(200, 260, 60, 2.0)


def test_nothing_has_no_notes() -> None:
    for thresholds in (PIANO, PUBLISHED):
        assert list(track([], thresholds)) == []
        assert [list(track([frames(n)], thresholds)) for n in range(4)] == [[]] * 4


@given(st.lists(st.integers(1, 90), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_stretches_and_pieces_leave_no_trace(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_frames = sum(lengths)
    starts = 100 * rng.integers(0, n_frames // 100 + 1, 8) + rng.integers(-2, 3, 8)  # where stretches meet
    inside = [int(start) for start in starts if 0 <= start < n_frames - 20]
    made = frames(n_frames, *((start, start + 20, int(rng.integers(88))) for start in inside))
    whole = list(track([made]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "_N_STRETCH", 100)
        patch.setattr(tracking, "_N_MARGIN", 70)
        pieces = list(track(np.split(made, np.cumsum(lengths)[:-1])))
    assert pieces == whole


def test_what_sounds_beyond_the_end_is_cut() -> None:
    heard = Transcription.of([(1.0, 3.0, 60, 70.0), (0.5, 0.9, 72, 50.0), (2.0, 2.1, 65, 60.0)], 2.0)
    assert heard.n_notes == 2
    assert heard.onsets.tolist() == [0.5, 1.0]
    assert heard.offsets.tolist() == [0.9, 2.0]
    assert heard.pitches.tolist() == [72, 60]
    assert heard.velocities.tolist() == [50.0, 70.0]


class Model:
    """In the place of transkun's."""

    fs = SAMPLE_RATE

    def transcribe(self, waveform: torch.Tensor) -> list[types.SimpleNamespace]:
        assert waveform.shape == (SAMPLE_RATE, 1)
        events = [(0.5, 2.0, 60, 80), (0.1, 0.4, 64, 70), (0.0, 0.9, -64, 127)]
        return [
            types.SimpleNamespace(**dict(zip(("start", "end", "pitch", "velocity"), e, strict=True))) for e in events
        ]


def test_thorough_hears_notes_and_no_pedals() -> None:
    heard = Thorough(Model()).transcribe(np.zeros(SAMPLE_RATE))
    assert heard.pitches.tolist() == [64, 60]
    assert heard.offsets.tolist() == [0.4, 1.0]
    assert heard.velocities.tolist() == [70.0, 80.0]
    for bad in (np.zeros(0), np.array([np.nan])):
        with pytest.raises(EvaluationError, match="a waveform must have samples, and finite ones"):
            Thorough(Model()).transcribe(bad)


def test_thorough_comes_beside_quick(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.evaluation.transcribers.load_basic_pitch", lambda: quick.network)
    monkeypatch.setattr("pipeline.evaluation.transcribers.load_thorough", lambda: Thorough(Model()))
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
