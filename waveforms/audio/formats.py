"""Opens sound files, or says in a word and a sentence why one cannot be used.

Every reason has the form "kind: sentence", so that a table can count the kinds:
missing, unreadable, empty, not audio, damaged, truncated, chained, sample rate (here);
damaged, truncated, not finite (while samples are read, `decoding`); too short, silent, out of range (`corpus.survey`).
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

# libsndfile shortens a file to what it holds and reports this in its log alone, for example
# "data : 192000 (should be 115182)". RIFF and FORM sizes are left out: many writers get them wrong.
_CLAIM = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_TRUNCATED = re.compile(r"lacks an end-of-stream bit|without an End-Of-Stream flag")
_EMPTY_DATA = re.compile(r"^RIFF : (?:0|4294967295)\b.*^data : 0$", re.MULTILINE | re.DOTALL)


class _View(io.RawIOBase):
    """A file with its first n_skipped bytes replaced by a prefix."""

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


class Sound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A SoundFile that only reads forward.

    Its `seekable` is False, though `seek` works: otherwise python-soundfile seeks after every read, which makes an MP3
    decoder stumble (errors of 1 % of full scale at the seams) and libsndfile jump a gap in a damaged OGG silently.

    Attributes:
        path: the file.
        container: one of CONTAINERS, or "BW64", which libsndfile reads as an RF64.
    """

    def __init__(self, path: Path, file: "int | _View", *, is_bw64: bool = False) -> None:
        try:
            super().__init__(file, closefd=False)
        except soundfile.LibsndfileError as error:
            if error.code == _UNRECOGNISED:
                raise AudioError(path, f"not audio: a recording may be {LEGAL}") from error
            raise AudioError(path, f"damaged: {error.error_string.rstrip('.').lower()}") from error
        self.path = path
        self.container = "BW64" if is_bw64 else str(self.format)

    def seekable(self) -> bool:
        """Return False, see the class."""
        return False


@contextmanager
def opened(path: str | Path) -> Iterator[Sound]:
    """Open a sound file for reading, by its content and never by its name.

    Raises:
        AudioError: the file is missing, unreadable, empty, not audio, damaged, truncated or of an impossible sample
            rate; its reason says which.
    """
    with ExitStack() as stack:
        sound = _open_sound(Path(path), stack)
        _check(sound)
        yield sound


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


def _open_sound(path: Path, stack: ExitStack) -> Sound:
    descriptor = _open_regular(path)
    # Ours to close: libsndfile closes a descriptor of its own on some failures and not on others.
    stack.callback(os.close, descriptor)
    header = os.pread(descriptor, _N_HEADER_BYTES, 0)
    if header[:4] == b"BW64":  # ITU-R BS.2088: RF64 (EBU Tech 3306) under another name
        return _open_view(path, b"RF64", 4, stack, is_bw64=True)
    sound: Sound = stack.enter_context(Sound(path, descriptor))
    data = header.find(b"data", 12)
    if sound.frames == 0 and data > 0 and _EMPTY_DATA.search(sound.extra_info):
        # A recorder was stopped before it could write the sizes: the sound reaches to the end of the file.
        return _open_view(path, header[: data + 4] + b"\xff\xff\xff\xff", data + 8, stack)
    if sound.format == "MP3" and (tag := mpeg.missing_tag(path)):
        return _open_view(path, *tag, stack)
    return sound


def _open_view(path: Path, prefix: bytes, n_skipped: int, stack: ExitStack, *, is_bw64: bool = False) -> Sound:
    view = stack.enter_context(_View(path, prefix, n_skipped))
    sound: Sound = stack.enter_context(Sound(path, view, is_bw64=is_bw64))
    return sound


def _check(sound: Sound) -> None:
    if sound.format not in CONTAINERS:
        raise AudioError(sound.path, f"not audio: a recording may be {LEGAL}, and this is {sound.format}")
    if not MIN_SOURCE_RATE <= sound.samplerate <= MAX_SOURCE_RATE:
        legal = f"{MIN_SOURCE_RATE} to {MAX_SOURCE_RATE} Hz can be read"
        raise AudioError(sound.path, f"sample rate: {legal}, and this is {sound.samplerate} Hz")
    log = sound.extra_info
    for claimed, held in _CLAIM.findall(log):
        if int(held) < int(claimed) and not _is_placeholder(int(claimed)):
            promise = f"its header promises {claimed} bytes and the file holds {held}"
            raise AudioError(sound.path, f"truncated: {promise}")
    if _OGG_TRUNCATED.search(log):
        raise AudioError(sound.path, "truncated: the last page of the stream is missing")
    if sound.format == "OGG" and _is_chained(sound.path):
        raise AudioError(sound.path, "chained: streams stand one after another, and only the first can be read")


def _is_chained(path: Path) -> bool:
    """Report whether the last page of an Ogg file belongs to another stream than the first (RFC 3533)."""
    with path.open("rb") as raw:
        first = raw.read(18)
        raw.seek(max(0, path.stat().st_size - _N_HEADER_BYTES))  # a page holds 65 307 bytes at most
        tail = raw.read()
    last = tail.rfind(b"OggS")
    return last >= 0 and tail[last + 14 : last + 18] != first[14:18]


def _is_placeholder(n_bytes: int) -> bool:
    """Recognise a size that a streaming writer leaves behind: near 2**31 (sox, arecord), 2**32 (ffmpeg) or 2**64."""
    return 0x7FF0_0000 <= n_bytes <= 0x8000_0000 or 0xFFFF_0000 <= n_bytes < 2**32 or n_bytes >= 2**62
