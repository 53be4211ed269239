"""Audio in: every format, channel count and rate; the physics of resampling; constant memory."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import noise
from waveforms import SAMPLE_RATE
from waveforms.audio import files as audio
from waveforms.audio.decoding import mono_pieces, regrouped
from waveforms.audio.formats import opened

Record = Callable[..., Path]

# name, arguments of soundfile.write, and the largest error of the encoding
LOSSLESS = [
    ("a.wav", {"subtype": "PCM_U8"}, 2**-7),
    ("a.wav", {"subtype": "PCM_16"}, 2**-15),
    ("a.wav", {"subtype": "PCM_24"}, 2**-23),
    ("a.wav", {"subtype": "PCM_32"}, 2**-24),
    ("a.wav", {"subtype": "FLOAT"}, 0.0),
    ("a.wav", {"subtype": "DOUBLE"}, 0.0),
    ("a.wav", {"format": "WAVEX", "subtype": "PCM_24"}, 2**-23),
    ("a.wav", {"format": "WAVEX", "subtype": "FLOAT"}, 0.0),
    ("a.rf64", {"format": "RF64", "subtype": "PCM_16"}, 2**-15),
    ("a.rf64", {"format": "RF64", "subtype": "FLOAT"}, 0.0),
    ("a.w64", {"subtype": "PCM_24"}, 2**-23),
    ("a.aiff", {"subtype": "PCM_16"}, 2**-15),
    ("a.aiff", {"subtype": "FLOAT"}, 0.0),
    ("a.flac", {"subtype": "PCM_16"}, 2**-15),
    ("a.flac", {"subtype": "PCM_24"}, 2**-23),
    ("a.au", {"subtype": "PCM_16"}, 2**-15),
    ("a.caf", {"subtype": "PCM_16"}, 2**-15),
]
LOSSY = [
    ("a.mp3", {}),
    ("a.ogg", {}),
    ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
]


def whole(path: Path) -> np.ndarray:
    return np.concatenate(list(audio.stream(path)))


def tone(frequency: float, n_samples: int, sample_rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(n_samples) / sample_rate)


def level(waveform: np.ndarray) -> float:
    """Give the root mean square in dB."""
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-30)


@pytest.mark.parametrize(("name", "kind", "tolerance"), LOSSLESS)
def test_lossless_formats_give_the_samples_back(record: Record, name: str, kind: dict, tolerance: float) -> None:
    waveform = noise(30_011)
    path = record(name, waveform, **kind)
    info = audio.probe(path)
    assert (info.sample_rate, info.n_channels, info.n_frames, info.n_samples) == (44_100, 1, 30_011, 30_011)
    assert info.encoding == kind["subtype"]
    assert info.random_access
    np.testing.assert_allclose(whole(path), waveform[:, 0], atol=tolerance, rtol=0)


@pytest.mark.parametrize(("name", "kind"), LOSSY)
def test_lossy_formats_keep_length_and_tone(record: Record, name: str, kind: dict) -> None:
    sample_rate = 48_000  # Opus knows no other
    path = record(name, tone(440, 2 * sample_rate, sample_rate), sample_rate, **kind)
    waveform = whole(path)
    assert len(waveform) == audio.probe(path).n_samples == 2 * SAMPLE_RATE
    assert not audio.probe(path).random_access
    error = waveform - tone(440, 2 * SAMPLE_RATE, SAMPLE_RATE)
    assert level(error[4410:-4410]) < -35 + level(waveform)


def test_bw64_is_read_as_the_rf64_it_is(record: Record) -> None:
    path = record("a.wav", noise(30_000), format="RF64", subtype="PCM_24")
    expected = whole(path)
    path.write_bytes(b"BW64" + path.read_bytes()[4:])
    assert audio.probe(path).container == "BW64"
    np.testing.assert_array_equal(whole(path), expected)
    np.testing.assert_array_equal(audio.read(path, 12_345, 23_456), expected[12_345:23_456])


@pytest.mark.parametrize("n_channels", [1, 2, 3, 6, 17])
def test_any_channel_count_becomes_the_mean(record: Record, n_channels: int) -> None:
    waveform = noise(30_000, n_channels)
    mono = whole(record("a.wav", waveform, subtype="FLOAT"))
    np.testing.assert_allclose(mono, waveform.astype(np.float64).mean(axis=1), atol=1e-7, rtol=0)


@pytest.mark.parametrize("sample_rate", [8000, 11_025, 16_000, 22_050, 32_000, 48_000, 88_200, 96_000, 192_000])
def test_a_tone_stays_a_tone(record: Record, sample_rate: int) -> None:
    frequency = 0.4 * min(sample_rate, SAMPLE_RATE)  # near the edge of what both rates can hold
    path = record("a.wav", tone(frequency, sample_rate, sample_rate), sample_rate, subtype="FLOAT")
    waveform = whole(path)
    assert len(waveform) == SAMPLE_RATE
    middle = slice(4410, -4410)  # away from the ends, where the tone is switched
    expected = tone(frequency, SAMPLE_RATE, SAMPLE_RATE)[middle]
    gain = np.dot(waveform[middle], expected) / np.dot(expected, expected)
    assert gain == pytest.approx(1.0, abs=0.001)  # 0.009 dB
    assert level(waveform[middle] - gain * expected) - level(expected) < -100  # no image, no delay


@pytest.mark.parametrize("sample_rate", [48_000, 88_200, 96_000, 192_000])
def test_what_44100_cannot_hold_does_not_fold_back(record: Record, sample_rate: int) -> None:
    path = record("a.wav", tone(23_000, sample_rate, sample_rate), sample_rate, subtype="FLOAT")
    assert level(whole(path)[4410:-4410]) - level(tone(23_000, sample_rate, sample_rate)) < -80


def test_resampling_agrees_with_an_independent_resampler(record: Record) -> None:
    lowpass = scipy.signal.firwin(301, 8_000, fs=48_000)
    waveform = scipy.signal.lfilter(lowpass, 1.0, noise(48_000)[:, 0])
    path = record("a.wav", waveform, 48_000, subtype="FLOAT")
    expected = scipy.signal.resample_poly(waveform, 147, 160, window=("kaiser", 14.0))
    error = whole(path) - expected
    assert level(error[2000:-2000]) - level(expected) < -60


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200_000), st.sampled_from([8000, 22_050, 44_100, 48_000, 96_001]))
def test_the_header_foretells_the_length(
    tmp_path_factory: pytest.TempPathFactory, n_frames: int, sample_rate: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.wav"
    soundfile.write(path, np.zeros(n_frames, np.int16), sample_rate)
    assert len(audio.read(path)) == audio.probe(path).n_samples


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 50), max_size=10), st.integers(1, 40))
def test_regrouping_keeps_every_sample(lengths: list[int], n_samples: int) -> None:
    waveform = np.arange(sum(lengths), dtype=np.float32)
    pieces = list(regrouped(np.split(waveform, np.cumsum(lengths)[:-1]), n_samples))
    assert all(len(piece) == n_samples for piece in pieces[:-1])
    assert all(0 < len(piece) <= n_samples for piece in pieces)
    np.testing.assert_array_equal(np.concatenate([*pieces, waveform[:0]]), waveform)


@pytest.mark.parametrize(("name", "sample_rate"), [("a.wav", 44_100), ("a.wav", 48_000), ("a.mp3", 44_100)])
def test_the_size_of_pieces_does_not_matter(
    record: Record, monkeypatch: pytest.MonkeyPatch, name: str, sample_rate: int
) -> None:
    path = record(name, noise(300_000), sample_rate)  # longer than one read
    expected = whole(path)
    for n_samples in (1000, 10**6):
        monkeypatch.setattr(audio, "N_SAMPLES_PER_PIECE", n_samples)
        pieces = list(audio.stream(path))
        assert all(len(piece) == n_samples for piece in pieces[:-1])
        np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_an_mp3_is_decoded_without_seams(record: Record) -> None:
    # python-soundfile seeks after every read, and an MP3 decoder that was made to seek stumbles.
    rng = np.random.default_rng(0)
    waveform = np.concatenate((rng.normal(0, 0.2, 130_000), tone(400, 600_000, SAMPLE_RATE)))
    path = record("a.mp3", waveform, bitrate_mode="VARIABLE")
    in_one_read = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_array_equal(whole(path), in_one_read)


def test_an_mp3_without_a_tag_is_read_to_its_end(record: Record) -> None:
    # libsndfile takes the first bit rate for all, and would stop after a third of this one.
    waveform = np.concatenate((noise(100_000, gain=0.3)[:, 0], tone(440, 500_000, SAMPLE_RATE) / 50))
    path = record("a.mp3", waveform, bitrate_mode="VARIABLE")
    content = path.read_bytes()
    tag = max(content.find(b"Xing"), content.find(b"Info"))
    path.write_bytes(b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + content[:tag] + bytes(4) + content[tag + 4 :])
    n_lost = 600_000 - soundfile.info(path).frames
    assert n_lost > 200_000
    decoded = whole(path)
    assert len(decoded) == audio.probe(path).n_samples
    assert 600_000 <= len(decoded) < 600_000 + 4 * 1152  # the encoder's padding is part of the stream
    spectrum = np.abs(np.fft.rfft(decoded[-SAMPLE_RATE // 2 - 5000 : -5000]))
    assert np.argmax(spectrum) == 220  # the tone of 440 Hz, in bins of 2 Hz


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("sample_rate", [8000, 16_000, 22_050, 32_000, 48_000])  # MPEG 2.5, 2, 2, 1 and 1
def test_the_missing_tag_changes_nothing_else(record: Record, sample_rate: int, n_channels: int) -> None:
    def decode() -> np.ndarray:  # at the file's own rate, where the delay is a whole number
        with opened(path) as sound:
            return np.concatenate(list(mono_pieces(sound)))

    path = record("a.mp3", np.repeat(noise(3 * sample_rate), n_channels, axis=1), sample_rate)
    with_tag = decode()
    content = path.read_bytes()
    tag = max(content.find(b"Xing"), content.find(b"Info"))
    first = content.find(b"\xff")
    n_frame = content.find(b"\xff" + content[first + 1 : first + 2], tag) - first
    path.write_bytes(content[first + n_frame :])  # the frame that held the tag is gone
    without = decode()
    assert len(with_tag) <= len(without) < len(with_tag) + 4 * 1152
    shift = int(np.argmax(scipy.signal.correlate(without, with_tag, mode="valid")))  # the encoder's delay
    np.testing.assert_allclose(without[shift : shift + len(with_tag)], with_tag, atol=1e-6, rtol=0)


def test_a_flac_of_unknown_length_is_counted(record: Record) -> None:
    path = record("a.flac", noise(50_000))
    expected = whole(path)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the lower 36 bits of bytes 18 to 25 hold the count; 0 is "unknown"
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert audio.probe(path).n_frames == 50_000
    np.testing.assert_array_equal(whole(path), expected)
    np.testing.assert_array_equal(audio.read(path, 20_000, 30_000), expected[20_000:30_000])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3"])
def test_an_excerpt_read_equals_that_of_the_whole(record: Record, name: str) -> None:
    path = record(name, noise(40_000))
    expected = whole(path)
    for start, stop in [(0, None), (0, 0), (5, 17), (39_990, 50_000), (50_000, 60_000), (1000, None)]:
        np.testing.assert_array_equal(audio.read(path, start, stop), expected[start:stop])


def test_read_refuses_what_is_no_range(record: Record) -> None:
    with pytest.raises(ValueError, match=r"^start and stop must hold 0 <= start <= stop and not be 5 and 4$"):
        audio.read(record("a.wav"), 5, 4)
    with pytest.raises(ValueError, match=r"^start and stop must hold 0 <= start <= stop and not be -1 and None$"):
        audio.read(record("a.wav"), -1)


def test_names_do_not_matter(record: Record, tmp_path: Path) -> None:
    path = record("a.flac", noise(30_000))
    for name in ("a.raw", "a.mp3", "no ending", "ünï♪.wav"):
        assert audio.probe(path.replace(tmp_path / name)).container == "FLAC"
        path = tmp_path / name


_MEMORY = """
import resource, sys
from waveforms.audio import files as audio
n = sum(len(piece) for piece in audio.stream(sys.argv[1]))
print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_memory_does_not_grow_with_length(tmp_path: Path, name: str) -> None:
    peaks = []
    for seconds in (20, 400):
        path = tmp_path / f"{seconds}{name}"
        with soundfile.SoundFile(path, "w", 48_000, 2) as file:
            for _ in range(seconds):
                file.write(noise(48_000, 2))
        answer = subprocess.run(
            [sys.executable, "-c", _MEMORY, str(path)], capture_output=True, text=True, check=True
        ).stdout.split()
        assert int(answer[0]) == seconds * SAMPLE_RATE
        peaks.append(int(answer[1]) / 1024)
    assert peaks[1] - peaks[0] < 15  # MiB; the longer waveform alone takes 67, its frames twice that
