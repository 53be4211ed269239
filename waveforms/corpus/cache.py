"""The cache: decoded recordings, small records, and copies of files on other storage.

    <root>/decoded/<digest of the waveform>.pcm     32 bytes of header, then int16 samples
    <root>/surveys/<digest of the key>.json         records: what `survey` and `notes` found
    <root>/fetched/<digest of URL and version>      copies, see `remote`

Recordings that cannot be read by seeking are decoded into the cache. Users may delete the root at any time, also while
a program runs: what is missing is made again. A file appears under its name only when it is whole, so programs share
the root without locks.

Excerpts are read, not memory-mapped: the system's page cache serves both alike, and a map kills the whole program
(SIGBUS) when its file is truncated, where a read just comes back short.
"""

import hashlib
import os
import struct
import tokenize
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from types import ModuleType, TracebackType
from typing import BinaryIO, Self

import numpy as np
import platformdirs

from waveforms.audio.decoding import Waveform
from waveforms.errors import OutputError
from waveforms.files import temporary_path, write_whole

_MAGIC = b"quarterwave 1\n\0\0"
_HEADER = struct.Struct("<16sQd")  # magic, n_samples, the value of one step
_N_ATTEMPTS = 10


class NotDecodedError(Exception):
    """The cache does not hold this waveform whole; internal, `Recording` answers by decoding again."""


def root() -> Path:
    """Return the cache's folder: QUARTERWAVE_CACHE, or the system's place for caches."""
    named = os.environ.get("QUARTERWAVE_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("quarterwave", appauthor=False))


def read(digest: str, start: int, stop: int, *, n_samples: int) -> Waveform:
    """Read samples [start, stop) of a cached waveform, float32 (stop - start,). The inverse of `Draft`.

    Args:
        digest: the waveform's digest.
        start: the first sample, not negative.
        stop: not beyond n_samples.
        n_samples: the length that the whole waveform must have.

    Raises:
        NotDecodedError: the waveform is not there, or is damaged.
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
    """A waveform being written to the cache. It vanishes unless it is kept. The inverse is `read`.

    Args:
        full_scale: the absolute value of the largest 16-bit number; samples beyond it are clipped. 1 is right for all
            but overloaded files.

    Raises:
        OutputError: the cache cannot be written.
    """

    def __init__(self, full_scale: float = 1.0) -> None:
        self._step = max(1.0, full_scale) / 2**15
        self._n_samples = 0
        self._stack = ExitStack()
        try:
            self._file = _open_temporary(root() / "decoded", self._stack)
        except OSError as error:
            raise _unwritable(error) from error
        self._file.write(bytes(_HEADER.size))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, waveform: Waveform) -> None:
        """Append a piece, rounded to the nearest step."""
        steps = np.clip(np.rint(waveform / np.float32(self._step)), -(2**15), 2**15 - 1)
        try:
            self._file.write(steps.astype("<i2").tobytes())
        except OSError as error:
            raise _unwritable(error) from error
        self._n_samples += len(waveform)

    def keep(self, digest: str) -> None:
        """Move the whole waveform to its name. If the cache was deleted meanwhile, nothing is kept."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())  # the samples before the header: a crash must not leave a valid header alone
            self._file.seek(0)
            self._file.write(_HEADER.pack(_MAGIC, self._n_samples, self._step))
            self._file.flush()
            with suppress(FileNotFoundError):
                os.replace(self._file.name, _decoded_path(digest))
        except OSError as error:
            raise _unwritable(error) from error


def read_record(name: str) -> bytes | None:
    """Read a small record; None if there is none. The inverse of `write_record`."""
    try:
        return _record_path(name).read_bytes()
    except OSError:
        return None


def write_record(name: str, content: bytes) -> None:
    """Keep a small record, if the cache can be written. Without records the next scan is slower, and nothing else."""
    with suppress(OutputError):
        write_whole(_record_path(name), content)


def touch(path: Path) -> None:
    """Note that a file is used now, if the cache lets itself be written."""
    with suppress(OSError):
        os.utime(path)


def drop_oldest(folder: Path, n_bytes: int) -> None:
    """Delete the files of a folder that were written or used longest ago, until the rest has n_bytes or less.

    Where that fails, as where another program deletes the same files, it ends, and the next time goes on.
    """
    with suppress(OSError):
        n_kept = 0
        files = [(path, path.stat()) for path in folder.iterdir() if path.is_file()]
        for path, status in sorted(files, key=lambda each: each[1].st_mtime_ns, reverse=True):
            n_kept += status.st_size
            if n_kept > n_bytes:
                path.unlink(missing_ok=True)


def copy_path(name: str) -> Path:
    """Return the path of the copy of that name, which may not be there."""
    return root() / "fetched" / name


def keep_copy(name: str, fill: Callable[[Path], object]) -> Path:
    """Return the path of the copy of that name; call `fill` with a path to write to if there is none.

    Raises:
        OutputError: the cache cannot be written.
    """
    path = copy_path(name)
    if path.exists():
        return path
    with ExitStack() as stack:
        try:
            draft = stack.enter_context(temporary_path(path.parent))
        except OSError as error:
            raise _unwritable(error) from error
        fill(draft)
        try:
            os.replace(draft, path)
        except OSError as error:
            raise _unwritable(error) from error
    return path


@cache
def code_digest(*modules: ModuleType) -> str:
    """Hash what modules do, for the keys of records that depend on it. Comments and docstrings do not count.

    It reads tokens and not a syntax tree: CPython 3.11 fails when two threads make one at a time (gh-106905), and
    recordings are read by several.
    """
    digest = hashlib.blake2b(digest_size=8)
    for module in modules:
        assert module.__file__ is not None
        with Path(module.__file__).open("rb") as file:
            for token in _code_tokens(tokenize.tokenize(file.readline)):
                text = "" if token.type == tokenize.INDENT else token.string
                digest.update(f"{token.type} {text}\0".encode())
    return digest.hexdigest()


def _code_tokens(tokens: Iterable[tokenize.TokenInfo]) -> Iterator[tokenize.TokenInfo]:
    """Yield tokens without comments, empty lines and docstrings."""
    before, after_docstring = tokenize.NEWLINE, False
    for token in tokens:
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING):
            continue
        if token.type == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            after_docstring = True
            continue
        if not after_docstring or token.type != tokenize.NEWLINE:
            yield token
        before, after_docstring = token.type, False


def _decoded_path(digest: str) -> Path:
    return root() / "decoded" / f"{digest}.pcm"


def _record_path(name: str) -> Path:
    return root() / "surveys" / f"{name}.json"


def _open_temporary(folder: Path, stack: ExitStack) -> BinaryIO:
    """Open a temporary file for writing; try again if another program deletes the cache between two steps."""
    for n_left in reversed(range(_N_ATTEMPTS)):
        try:
            path = stack.enter_context(temporary_path(folder))
            return stack.enter_context(path.open("xb"))
        except FileNotFoundError:
            if n_left == 0:
                raise
    raise AssertionError("the last attempt returns or raises")


def _unwritable(error: OSError) -> OutputError:
    advice = "set QUARTERWAVE_CACHE to a folder with room"
    return OutputError(f"{root()}: the cache of decoded recordings cannot be written ({error.strerror}); {advice}")
