"""Audio file <-> waveform: decode, mix to mono, resample; and write a clip, with its clipping policy.

    file at any rate and channel count   -> mean of the channels -> 44.1 kHz -> waveform (n_samples,)
    clip (mono RIFF WAV, never wrapped) <- 16 bits, rounded <- clipped to [-1, 1] <- waveform

A waveform is float32 in [-1, 1]; a float or lossy file may reach a little beyond, and is read as it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import soundfile

from waveforms import SAMPLE_RATE
from waveforms.audio import riff, sources
from waveforms.audio.decoding import MAX_FRAMES, Waveform, mono_pieces, regrouped, resampled, window
from waveforms.audio.marks import Mark, write_marks
from waveforms.errors import AudioError
from waveforms.files import atomic_write

__all__ = ["AudioInfo", "ClipWriter", "Waveform", "probe", "read", "stream"]

N_SAMPLES_PER_PIECE = 4 * SAMPLE_RATE
_SEEKABLE = ("WAV", "WAVEX", "RF64", "BW64", "W64", "AIFF", "FLAC", "AU", "CAF")
_EXACT = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")


@dataclass(frozen=True)
class AudioInfo:
    """What an audio file's header says.

    Attributes:
        path: the file.
        sample_rate: of the file, in Hz.
        n_channels: of the file.
        n_frames: of the file, at its own rate. An MP3 without a Xing tag only estimates it.
        container: one of `sources.CONTAINERS`, or "BW64".
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
        """Whether any window can be read by seeking, without decoding from the beginning."""
        exact = self.container in _SEEKABLE and self.encoding in _EXACT
        return exact and self.sample_rate == SAMPLE_RATE


def probe(path: str | Path) -> AudioInfo:
    """Read an audio file's header.

    Raises:
        AudioError: the file cannot be used, as far as its header tells (see `sources`).
    """
    with sources.opened(path) as file:
        return _info(Path(path), file)


def stream(path: str | Path, *, n_samples_per_piece: int = N_SAMPLES_PER_PIECE) -> Iterator[Waveform]:
    """Decode a file piece by piece, in memory that does not grow with its length.

    Yields:
        mono float32 waveforms at SAMPLE_RATE, (n_samples_per_piece,); the last one may be shorter.

    Raises:
        AudioError: the file cannot be used; or, on the way, a sample is not finite, or the sound
            ends before the header says it does.
    """
    with sources.opened(path) as file:
        pieces = mono_pieces(Path(path), file)
        if file.samplerate != SAMPLE_RATE:
            pieces = resampled(pieces, file.samplerate)
        yield from regrouped(pieces, n_samples_per_piece)


def read(path: str | Path, start: int = 0, stop: int | None = None) -> Waveform:
    """Read samples [start, stop) of a file's mono waveform at SAMPLE_RATE.

    Seeks where the format allows, and otherwise decodes from the beginning. What lies beyond the
    end is not there: the result may be shorter than stop - start.

    Returns:
        float32 (n_samples,).

    Raises:
        AudioError: as `stream`.
        ValueError: unless 0 <= start <= stop.
    """
    if start < 0 or (stop is not None and stop < start):
        raise ValueError(f"start and stop must hold 0 <= start <= stop and not be {start} and {stop}")
    with sources.opened(path) as file:
        info = _info(Path(path), file)
        if info.random_access:
            last = info.n_frames if stop is None else min(stop, info.n_frames)
            return window(info.path, file, min(start, last), last)
    return _stream_and_cut(path, start, stop)


def _info(path: Path, file: soundfile.SoundFile) -> AudioInfo:
    n_frames = file.frames
    if n_frames > MAX_FRAMES:  # a FLAC that was written to a pipe: count
        n_frames = sum(len(piece) for piece in mono_pieces(path, file))
        file.seek(0)
    return AudioInfo(path, file.samplerate, file.channels, n_frames, sources.container(path, file), file.subtype)


def _stream_and_cut(path: str | Path, start: int, stop: int | None) -> Waveform:
    parts: list[Waveform] = []
    position = 0
    for piece in stream(path):
        parts.append(piece[max(0, start - position) : None if stop is None else max(0, stop - position)])
        position += len(piece)
        if stop is not None and position >= stop:
            break
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


