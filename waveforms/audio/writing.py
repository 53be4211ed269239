"""Waveform -> clip: a mono RIFF WAV file, with its clipping policy.

    RIFF size WAVE | fmt  | (fact) | data ... (pad) | LIST INFO | cue  | LIST adtl

After the Multimedia Programming Interface and Data Specifications 1.0 (IBM and Microsoft, 1991): little-endian, every
chunk begins at an even offset, and a size counts neither itself nor the pad byte.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from waveforms import SAMPLE_RATE
from waveforms.audio.marks import Mark, pack_chunk, pack_marks, pack_metadata
from waveforms.errors import AudioError
from waveforms.files import atomic_write

MAX_BYTES = 2**32 - 1  # sizes are 32-bit numbers
ENCODINGS = {"PCM_16": (1, 2), "PCM_24": (1, 3), "FLOAT": (3, 4)}  # name: (format tag, bytes per sample)
_N_RESERVED = 1 << 16  # bytes kept free for the header, and for marks and metadata of ordinary size


class ClipWriter:
    """Writes one clip as a mono WAV file at SAMPLE_RATE, piece by piece; the inverse of `read`.

        with ClipWriter("clip.wav", metadata={"title": "A clip"}) as clip:
            for waveform in roll_out:
                clip.write(waveform)
            clip.marks.append(Mark(0, "prompt", n_samples=44_100))

    The file appears under its name only when it is whole, by `atomic_write`. An older file of that name is
    replaced; callers who want to keep it ask `check_free`.

    Samples beyond ±1 are clipped and counted; none wraps around. Integers are rounded to the nearest, without dither:
    a clip made from 16-bit recordings reads back as the same numbers, silence stays silence, and the error of a 16-bit
    step lies below the noise of any recording.

    Attributes:
        path: the file's name.
        marks: embedded at the end; may grow until then.
        metadata: likewise, {a key of `marks.METADATA`: text}.
        n_samples: how many samples were written.
        n_clipped: how many of them were clipped.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        encoding: str = "PCM_16",
        n_samples: int = 0,
        marks: Iterable[Mark] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Check what can be checked; nothing is written yet.

        Args:
            path: the clip's name.
            encoding: "PCM_16", "PCM_24" or "FLOAT".
            n_samples: the number of samples to come, if it is known.
            marks: see the class.
            metadata: see the class.

        Raises:
            ValueError: the encoding is not one of these.
            AudioError: n_samples would pass the 4 GiB of a WAV file.
        """
        if encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)} and not {encoding!r}")
        self.path = Path(path)
        self.marks = list(marks)
        self.metadata = dict(metadata or {})
        self.n_samples = 0
        self.n_clipped = 0
        self._encoding = encoding
        self._check_room(n_samples)
        self._writing = self._written()

    def __enter__(self) -> Self:
        self._writing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writing.__exit__(kind, error, traceback)

    @contextmanager
    def _written(self) -> Iterator[None]:
        with atomic_write(self.path) as draft, draft.open("xb") as self._file:
            self._file.write(_header(self._encoding, 0, 0))
            yield
            chunks = pack_metadata(self.metadata) + pack_marks(self.marks)
            pad = b"\0" * (self._file.tell() % 2)
            if self._file.tell() + len(pad) + len(chunks) - 8 > MAX_BYTES:
                raise self._too_long()
            self._file.write(pad + chunks)
            self._file.seek(0)
            self._file.write(_header(self._encoding, self.n_samples, len(chunks)))

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
        _, width = ENCODINGS[self._encoding]
        if (self.n_samples + n_samples) * width + _N_RESERVED > MAX_BYTES:
            raise self._too_long()

    def _too_long(self) -> AudioError:
        return AudioError(self.path, "a WAV file holds at most 4 GiB; render a shorter clip, or several")


def _header(encoding: str, n_samples: int, n_bytes_behind: int) -> bytes:
    """Make everything of a WAV file that stands before its first sample.

    Args:
        encoding: a key of ENCODINGS.
        n_samples: how many samples follow.
        n_bytes_behind: the length of the chunks behind the samples.
    """
    tag, width = ENCODINGS[encoding]
    body = struct.pack("<HHIIHH", tag, 1, SAMPLE_RATE, SAMPLE_RATE * width, width, 8 * width)
    chunks = pack_chunk(b"fmt ", body) if tag == 1 else pack_chunk(b"fmt ", body + b"\0\0")
    if tag != 1:  # required of every encoding but PCM
        chunks += pack_chunk(b"fact", struct.pack("<I", n_samples))
    n_bytes = n_samples * width
    size = 4 + len(chunks) + 8 + n_bytes + n_bytes % 2 + n_bytes_behind
    return struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + chunks + struct.pack("<4sI", b"data", n_bytes)


def _encoded(waveform: npt.NDArray[np.floating], encoding: str) -> bytes:
    """Encode samples in [-1, 1]. Full scale is 2**(bits - 1), as libsndfile reads it."""
    if encoding == "FLOAT":
        return waveform.astype("<f4").tobytes()
    full_scale = 2**15 if encoding == "PCM_16" else 2**23
    # float64, as the product with 2**23 would be rounded twice in float32
    whole = np.minimum(np.rint(waveform.astype(np.float64) * full_scale), full_scale - 1)
    if encoding == "PCM_16":
        return whole.astype("<i2").tobytes()
    return whole.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()  # the low three bytes
