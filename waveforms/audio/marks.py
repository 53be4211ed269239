"""Marks: named places in a clip, kept inside a WAV file (cue points) or beside it (an Audacity label file).

Cue points, their labels (`labl`) and their lengths (`ltxt`) follow the Multimedia Programming
Interface and Data Specifications 1.0; text is UTF-8, which Audacity and Reaper read and write.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from waveforms import SAMPLE_RATE
from waveforms.audio import riff
from waveforms.errors import AudioError

METADATA = {  # our word: the name of its chunk in LIST INFO
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "genre": b"IGNR",
    "software": b"ISFT",
    "copyright": b"ICOP",
    "comment": b"ICMT",
}
_CODE_PAGE_UTF8 = 65001


@dataclass(frozen=True)
class Mark:
    """A named place, or a named region where n_samples is not 0.

    Attributes:
        sample: where it begins, counted from the clip's first sample.
        label: any text without the character NUL, which ends a text in RIFF.
        n_samples: how long it lasts.

    Raises:
        ValueError: a number is outside [0, 2**32), or the label cannot be written.
    """

    sample: int
    label: str
    n_samples: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.sample < 2**32 and 0 <= self.n_samples < 2**32):
            raise ValueError(
                f"sample and n_samples must lie in [0, 2**32) and not be {self.sample} and {self.n_samples}"
            )
        _encoded(self.label)


def write_marks(path: str | Path, marks: Iterable[Mark], *, metadata: Mapping[str, str] | None = None) -> None:
    """Put marks into a finished RIFF WAV file, in place of those it had; metadata likewise, if given.

    Raises:
        AudioError: the file is not a RIFF WAV file, or would pass 4 GiB.
        ValueError: a key of metadata is not one of METADATA.
    """
    marks = list(marks)
    added = []
    if metadata:
        added.append(_info_chunk(metadata))
    if marks:
        added += [_cue_chunk(marks), _adtl_chunk(marks)]

    def is_old(name: bytes, kind: bytes) -> bool:
        return name == b"cue " or (name == b"LIST" and (kind == b"adtl" or (kind == b"INFO" and bool(metadata))))

    riff.replace_chunks(Path(path), added, is_old)


def read_marks(path: str | Path) -> list[Mark]:
    """Read the marks of a RIFF WAV file, in the order they stand there.

    Raises:
        AudioError: the file is not a RIFF WAV file, or its cue chunk is damaged.
    """
    path = Path(path)
    positions: dict[int, int] = {}
    labels: dict[int, str] = {}
    lengths: dict[int, int] = {}
    for name, body in _bodies(path, b"cue ", b"LIST"):
        if name == b"cue ":
            positions.update(_cue_points(path, body))
        elif body[:4] == b"adtl":
            for kind, content in riff.walk(body[4:]):
                if kind == b"labl" and len(content) >= 4:
                    labels[_number(content)] = _decoded(content[4:])
                elif kind == b"ltxt" and len(content) >= 8:
                    lengths[_number(content)] = _number(content[4:])
    return [Mark(sample, labels.get(i, ""), lengths.get(i, 0)) for i, sample in positions.items()]


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read the metadata of a RIFF WAV file: {a key of METADATA: text}.

    Raises:
        AudioError: the file is not a RIFF WAV file.
    """
    words = {name: word for word, name in METADATA.items()}
    found = {}
    for _, body in _bodies(Path(path), b"LIST"):
        if body[:4] == b"INFO":
            found.update({words[name]: _decoded(text) for name, text in riff.walk(body[4:]) if name in words})
    return found


def write_labels(path: str | Path, marks: Iterable[Mark], *, sample_rate: int = SAMPLE_RATE) -> None:
    """Write an Audacity label file: one line a mark, "start<TAB>end<TAB>label", in seconds.

    The format has no way to hold a line break inside a label: it becomes a space.
    """
    lines = []
    for mark in marks:
        start, end = mark.sample / sample_rate, (mark.sample + mark.n_samples) / sample_rate
        label = mark.label.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")
        lines.append(f"{start:.7f}\t{end:.7f}\t{label}\n")  # 0.1 us: under a hundredth of a sample
    Path(path).write_text("".join(lines), encoding="utf-8", newline="\n")


def read_labels(path: str | Path, *, sample_rate: int = SAMPLE_RATE) -> list[Mark]:
    """Read an Audacity label file; lines that carry a region's frequencies are passed over.

    Raises:
        AudioError: a line is not "start<TAB>end<TAB>label", or the file is not UTF-8.
    """
    marks = []
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AudioError(path, f"a label file must be UTF-8, and byte {error.start} is not") from error
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if line == "" or line.startswith("\\"):
            continue
        try:
            start, end, *label = line.split("\t", 2)
            first, last = round(float(start) * sample_rate), round(float(end) * sample_rate)
            marks.append(Mark(first, "".join(label), last - first))
        except ValueError as error:
            legal = "a line must be start, end and label with tabs between"
            raise AudioError(path, f"line {number}: {legal}, and not {line!r}") from error
    return marks


def _info_chunk(metadata: Mapping[str, str]) -> bytes:
    unknown = sorted(set(metadata) - set(METADATA))
    if unknown:
        raise ValueError(f"metadata must be among {', '.join(METADATA)} and not {', '.join(unknown)}")
    texts = [riff.pack(METADATA[word], _encoded(text)) for word, text in metadata.items()]
    return riff.pack(b"LIST", b"INFO" + b"".join(texts))


def _cue_chunk(marks: list[Mark]) -> bytes:
    points = [
        struct.pack("<II4sIII", i, mark.sample, b"data", 0, 0, mark.sample) for i, mark in enumerate(marks, start=1)
    ]
    return riff.pack(b"cue ", struct.pack("<I", len(points)) + b"".join(points))


def _adtl_chunk(marks: list[Mark]) -> bytes:
    parts = []
    for i, mark in enumerate(marks, start=1):
        parts.append(riff.pack(b"labl", struct.pack("<I", i) + _encoded(mark.label)))
        if mark.n_samples:
            text = struct.pack("<II4sHHHH", i, mark.n_samples, b"rgn ", 0, 0, 0, _CODE_PAGE_UTF8)
            parts.append(riff.pack(b"ltxt", text))
    return riff.pack(b"LIST", b"adtl" + b"".join(parts))


def _cue_points(path: Path, body: bytes) -> dict[int, int]:
    n_points = _number(body) if len(body) >= 4 else -1
    if len(body) < 4 + 24 * n_points or n_points < 0:
        raise AudioError(path, f"the cue chunk is damaged: {n_points} points do not fit in its {len(body)} bytes")
    points = struct.iter_unpack("<II4sIII", body[4 : 4 + 24 * n_points])
    return {name: offset for name, _, _, _, _, offset in points}


def _bodies(path: Path, *names: bytes) -> list[tuple[bytes, bytes]]:
    with path.open("rb") as file:
        return [(chunk.name, riff.body(file, chunk)) for chunk in riff.chunks(path, file) if chunk.name in names]


def _number(content: bytes) -> int:
    return int.from_bytes(content[:4], "little")


def _encoded(text: str) -> bytes:
    """Encode as RIFF has it: UTF-8, ended by NUL."""
    if "\0" in text:
        raise ValueError(f"a text must not hold the character NUL, and {text!r} does")
    return text.encode("utf-8") + b"\0"


def _decoded(content: bytes) -> str:
    content = content.split(b"\0", 1)[0]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:  # older Windows programs wrote their own code page
        return content.decode("cp1252", errors="replace")