class ClipWriter:
    """Writes one clip as a mono RIFF WAV file, piece by piece; the inverse of `read`.

        with ClipWriter("clip.wav", metadata={"title": "A clip"}) as clip:
            for waveform in roll_out:
                clip.write(waveform)
            clip.marks.append(Mark(0, "prompt", n_samples=44_100))

    The file appears under its name only when it is whole, by `atomic_write`. An older file of that name is
    replaced; callers who want to keep it ask `check_free`.

    Samples beyond ±1 are clipped and counted; none wraps around. Whole numbers are rounded to the
    nearest, without dither: a clip made from 16-bit recordings reads back as the same numbers,
    silence stays silence, and the error of a 16-bit step lies below the noise of any recording.

    Attributes:
        path: the file's name.
        marks: what `marks.write_marks` will embed; may grow until the end.
        metadata: likewise, {a key of `marks.METADATA`: text}.
        n_samples: how many samples were written.
        n_clipped: how many of them were clipped.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        sample_rate: int = SAMPLE_RATE,
        encoding: str = "PCM_16",
        n_samples: int = 0,
        marks: Iterable[Mark] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Check what can be checked; nothing is written yet.

        Args:
            path: the clip's name.
            sample_rate: in Hz.
            encoding: "PCM_16", "PCM_24" or "FLOAT".
            n_samples: how many samples are to come, if that is known.
            marks: see the class.
            metadata: see the class.

        Raises:
            ValueError: the encoding is not one of these.
            AudioError: n_samples would pass the 4 GiB of a WAV file.
        """
        if encoding not in riff.ENCODINGS:
            raise ValueError(f"encoding must be one of {', '.join(riff.ENCODINGS)} and not {encoding!r}")
        self.path = Path(path)
        self.marks = list(marks)
        self.metadata = dict(metadata or {})
        self.n_samples = 0
        self.n_clipped = 0
        self._encoding = encoding
        self._sample_rate = sample_rate
        self._check_room(n_samples)
        self._writing = self._written()

    def __enter__(self) -> Self:
        self._writing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writing.__exit__(kind, error, trace)

    @contextmanager
    def _written(self) -> Iterator[None]:
        with atomic_write(self.path) as draft:
            with draft.open("xb") as self._file:
                self._file.write(riff.header(self._encoding, self._sample_rate, 0))
                yield
                self._file.write(b"\0" * (self._file.tell() % 2))
                self._file.seek(0)
                self._file.write(riff.header(self._encoding, self._sample_rate, self.n_samples))
            write_marks(draft, self.marks, metadata=self.metadata)

    def write(self, waveform: npt.NDArray[np.floating]) -> None:
        """Append a waveform, (n_samples,).

        Raises:
            AudioError: a sample is not finite, or the clip would pass 4 GiB.
        """
        finite = np.isfinite(waveform)
        if not finite.all():
            first = int(np.argmin(finite))
            raise AudioError(self.path, f"not finite: sample {self.n_samples + first} is {waveform[first]}")
        self._check_room(len(waveform))
        self._file.write(_encoded(np.clip(waveform, -1.0, 1.0), self._encoding))
        self.n_clipped += int(np.count_nonzero(np.abs(waveform) > 1.0))
        self.n_samples += len(waveform)

    def _check_room(self, n_samples: int) -> None:
        _, width = riff.ENCODINGS[self._encoding]
        n_bytes = (self.n_samples + n_samples) * width
        if n_bytes + _N_RESERVED > riff.MAX_BYTES:
            raise riff.too_long(self.path)


_N_RESERVED = 1 << 16  # bytes kept free for the header, and for marks and metadata of ordinary size


def _encoded(waveform: npt.NDArray[np.floating], encoding: str) -> bytes:
    """Turn samples in [-1, 1] into a file's bytes. Full scale is 2**(bits - 1), as libsndfile reads it."""
    if encoding == "FLOAT":
        return waveform.astype("<f4").tobytes()
    full_scale = 2**15 if encoding == "PCM_16" else 2**23
    # float64, as the product with 2**23 would be rounded twice in float32
    whole = np.minimum(np.rint(waveform.astype(np.float64) * full_scale), full_scale - 1)
    if encoding == "PCM_16":
        return whole.astype("<i2").tobytes()
    return whole.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()  # the low three bytes
