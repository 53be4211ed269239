"""Clips out: exact numbers, clipping counted, whole or not there at all, readable by everyone."""

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from wavinfo import WavInfoReader

from tests.conftest import noise, read_labels
from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter, writing
from waveforms.audio import files as audio
from waveforms.audio.marks import Mark, write_labels
from waveforms.errors import AudioError, OutputError

STEPS = {"PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "FLOAT": 0.0}


@pytest.mark.parametrize("encoding", STEPS)
@pytest.mark.parametrize("n_samples", [0, 1, 30_001])
def test_what_is_written_is_read(tmp_path: Path, encoding: str, n_samples: int) -> None:
    waveform = noise(n_samples, gain=0.9)[:, 0]
    path = tmp_path / "clip.wav"
    with ClipWriter(path, encoding=encoding) as clip:
        for piece in np.array_split(waveform, 7):
            clip.write(piece)
    assert (clip.n_samples, clip.n_clipped) == (n_samples, 0)
    samples, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == SAMPLE_RATE
    np.testing.assert_allclose(samples, waveform, atol=STEPS[encoding] / 2, rtol=0)
    assert soundfile.info(path).subtype == encoding
    assert "(should be" not in soundfile.info(path, verbose=True).extra_info


def test_the_standard_librarys_reader_agrees(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    with ClipWriter(path, marks=[Mark(0, "prompt")], metadata={"title": "A clip"}) as clip:
        clip.write(np.array([0.0, 0.5, -0.5, 1.0, -1.0, 2.0**-16, 3 * 2.0**-16]))
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (1, 2, 44_100, 7)
        whole = np.frombuffer(file.readframes(7), "<i2").tolist()
    assert whole == [0, 16_384, -16_384, 32_767, -32_768, 0, 2]  # to the nearest; halves to the even
    assert clip.n_clipped == 0


@settings(deadline=None, max_examples=40)
@given(whole=st.lists(st.integers(-(2**15), 2**15 - 1), max_size=50))
def test_16_bit_numbers_survive(tmp_path_factory: pytest.TempPathFactory, whole: list[int]) -> None:
    path = tmp_path_factory.mktemp("any") / "clip.wav"
    with ClipWriter(path) as clip:
        clip.write(np.array(whole, np.float32) / 2**15)
    assert soundfile.read(path, dtype="int16")[0].tolist() == whole


@pytest.mark.parametrize(("encoding", "top"), [("PCM_16", 1 - 2**-15), ("PCM_24", 1 - 2**-23), ("FLOAT", 1.0)])
def test_what_exceeds_full_scale_is_clipped_and_counted(tmp_path: Path, encoding: str, top: float) -> None:
    with ClipWriter(tmp_path / "clip.wav", encoding=encoding) as clip:
        clip.write(np.array([1.0, 1.001, -1.001, 1e9, -1e9, -1.0], np.float32))
    assert clip.n_clipped == 4
    assert soundfile.read(tmp_path / "clip.wav")[0].tolist() == [top, top, -1.0, top, -1.0, -1.0]


MARKS = [Mark(0, "prompt", 44_100), Mark(44_100, "roll-out"), Mark(2**32 - 1, "café ♪ 𝄞 日本", 3)]


@pytest.mark.parametrize("encoding", STEPS)
@pytest.mark.parametrize("n_samples", [10_000, 10_001])
def test_independent_readers_see_marks_and_metadata(tmp_path: Path, encoding: str, n_samples: int) -> None:
    path = tmp_path / "clip.wav"
    metadata = {"title": "A clip", "artist": "Nobody", "software": "quarterwave", "comment": "né ♪"}
    with ClipWriter(path, encoding=encoding, metadata=metadata) as clip:
        clip.write(noise(n_samples)[:, 0])
        clip.marks.extend(MARKS)
    seen = WavInfoReader(str(path), info_encoding="utf-8")
    assert [(cue.name, cue.sample_offset) for cue in seen.cues.cues] == [(1, 0), (2, 44_100), (3, 2**32 - 1)]
    assert [(label.name, label.text) for label in seen.cues.labels] == [(n, m.label) for n, m in enumerate(MARKS, 1)]
    assert [(text.name, text.length) for text in seen.cues.ranges] == [(1, 44_100), (3, 3)]
    assert (seen.info.title, seen.info.software, seen.data.frame_count) == ("A clip", "quarterwave", n_samples)
    with soundfile.SoundFile(path) as file:
        assert file.copy_metadata() == metadata
        assert "(should be" not in file.extra_info
        assert file.frames == n_samples
    content = path.read_bytes()
    assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8
    assert len(content) % 2 == 0
    assert len(audio.read(path)) == n_samples


def test_unknown_metadata_is_refused(tmp_path: Path) -> None:
    clip = ClipWriter(tmp_path / "clip.wav", metadata={"titel": "A clip"})
    with (
        pytest.raises(ValueError, match=r"^metadata must be among title, artist, software, comment and not titel$"),
        clip,
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_label_file_is_audacitys(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    write_labels(path, [Mark(22_050, "two\r\nlines", 11_025), Mark(44_100, "♪")])
    assert path.read_bytes() == "0.5000000\t0.7500000\ttwo lines\n1.0000000\t1.0000000\t♪\n".encode()


@given(sample=st.integers(0, 10**9), n_samples=st.integers(0, 10**9))  # six hours
def test_seconds_of_labels_are_exact_to_the_sample(
    tmp_path_factory: pytest.TempPathFactory, sample: int, n_samples: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "labels.txt"
    write_labels(path, [Mark(sample, "a", n_samples)])
    assert read_labels(path) == [Mark(sample, "a", n_samples)]


def test_the_same_clip_is_the_same_file(tmp_path: Path) -> None:
    contents = []
    for name in ("a.wav", "b.wav"):
        with ClipWriter(tmp_path / name, encoding="FLOAT", metadata={"title": "A"}) as clip:
            clip.write(noise(1000)[:, 0])
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]  # no date, no random number


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_clip_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(b"what was there before")

    def interrupted() -> None:
        with ClipWriter(path) as clip:
            clip.write(noise(1000)[:, 0])
            raise error

    with pytest.raises(error):
        interrupted()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"what was there before"


def test_a_clip_appears_only_when_whole(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "clip.wav") as clip:
        clip.write(noise(1000)[:, 0])
        assert not (tmp_path / "clip.wav").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["clip.wav"]


def test_what_is_not_finite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"

    def write() -> None:
        with ClipWriter(path) as clip:
            clip.write(np.zeros(10))
            clip.write(np.array([0.0, np.nan]))

    with pytest.raises(AudioError) as caught:
        write()
    assert str(caught.value) == f"{path}: not finite: sample 11 is nan"
    assert list(tmp_path.iterdir()) == []


def test_what_4_gib_cannot_hold_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    message = f"{path}: a WAV file holds at most 4 GiB; render a shorter clip, or several"
    with pytest.raises(AudioError) as caught:
        ClipWriter(path, n_samples=2**31)
    assert str(caught.value) == message
    ClipWriter(path, n_samples=2**31 - 2**16)  # 13.5 hours


def test_what_4_gib_cannot_hold_is_refused_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_BYTES", 100_000)
    path = tmp_path / "clip.wav"

    def write() -> None:
        with ClipWriter(path) as clip:
            for _ in range(5):
                clip.write(np.zeros(10_000))

    with pytest.raises(AudioError, match="a WAV file holds at most 4 GiB"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^encoding must be one of PCM_16, PCM_24, FLOAT and not 'MP3'$"):
        ClipWriter(tmp_path / "clip.wav", encoding="MP3")


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "clip.wav"
    with pytest.raises(OutputError) as caught, ClipWriter(path):
        pass
    assert str(caught.value) == f"{path}: cannot be written: file exists"
