"""A folder as a corpus: what is used, what is left out and why, random access, the split."""

import json
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import noise
from tests.waveforms.corpus.conftest import names, several
from waveforms import audio
from waveforms.corpus import Corpus
from waveforms.errors import AudioError, CorpusError
from waveforms.files import find_files

Record = Callable[..., Path]
FORMATS = [
    ("a.wav", 44_100, {"subtype": "PCM_16"}),
    ("a.wav", 44_100, {"subtype": "PCM_24"}),
    ("a.wav", 44_100, {"subtype": "DOUBLE"}),
    ("a.wav", 44_100, {"format": "WAVEX", "subtype": "PCM_32"}),
    ("a.rf64", 44_100, {"format": "RF64"}),
    ("a.w64", 44_100, {}),
    ("a.aiff", 44_100, {}),
    ("a.flac", 44_100, {}),
    ("a.wav", 48_000, {}),
    ("a.flac", 96_000, {}),
    ("a.wav", 44_100, {"subtype": "IMA_ADPCM"}),
    ("a.ogg", 44_100, {}),
    ("a.ogg", 48_000, {}),
    ("a.mp3", 44_100, {}),
    ("a.mp3", 22_050, {}),
]


@pytest.mark.parametrize(("name", "sample_rate", "kind"), FORMATS)
def test_any_window_equals_that_of_the_whole(
    record: Record, tmp_path: Path, name: str, sample_rate: int, kind: dict
) -> None:
    path = record(name, noise(60_123, 2), sample_rate, **kind)
    (recording,) = Corpus.open(tmp_path)
    whole = audio.read(path)
    n_samples = len(whole)
    assert recording.n_samples == n_samples
    padded = np.concatenate((np.zeros(100, np.float32), whole, np.zeros(30_000, np.float32)))
    tolerance = 0.0 if audio.probe(path).random_access else 2**-16  # exact, or half a step of the cache
    for start, stop in [
        (0, n_samples),
        (-100, 5),
        (7, 8),
        (0, 0),
        (12_345, 23_456),
        (n_samples - 1, n_samples + 30_000),
    ]:
        window = recording.read(start, stop)
        assert window.dtype == np.float32
        np.testing.assert_allclose(window, padded[100 + start : 100 + stop], atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def three_formats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    for name, sample_rate in [("a.wav", 44_100), ("b.flac", 44_100), ("c.mp3", 48_000)]:
        soundfile.write(folder / name, noise(40_000), sample_rate)
    return folder


@settings(deadline=None, max_examples=30)
@given(i=st.integers(0, 2), start=st.integers(-50_000, 90_000), length=st.integers(0, 50_000))
def test_windows_may_lie_anywhere(three_formats: Path, i: int, start: int, length: int) -> None:
    recording = Corpus.open(three_formats)[i]
    whole = recording.read(0, recording.n_samples)
    expected = np.zeros(length, np.float32)
    inside = np.arange(max(start, 0), max(0, min(start + length, len(whole))))
    expected[inside - start] = whole[inside]
    np.testing.assert_array_equal(recording.read(start, start + length), expected)


def test_lengths_add_up(record: Record, tmp_path: Path) -> None:
    several(record, 3)
    corpus = Corpus.open(tmp_path)
    assert corpus.n_samples == 3 * 22_050 + 3
    assert corpus.seconds == pytest.approx(1.5, abs=0.001)
    assert sum(row["seconds"] for row in corpus.summary()["recordings"]) == corpus.seconds


def test_a_mixed_folder(record: Record, tmp_path: Path) -> None:
    record("good.wav", noise(88_200, gain=0.5))
    record("more/good.mp3", noise(96_000, 2, seed=1, gain=0.05), 48_000)
    record("more/copy.wav", noise(88_200, gain=0.5))
    record(".hidden.wav")
    record(".hidden/a.wav")
    record("silent.wav", np.zeros(30_000))
    record("short.wav", noise(1000))
    record("nan.wav", np.full(30_000, np.nan), subtype="FLOAT")
    truncated = record("truncated.wav", noise(30_000))
    truncated.write_bytes(truncated.read_bytes()[:40_000])
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")
    calls: list[tuple[int, int]] = []
    corpus = Corpus.open(tmp_path, progress=lambda n_done, n_files: calls.append((n_done, n_files)))
    assert names(corpus) == ["good.wav", "more/copy.wav", "more/good.mp3"]
    assert corpus["more/good.mp3"].info.n_channels == 2
    assert [(problem.path.name, problem.reason.split(":")[0]) for problem in corpus.problems] == [
        ("empty.wav", "empty"),
        ("gone.wav", "missing"),
        ("nan.wav", "not finite"),
        ("notes.txt", "not audio"),
        ("short.wav", "too short"),
        ("silent.wav", "silent"),
        ("truncated.wav", "truncated"),
    ]
    assert calls == [(i + 1, 10) for i in range(10)]
    summary = json.loads(json.dumps(corpus.summary(), allow_nan=False))
    assert (summary["n_used"], summary["n_left_out"]) == (3, 7)
    assert summary["left_out_by_kind"]["truncated"] == 1
    assert summary["sample_rates"] == {"44100": 2, "48000": 1}
    assert summary["channels"] == {"1": 2, "2": 1}
    assert summary["hours"] == pytest.approx(6 / 3600)
    assert summary["loudness_lufs"][1] - summary["loudness_lufs"][0] > 15
    assert summary["copies"] == [["good.wav", "more/copy.wav"]]
    assert summary["recordings"][0]["name"] == "good.wav"
    assert summary["problems"][0]["reason"] == "empty: the file holds 0 bytes"


def test_nothing_usable_is_one_clear_error(record: Record, tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        Corpus.open(tmp_path)
    assert str(caught.value) == f"{tmp_path}: the folder holds no file"
    record("b.wav", np.zeros(30_000))
    record("c.wav", np.zeros(30_000))
    (tmp_path / "a.wav").touch()
    with pytest.raises(CorpusError) as caught:
        Corpus.open(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no usable recording among 3 files (2 silent, 1 empty); "
        f"{tmp_path / 'a.wav'}: empty: the file holds 0 bytes"
    )


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        Corpus.open(tmp_path / "music")
    assert (
        str(caught.value) == f"{tmp_path / 'music'}: a folder of recordings is needed, and there is none of this name"
    )
    (tmp_path / "a.wav").touch()
    with pytest.raises(CorpusError) as caught:
        Corpus.open(tmp_path / "a.wav")
    assert str(caught.value) == f"{tmp_path / 'a.wav'}: a folder of recordings is needed, and this is a file"


def test_links(record: Record, tmp_path: Path) -> None:
    several(record, 2, "music/")
    (tmp_path / "music" / "circle").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "deep").mkdir()
    (tmp_path / "music" / "deep" / "up").symlink_to(tmp_path)
    for i in range(3):
        (tmp_path / "music" / f"link{i}.wav").symlink_to("00.wav")
    os.link(tmp_path / "music" / "00.wav", tmp_path / "music" / "hard.wav")
    corpus = Corpus.open(tmp_path / "music")
    assert names(corpus) == ["00.wav", "01.wav", "hard.wav", "link0.wav", "link1.wav", "link2.wav"]
    assert corpus.copies == [["00.wav", "hard.wav", "link0.wav", "link1.wav", "link2.wav"]]


def test_a_folder_that_cannot_be_listed_is_named(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several(record, 2)
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(place: str | Path) -> object:
        if Path(place).name == "closed":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    files, problems = find_files(tmp_path)
    assert [name for name, _ in files] == ["00.wav", "01.wav"]
    assert [str(problem) for problem in problems] == [f"{tmp_path / 'closed'}: unreadable: permission denied"]


def test_odd_names(record: Record, tmp_path: Path) -> None:
    several(record, 2)
    odd = os.fsdecode(b"\xff\xfe.wav")
    record("00.wav", noise(30_000, seed=9)).rename(tmp_path / odd)
    record("[a] ♪\n.wav", noise(30_000, seed=8))
    corpus = Corpus.open(tmp_path)
    assert sorted(names(corpus)) == sorted(["01.wav", odd, "[a] ♪\n.wav"])
    assert sum(map(len, corpus.split())) == 3
    json.dumps(corpus.summary())
    assert names(corpus.split(["[a] ♪\n.wav"])[1]) == ["[a] ♪\n.wav"]


def test_a_recording_travels(record: Record, tmp_path: Path) -> None:
    record("a.ogg", noise(200_000))
    recording = pickle.loads(pickle.dumps(Corpus.open(tmp_path)))[0]
    whole = recording.read(0, 200_000)
    starts = range(0, 190_000, 1000)
    with ThreadPoolExecutor(8) as pool:
        windows = list(pool.map(lambda start: recording.read(start, start + 5000), starts))
    for start, window in zip(starts, windows, strict=True):
        np.testing.assert_array_equal(window, np.pad(whole, (0, 5000))[start : start + 5000])


def test_subset(record: Record, tmp_path: Path) -> None:
    several(record, 4)
    corpus = Corpus.open(tmp_path)
    subset = corpus.subset(["03.wav", "01.wav"])
    assert names(subset) == ["01.wav", "03.wav"]
    assert subset.n_samples == subset[0].n_samples + subset[1].n_samples
    with pytest.raises(KeyError, match=r"^'04\.wav'$"):
        corpus.subset(["04.wav"])


def test_an_interruption_is_passed_on(record: Record, tmp_path: Path) -> None:
    several(record, 4)

    def interrupt(n_done: int, n_files: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus.open(tmp_path, progress=interrupt)
    assert len(Corpus.open(tmp_path)) == 4


def test_a_file_that_vanishes_is_named(record: Record, tmp_path: Path) -> None:
    several(record, 2)
    corpus = Corpus.open(tmp_path)
    (tmp_path / "00.wav").unlink()
    with pytest.raises(AudioError) as caught:
        corpus[0].read(0, 10)
    assert str(caught.value) == f"{tmp_path / '00.wav'}: missing: no such file"
