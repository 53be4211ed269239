"""Audio file -> waveform: the door for everything that reads sound.

    file of any format, rate and channel count -> mean of the channels -> 44.1 kHz -> waveform (n_samples,)

A waveform is float32 in [-1, 1]; a float or lossy file may reach a little beyond, and is read as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waveforms import SAMPLE_RATE
from waveforms.audio.decoding import Waveform, count_frames, mono_pieces, regrouped, resampled, window
from waveforms.audio.formats import Sound, opened

N_SAMPLES_PER_PIECE = 4 * SAMPLE_RATE
_SEEKABLE = ("WAV", "WAVEX", "RF64", "BW64", "W64", "AIFF", "FLAC", "AU", "CAF")
_EXACT = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")


@dataclass(frozen=True)
class AudioInfo:
    """The header of an audio file.

    Attributes:
        path: the file.
        sample_rate: the file's own rate, in Hz.
        n_channels: the number of channels.
        n_frames: the length at the file's own rate. An MP3 without a Xing tag only estimates it.
        container: one of `formats.CONTAINERS`, or "BW64".
        encoding: libsndfile's name for how samples are coded, such as "PCM_16".
    """

    path: Path
    sample_rate: int
    n_channels: int
    n_frames: int
    container: str
    encoding: str

    @property
    def n_samples(self) -> int:
        """Length of the waveform at SAMPLE_RATE: n_frames * SAMPLE_RATE / sample_rate, half rounded up."""
        return (2 * self.n_frames * SAMPLE_RATE + self.sample_rate) // (2 * self.sample_rate)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.n_frames / self.sample_rate

    @property
    def random_access(self) -> bool:
        """Whether any excerpt can be read by seeking, without decoding from the beginning."""
        exact = self.container in _SEEKABLE and self.encoding in _EXACT
        return exact and self.sample_rate == SAMPLE_RATE


def probe(path: str | Path) -> AudioInfo:
    """Read an audio file's header.

    Raises:
        AudioError: the header shows that the file cannot be used (see `formats`).
    """
    with opened(path) as sound:
        return _info(sound)


def stream(path: str | Path) -> Iterator[Waveform]:
    """Decode a file piece by piece, in memory that does not grow with its length.

    Yields:
        mono float32 waveforms at SAMPLE_RATE, (N_SAMPLES_PER_PIECE,); the last one may be shorter.

    Raises:
        AudioError: the file cannot be used; or, on the way, a sample is not finite, or the sound ends before the
            header says it does.
    """
    with opened(path) as sound:
        pieces = mono_pieces(sound)
        if sound.samplerate != SAMPLE_RATE:
            pieces = resampled(pieces, sound.samplerate)
        yield from regrouped(pieces, N_SAMPLES_PER_PIECE)


def read(path: str | Path, start: int = 0, stop: int | None = None) -> Waveform:
    """Read samples [start, stop) of a file's mono waveform at SAMPLE_RATE.

    Seeks if the format allows it, else decodes from the beginning. Nothing lies beyond the end: the result may be
    shorter than stop - start.

    Returns:
        float32 (n_samples,).

    Raises:
        AudioError: as `stream`.
        ValueError: unless 0 <= start <= stop.
    """
    if start < 0 or (stop is not None and stop < start):
        raise ValueError(f"start and stop must hold 0 <= start <= stop and not be {start} and {stop}")
    with opened(path) as sound:
        info = _info(sound)
        if info.random_access:
            last = info.n_frames if stop is None else min(stop, info.n_frames)
            return window(sound, min(start, last), last)
    return _decode_until(path, start, stop)


def _info(sound: Sound) -> AudioInfo:
    n_frames = count_frames(sound)
    return AudioInfo(sound.path, sound.samplerate, sound.channels, n_frames, sound.container, sound.subtype)


def _decode_until(path: str | Path, start: int, stop: int | None) -> Waveform:
    parts: list[Waveform] = []
    position = 0
    for piece in stream(path):
        parts.append(piece[max(0, start - position) : None if stop is None else max(0, stop - position)])
        position += len(piece)
        if stop is not None and position >= stop:
            break
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
