"""Marks: named places in a clip, as chunks of a WAV file (cue points) and as an Audacity label file.

Cue points, their labels (`labl`) and their lengths (`ltxt`) follow the Multimedia Programming Interface and Data
Specifications 1.0 (IBM and Microsoft, 1991); text is UTF-8, which Audacity and Reaper read and write.
"""

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from waveforms import SAMPLE_RATE
from waveforms.files import write_whole

METADATA = {"title": b"INAM", "artist": b"IART", "software": b"ISFT", "comment": b"ICMT"}  # name: chunk in LIST INFO
_CODE_PAGE_UTF8 = 65001


@dataclass(frozen=True)
class Mark:
    """A named place, or a named region if n_samples is not 0.

    Attributes:
        sample: where it begins, counted from the clip's first sample.
        label: its name.
        n_samples: how long it lasts.
    """

    sample: int
    label: str
    n_samples: int = 0


def pack_chunk(name: bytes, body: bytes) -> bytes:
    """Make one RIFF chunk: its name, its size without the pad byte, its body, and a pad byte if the size is odd.

    >>> pack_chunk(b"note", b"abc")
    b'note\\x03\\x00\\x00\\x00abc\\x00'
    """
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def pack_marks(marks: Sequence[Mark]) -> bytes:
    """Make the chunks `cue ` and `LIST adtl` of a WAV file; nothing if there are no marks."""
    if not marks:
        return b""
    points, texts = [], []
    for i, mark in enumerate(marks, start=1):
        points.append(struct.pack("<II4sIII", i, mark.sample, b"data", 0, 0, mark.sample))
        texts.append(pack_chunk(b"labl", struct.pack("<I", i) + _encoded(mark.label)))
        if mark.n_samples:
            length = struct.pack("<II4sHHHH", i, mark.n_samples, b"rgn ", 0, 0, 0, _CODE_PAGE_UTF8)
            texts.append(pack_chunk(b"ltxt", length))
    cues = pack_chunk(b"cue ", struct.pack("<I", len(points)) + b"".join(points))
    return cues + pack_chunk(b"LIST", b"adtl" + b"".join(texts))


def pack_metadata(metadata: Mapping[str, str]) -> bytes:
    """Make the chunk `LIST INFO` of a WAV file, {a key of METADATA: text}; nothing if there is no metadata.

    Raises:
        ValueError: a key is not one of METADATA.
    """
    if unknown := sorted(set(metadata) - set(METADATA)):
        raise ValueError(f"metadata must be among {', '.join(METADATA)} and not {', '.join(unknown)}")
    texts = [pack_chunk(METADATA[word], _encoded(text)) for word, text in metadata.items()]
    return pack_chunk(b"LIST", b"INFO" + b"".join(texts)) if texts else b""


def write_labels(path: Path, marks: Iterable[Mark]) -> None:
    """Write an Audacity label file: one line a mark, "start<TAB>end<TAB>label", in seconds.

    A line break in a label becomes a space: the format cannot hold one.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = []
    for mark in marks:
        start, end = mark.sample / SAMPLE_RATE, (mark.sample + mark.n_samples) / SAMPLE_RATE
        label = re.sub(r"\r\n|[\r\n]", " ", mark.label)
        lines.append(f"{start:.7f}\t{end:.7f}\t{label}\n")  # 0.1 us: under a hundredth of a sample
    write_whole(path, "".join(lines))


def _encoded(text: str) -> bytes:
    """Encode as RIFF requires: ended by NUL."""
    return text.encode("utf-8") + b"\0"
