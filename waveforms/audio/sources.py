"""The door for sound files: opens one, or says in a word and a sentence why it cannot be used.

Every reason has the form "kind: sentence", so that a table can count the kinds:
missing, unreadable, empty, not audio, damaged, truncated, chained, sample rate (here);
not finite, too short, silent, out of range (where the samples are read, `audio` and `survey`).
"""

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import soundfile

from waveforms.audio import mpeg
from waveforms.errors import AudioError

CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3", "AU", "CAF")
LEGAL = "WAV, RF64, BW64, W64, AIFF, FLAC, OGG, MP3, AU or CAF"
MIN_SOURCE_RATE, MAX_SOURCE_RATE = 1_000, 1_000_000
_UNRECOGNISED = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT
_N_HEADER_BYTES = 1 << 16  # enough for any header, and for the last page of an Ogg file

# libsndfile shortens a file to what it holds and tells only its log, for example
# "data : 192000 (should be 115182)". RIFF and FORM sizes are left out: many writers get them wrong.
_CLAIM = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_CUT = re.compile(r"lacks an end-of-stream bit|without an End-Of-Stream flag")
_EMPTY_DATA = re.compile(r"^RIFF : (?:0|4294967295)\b.*^data : 0$", re.MULTILINE | re.DOTALL)


class _View(io.RawIOBase):
    """A file whose first bytes are seen as others: prefix + what stands at n_skipped and beyond."""

    def __init__(self, path: Path, prefix: bytes, n_skipped: int) -> None:
        self._file = path.open("rb")
        self._prefix = prefix
        self._shift = n_skipped - len(prefix)
        self._position = 0

    def readinto(self, buffer, /):  # type: ignore[no-untyped-def]  # the buffer protocol has no name in 3.11
        view = memoryview(buffer).cast("B")
        own = self._prefix[self._position : self._position + len(view)]
        n_read = len(own)
        view[:n_read] = own
        if n_read < len(view):
            self._file.seek(self._position + n_read + self._shift)
            n_read += self._file.readinto(view[n_read:])
        self._position += n_read
        return n_read

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size()}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._file.close()
        super().close()

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size - self._shift


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A SoundFile that just reads on.

    Asked whether it can seek, it says no, though `seek` works: python-soundfile otherwise seeks
    after every read, which makes an MP3 decoder stumble (errors of 1 % of full scale were seen at the seams)
    and libsndfile jump over a gap in a damaged OGG without a word.
    """

    def seekable(self) -> bool:
        return False


@contextmanager
def opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """Open a sound file for reading, by its content and never by its name.

    Raises:
        AudioError: the file is missing, unreadable, empty, not audio, damaged, truncated or of an
            impossible sample rate; its reason says which.
    """
    path = Path(path)
    with ExitStack() as stack:
        file = _open_sound(path, stack)
        _check(path, file)
        yield file


def container(path: Path, file: soundfile.SoundFile) -> str:
    """Name the container of an open file; libsndfile takes a BW64, which was mended, for an RF64."""
    if file.format == "RF64":
        with path.open("rb") as raw:
            return raw.read(4).decode("ascii")
    return str(file.format)


def _open_regular(path: Path) -> int:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would hang, a folder would confuse
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
            raise AudioError(path, f"not audio: a file is needed, and this is {kind}")
        if status.st_size == 0:
            raise AudioError(path, "empty: the file holds 0 bytes")
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        link = "a link to a file that does not exist" if path.is_symlink() else "no such file"
        raise AudioError(path, f"missing: {link}") from error
    except OSError as error:
        raise AudioError(path, f"unreadable: {(error.strerror or str(error)).lower()}") from error


def _open_sound(path: Path, stack: ExitStack) -> soundfile.SoundFile:
    descriptor = _open_regular(path)
    # Ours to close: libsndfile closes a descriptor of its own on some failures and not on others.
    stack.callback(os.close, descriptor)
    header = os.pread(descriptor, _N_HEADER_BYTES, 0)
    if header[:4] == b"BW64":  # ITU-R BS.2088: RF64 (EBU Tech 3306) under another name
        return _view(path, b"RF64", 4, stack)
    file = stack.enter_context(_sound_file(path, descriptor))
    data = header.find(b"data", 12)
    if file.frames == 0 and data > 0 and _EMPTY_DATA.search(file.extra_info):
        # A recorder that was stopped before it could write the sizes: the sound runs to the end of the file.
        return _view(path, header[: data + 4] + b"\xff\xff\xff\xff", data + 8, stack)
    if file.format == "MP3" and (tag := mpeg.missing_tag(path)):
        return _view(path, *tag, stack)
    return file


def _view(path: Path, prefix: bytes, n_skipped: int, stack: ExitStack) -> soundfile.SoundFile:
    view = stack.enter_context(_View(path, prefix, n_skipped))
    return stack.enter_context(_sound_file(path, view))


def _sound_file(path: Path, file: int | _View) -> soundfile.SoundFile:
    try:
        return _SoundFile(file, closefd=False)
    except soundfile.LibsndfileError as error:
        if error.code == _UNRECOGNISED:
            raise AudioError(path, f"not audio: a recording may be {LEGAL}") from error
        raise AudioError(path, f"damaged: {error.error_string.rstrip('.').lower()}") from error


def _check(path: Path, file: soundfile.SoundFile) -> None:
    if file.format not in CONTAINERS:
        raise AudioError(path, f"not audio: a recording may be {LEGAL}, and this is {file.format}")
    if not MIN_SOURCE_RATE <= file.samplerate <= MAX_SOURCE_RATE:
        legal = f"{MIN_SOURCE_RATE} to {MAX_SOURCE_RATE} Hz can be read"
        raise AudioError(path, f"sample rate: {legal}, and this is {file.samplerate} Hz")
    log = file.extra_info
    for claimed, held in _CLAIM.findall(log):
        if int(held) < int(claimed) and not _is_placeholder(int(claimed)):
            promise = f"its header promises {claimed} bytes and the file holds {held}"
            raise AudioError(path, f"truncated: {promise}")
    if _OGG_CUT.search(log):
        raise AudioError(path, "truncated: the last page of the stream is missing")
    if file.format == "OGG" and _is_chained(path):
        raise AudioError(path, "chained: streams stand one after another, and only the first can be read")


def _is_chained(path: Path) -> bool:
    """Tell whether the last page of an Ogg file belongs to another stream than the first (RFC 3533)."""
    with path.open("rb") as raw:
        first = raw.read(18)
        raw.seek(max(0, path.stat().st_size - _N_HEADER_BYTES))  # a page holds 65 307 bytes at most
        tail = raw.read()
    last = tail.rfind(b"OggS")
    return last >= 0 and tail[last + 14 : last + 18] != first[14:18]


def _is_placeholder(n_bytes: int) -> bool:
    """Tell a size that a streaming writer leaves behind: near 2**31 (sox, arecord), 2**32 (ffmpeg) or 2**64."""
    return 0x7FF0_0000 <= n_bytes <= 0x8000_0000 or 0xFFFF_0000 <= n_bytes < 2**32 or n_bytes >= 2**62
