"""Files that cannot be used: each is named, with what is legal and what came."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import noise
from waveforms.audio import files as audio
from waveforms.audio import formats
from waveforms.errors import AudioError

Record = Callable[..., Path]
LEGAL = "WAV, RF64, BW64, W64, AIFF, FLAC, OGG, MP3, AU or CAF"


def reason(path: Path) -> str:
    """Read a file to its end, and give the reason why that fails."""
    with pytest.raises(AudioError) as caught:
        list(audio.stream(path))
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert caught.value.path == path
    return caught.value.reason


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_missing(tmp_path: Path) -> None:
    assert reason(tmp_path / "a.wav") == "missing: no such file"
    link = tmp_path / "link.wav"
    link.symlink_to(tmp_path / "a.wav")
    assert reason(link) == "missing: a link to a file that does not exist"


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    assert reason(path) == "empty: the file holds 0 bytes"


def test_not_audio(tmp_path: Path) -> None:
    for name, content in [
        ("a.md", b"# Notes\n" * 99),
        ("a.wav", b"\0" * 999),
        ("a.raw", b"x"),
        ("a.jpg", b"\xff\xd8\xff"),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        assert reason(path) == f"not audio: a recording may be {LEGAL}"
    assert reason(tmp_path) == "not audio: a file is needed, and this is a folder"
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    assert reason(pipe) == "not audio: a file is needed, and this is a device or a pipe"


def test_audio_of_a_kind_that_is_not_taken(record: Record) -> None:
    path = record("a.mat", noise(1000), format="MAT4", subtype="PCM_16")
    assert reason(path) == f"not audio: a recording may be {LEGAL}, and this is MAT4"


def test_unreadable(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    path = record("a.wav")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(formats.os, "open", refuse)  # a mode of 000 does not stop root
    assert reason(path) == "unreadable: permission denied"


@pytest.mark.parametrize(
    ("name", "kind", "pattern"),
    [
        ("a.wav", {}, r"truncated: its header promises 60000 bytes and the file holds 35982"),
        ("a.wav", {"subtype": "FLOAT"}, r"truncated: its header promises 120000 bytes and the file holds \d+"),
        ("a.wav", {"format": "WAVEX"}, r"truncated: its header promises 60000 bytes and the file holds \d+"),
        ("a.rf64", {"format": "RF64"}, r"truncated: its header promises \d+ bytes and the file holds \d+"),
        ("a.w64", {}, r"truncated: its header promises \d+ bytes and the file holds \d+"),
        ("a.aiff", {}, r"truncated: its header promises \d+ bytes and the file holds \d+"),
        ("a.au", {}, r"truncated: its header promises 60000 bytes and the file holds \d+"),
        ("a.flac", {}, r"damaged: cannot be decoded beyond 0\.00 s \(flac decoder lost sync\)"),
        ("a.ogg", {}, r"truncated: the last page of the stream is missing"),
        ("a.mp3", {}, r"truncated: its header promises 0\.68 s and 0\.\d\d s can be decoded"),
    ],
)
def test_truncated(record: Record, name: str, kind: dict, pattern: str) -> None:
    path = cut(record(name, noise(30_000), **kind), 0.6)
    assert re.fullmatch(pattern, reason(path))


@pytest.mark.parametrize("sizes", [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000), (0xFFFFFFFF, 0)])
def test_the_sizes_that_a_stream_leaves_behind_are_no_truncation(record: Record, sizes: tuple[int, int]) -> None:
    path = record("a.wav", noise(30_000))
    expected = audio.read(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 4, sizes[0])
    struct.pack_into("<I", content, 40, sizes[1])
    path.write_bytes(content)
    np.testing.assert_array_equal(audio.read(path), expected)
    np.testing.assert_array_equal(audio.read(path, 29_990), expected[29_990:])


def test_a_truncation_beyond_4_gib(record: Record) -> None:
    path = record("a.rf64", format="RF64", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    struct.pack_into("<QQ", content, 20, 5 << 30, (5 << 30) - 100)  # the sizes in the ds64 chunk, EBU Tech 3306
    path.write_bytes(content)
    assert reason(path) == f"truncated: its header promises {5 << 30} bytes and the file holds {len(content) - 8}"


def test_damaged_in_the_middle(record: Record) -> None:
    for name, expected in [
        ("a.flac", "damaged: cannot be decoded beyond 0.00 s (flac decoder lost sync)"),
        ("a.ogg", "truncated: its header promises 2.27 s and"),
    ]:
        path = record(name, noise(100_000))
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 300] = bytes(300)
        path.write_bytes(content)
        assert reason(path).startswith(expected)


def test_a_torn_header(record: Record) -> None:
    path = cut(record("a.flac", noise(100_000)), 0.0003)
    assert reason(path).startswith(("damaged: ", "not audio: "))


def test_chained_streams(record: Record) -> None:
    # libsndfile reads the first of them and says nothing of the others.
    first, second = record("a.ogg", noise(50_000)), record("b.ogg", noise(70_000))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    assert reason(first) == "chained: streams stand one after another, and only the first can be read"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(record: Record, bad: float) -> None:
    waveform = noise(60_000, 2)
    waveform[44_100, 1] = bad
    path = record("a.wav", waveform, subtype="FLOAT")
    assert reason(path) == f"not finite: the sample at 1.000 s is {bad}"
    with pytest.raises(AudioError):
        audio.read(path, 44_000, 45_000)
    assert len(audio.read(path, 0, 44_100)) == 44_100


def test_an_impossible_sample_rate(record: Record) -> None:
    path = record("a.wav", noise(1000), 1)
    assert reason(path) == "sample rate: 1000 to 1000000 Hz can be read, and this is 1 Hz"


def test_no_file_is_left_open(record: Record, tmp_path: Path) -> None:
    good, bad = record("a.wav"), tmp_path / "b.wav"
    bad.write_bytes(b"x" * 99)
    odd = record("c.wav", format="RF64", subtype="PCM_16")
    odd.write_bytes(b"BW64" + odd.read_bytes()[4:])
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        audio.read(good, 0, 100)
        audio.read(odd, 0, 100)
        next(audio.stream(good)).sum()
        with pytest.raises(AudioError):
            audio.probe(bad)
    assert len(os.listdir("/dev/fd")) == before


def test_soundfile_itself_is_not_changed(record: Record) -> None:
    with soundfile.SoundFile(record("a.wav")) as file:
        assert file.seekable()
