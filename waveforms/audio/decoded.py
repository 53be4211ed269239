"""The cache of decoded recordings: 16-bit samples, for files of which no window can be read by seeking.

    <root>/decoded/<digest of the waveform>.pcm     32 bytes of header, then int16 samples
    <root>/surveys/<digest of the path>.json        what `survey` found
    <root>/fetched/<digest of URL and version>      copies of files on other storage, see `remote`

The root may be deleted at any time, also while a program runs: what is missing is made again. A file
appears under its name only when it is whole, so that programs may share the root without locks.

Windows are read, not memory-mapped: the system's page cache serves both alike, and a map whose file
is cut short kills the whole program (SIGBUS) where a read just comes back short.
"""

import os
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import platformdirs

from waveforms.audio.decoding import Waveform
from waveforms.errors import CorpusError

_MAGIC = b"quarterwave 1\n\0\0"
_HEADER = struct.Struct("<16sQd")  # magic, n_samples, the value of one step
_N_ATTEMPTS = 10


class NotDecodedError(Exception):
    """The cache does not hold this waveform whole; internal, the corpus answers by decoding again."""


def root() -> Path:
    """Tell the cache's folder: QUARTERWAVE_CACHE, or the system's place for caches."""
    named = os.environ.get("QUARTERWAVE_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("quarterwave", appauthor=False))


def read(digest: str, start: int, stop: int, *, n_samples: int) -> Waveform:
    """Read samples [start, stop) of a cached waveform, float32 (stop - start,).

    Args:
        digest: the waveform's.
        start: the first sample, not negative.
        stop: not beyond n_samples.
        n_samples: the length that the whole waveform must have.

    Raises:
        NotDecodedError: there is none, or it is damaged.
    """
    n_bytes = _HEADER.size + 2 * n_samples
    try:
        with _decoded_path(digest).open("rb", buffering=0) as file:
            header = file.read(_HEADER.size)
            file.seek(_HEADER.size + 2 * start)
            content = file.read(2 * (stop - start))
            whole = os.fstat(file.fileno()).st_size == n_bytes
    except OSError as error:
        raise NotDecodedError(digest) from error
    if not whole or len(header) < _HEADER.size or len(content) < 2 * (stop - start):
        raise NotDecodedError(digest)
    magic, n_held, step = _HEADER.unpack(header)
    if magic != _MAGIC or n_held != n_samples or not 0.0 < step < 1.0:
        raise NotDecodedError(digest)
    return np.frombuffer(content, "<i2").astype(np.float32) * np.float32(step)


class Draft:
    """A waveform on its way into the cache, which vanishes unless it is kept.

    Args:
        full_scale: the absolute value that the largest 16-bit number stands for; samples beyond
            it are cut off. 1 is right for all but overloaded files.

    Raises:
        CorpusError: the cache cannot be written.
    """

    def __init__(self, full_scale: float = 1.0) -> None:
        self._step = max(1.0, full_scale) / 2**15
        self._n_samples = 0
        self._file = _create(root() / "decoded")
        self._file.write(bytes(_HEADER.size))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)

    def add(self, waveform: Waveform) -> None:
        """Append a piece, rounded to the nearest step."""
        steps = np.clip(np.rint(waveform / np.float32(self._step)), -(2**15), 2**15 - 1)
        try:
            self._file.write(steps.astype("<i2").tobytes())
        except OSError as error:
            raise _unwritable(error) from error
        self._n_samples += len(waveform)

    def keep(self, digest: str) -> None:
        """Give the whole waveform its name. Deleted meanwhile, it is just not kept: it will be made again."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())  # the samples before the header: a crash leaves no false promise
            self._file.seek(0)
            self._file.write(_HEADER.pack(_MAGIC, self._n_samples, self._step))
        except OSError as error:
            raise _unwritable(error) from error
        _publish(self._file, _decoded_path(digest))


def read_record(name: str) -> bytes | None:
    """Read a small record; None if there is none."""
    try:
        return _record_path(name).read_bytes()
    except OSError:
        return None


def write_record(name: str, content: bytes) -> None:
    """Keep a small record.

    Raises:
        CorpusError: the cache cannot be written.
    """
    file = _create(root() / "surveys")
    try:
        file.write(content)
        _publish(file, _record_path(name))
    finally:
        file.close()
        Path(file.name).unlink(missing_ok=True)


def copy_path(name: str) -> Path:
    """Tell where the copy of that name is, if there is one."""
    return root() / "fetched" / name


def keep_copy(name: str, fill: Callable[[Path], object]) -> Path:
    """Give the copy of that name, made by `fill` at the path that it is called with unless there is one.

    Raises:
        CorpusError: the cache cannot be written.
    """
    path = copy_path(name)
    if not path.exists():
        file = _create(path.parent)
        try:
            fill(Path(file.name))
            _publish(file, path)
        finally:
            file.close()
            Path(file.name).unlink(missing_ok=True)
    return path


def _decoded_path(digest: str) -> Path:
    return root() / "decoded" / f"{digest}.pcm"


def _record_path(name: str) -> Path:
    return root() / "surveys" / f"{name}.json"


def _create(folder: Path) -> BinaryIO:
    """Open a new file of a name that no other program uses, for writing."""

    def attempt() -> BinaryIO:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / f".{secrets.token_hex(8)}.part").open("xb")

    return _persistently(attempt)


def _persistently(attempt: Callable[[], BinaryIO]) -> BinaryIO:
    """Try again where another program deletes the cache between two steps."""
    for n_left in reversed(range(_N_ATTEMPTS)):
        try:
            return attempt()
        except FileNotFoundError as error:
            if n_left == 0:
                raise _unwritable(error) from error
        except OSError as error:
            raise _unwritable(error) from error
    raise AssertionError("the last attempt returns or raises")


def _publish(file: BinaryIO, path: Path) -> None:
    """Move a finished file to its name in one step."""
    try:
        file.flush()
        os.replace(file.name, path)
    except FileNotFoundError:
        return  # deleted under our hands: it will be made again when it is needed
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> CorpusError:
    way_out = "set QUARTERWAVE_CACHE to a folder with room"
    return CorpusError(f"{root()}: the cache of decoded recordings cannot be written ({error.strerror}); {way_out}")
