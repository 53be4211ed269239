"""RIFF WAV files as chunks: the header of a new file, a walk through a finished one, chunks added to it.

    RIFF size WAVE | fmt  | (fact) | data ... (pad) | LIST ... | cue  ...

After the Multimedia Programming Interface and Data Specifications 1.0 (IBM and Microsoft, 1991):
little-endian, every chunk begins at an even offset, and a size counts neither itself nor the pad byte.
"""

import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from waveforms.errors import AudioError

MAX_BYTES = 2**32 - 1  # sizes are 32-bit numbers
ENCODINGS = {"PCM_16": (1, 2), "PCM_24": (1, 3), "FLOAT": (3, 4)}  # name: (format tag, bytes per sample)


@dataclass(frozen=True)
class Chunk:
    """One chunk of a file: its four-letter name, and where its body lies."""

    name: bytes
    offset: int
    size: int


def header(encoding: str, sample_rate: int, n_samples: int) -> bytes:
    """Make everything of a mono WAV file that stands before its first sample.

    Args:
        encoding: a key of ENCODINGS.
        sample_rate: in Hz.
        n_samples: how many samples follow.
    """
    tag, width = ENCODINGS[encoding]
    body = struct.pack("<HHIIHH", tag, 1, sample_rate, sample_rate * width, width, 8 * width)
    chunks = pack(b"fmt ", body) if tag == 1 else pack(b"fmt ", body + b"\0\0")
    if tag != 1:  # required of every encoding but PCM
        chunks += pack(b"fact", struct.pack("<I", n_samples))
    n_bytes = n_samples * width
    size = 4 + len(chunks) + 8 + n_bytes + n_bytes % 2
    return struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + chunks + struct.pack("<4sI", b"data", n_bytes)


def pack(name: bytes, body: bytes) -> bytes:
    """Make one chunk, its pad byte with it."""
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def walk(content: bytes) -> list[tuple[bytes, bytes]]:
    """Take apart the chunks inside another chunk's body: [(name, body), ...]; a torn last one is left out."""
    found = []
    offset = 0
    while offset + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, offset)
        if offset + 8 + size > len(content):
            break
        found.append((name, content[offset + 8 : offset + 8 + size]))
        offset += 8 + size + size % 2
    return found


def chunks(path: Path, file: BinaryIO) -> list[Chunk]:
    """List the chunks of an open WAV file.

    Raises:
        AudioError: the file is not a RIFF WAV file.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise AudioError(path, "marks live in RIFF WAV files, and this is not one")
    found = []
    offset = 12
    while offset + 8 <= n_bytes:
        file.seek(offset)
        name, size = struct.unpack("<4sI", file.read(8))
        found.append(Chunk(name, offset + 8, min(size, n_bytes - offset - 8)))
        offset += 8 + size + size % 2
    return found


def body(file: BinaryIO, chunk: Chunk) -> bytes:
    """Read one chunk's body."""
    file.seek(chunk.offset)
    return file.read(chunk.size)


def replace_chunks(path: Path, added: Iterable[bytes], is_old: Callable[[bytes, bytes], bool]) -> None:
    """Add packed chunks at the end of a finished WAV file, and turn old ones of their kind into JUNK.

    The samples stay where they are. The size in the header is written last, so that an
    interruption leaves a valid file.

    Args:
        path: a RIFF WAV file.
        added: chunks from `pack`.
        is_old: tells from a chunk's name and the first four bytes of its body whether it is replaced.

    Raises:
        AudioError: the file is not a RIFF WAV file, or it would pass 4 GiB.
    """
    new = b"".join(added)
    with path.open("r+b") as file:
        old = [c for c in chunks(path, file) if is_old(c.name, body(file, Chunk(c.name, c.offset, min(4, c.size))))]
        end = file.seek(0, os.SEEK_END)
        if end + end % 2 + len(new) - 8 > MAX_BYTES:
            raise too_long(path)
        file.write(b"\0" * (end % 2) + new)
        size = file.tell() - 8
        for chunk in old:
            file.seek(chunk.offset - 8)
            file.write(b"JUNK")
        file.seek(4)
        file.write(struct.pack("<I", size))


def too_long(path: Path) -> AudioError:
    """Make the error of a file that would pass what a RIFF size can count."""
    return AudioError(path, "a WAV file holds at most 4 GiB; render a shorter clip, or several")
