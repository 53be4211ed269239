"""MP3 files without a length.

Most have a Xing, Info or VBRI tag in their first frame. Without one libsndfile guesses the length from the first bit
rate and reads no further, so it may silently lose the greater part of a file with a varying bit rate. This module
counts the frames and makes the missing tag.

Frame headers follow ISO/IEC 11172-3 and 13818-3, layer III; the tag follows Xing's decoder.
"""

import struct
from pathlib import Path
from typing import BinaryIO

_TAGS = (b"Xing", b"Info", b"VBRI")
_BIT_RATES = {  # kbit/s, by MPEG version (1, or 2 and 2.5) and index
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_SAME_STREAM = 0xFFFE_0C00  # sync, version, layer and sample rate: what stays from frame to frame
_BIT_RATE = 0x0000_F000
_N_SEARCHED = 1 << 16


def missing_tag(path: Path) -> tuple[bytes, int] | None:
    """Make the first frame that an MP3 file should have had.

    Returns:
        (a silent frame with a Xing tag, the offset of the file's own first frame); None if the file
        has a tag, or frames of another kind.
    """
    with path.open("rb") as file:
        first = _next_frame(file, _after_id3(file), None)
        if first is None:
            return None
        offset, header = first
        file.seek(offset)
        if any(tag in file.read(192) for tag in _TAGS):
            return None
        n_frames = _count(file, offset, header)
    # Bit rate 9 (128 or 80 kbit/s) makes the frame large enough for the tag; then: no CRC, no padding.
    silent = ((header & ~_BIT_RATE) | 0x0001_9000) & ~0x200
    side = _n_side_bytes(silent)
    frame = struct.pack(">I", silent) + bytes(side) + b"Xing" + struct.pack(">II", 1, n_frames)
    return frame.ljust(_length(silent), b"\0"), offset


def _after_id3(file: BinaryIO) -> int:
    """Return the offset behind an ID3v2 tag, whose length is in four bytes of seven bits each."""
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _count(file: BinaryIO, offset: int, like: int) -> int:
    n_frames = 0
    frame: tuple[int, int] | None = (offset, like)
    while frame is not None:
        n_frames += 1
        frame = _next_frame(file, frame[0] + _length(frame[1]), like)
    return n_frames


def _next_frame(file: BinaryIO, offset: int, like: int | None) -> tuple[int, int] | None:
    """Find the next frame at or after an offset: (offset, header)."""
    file.seek(offset)
    start = file.read(4)
    if len(start) == 4 and _is_frame(int.from_bytes(start), like):
        return offset, int.from_bytes(start)
    window = start + file.read(_N_SEARCHED)
    at = window.find(b"\xff")
    while 0 <= at <= len(window) - 4:
        header = int.from_bytes(window[at : at + 4])
        if _is_frame(header, like):
            return offset + at, header
        at = window.find(b"\xff", at + 1)
    return None


def _is_frame(header: int, like: int | None) -> bool:
    if like is not None and (header ^ like) & _SAME_STREAM:
        return False
    version, layer, rate = header >> 19 & 3, header >> 17 & 3, header >> 10 & 3
    is_layer_3 = header >> 21 == 0x7FF and layer == 1
    return is_layer_3 and version != 1 and rate != 3 and 1 <= header >> 12 & 15 <= 14


def _length(header: int) -> int:
    """Length of a frame in bytes."""
    version = header >> 19 & 3
    bit_rate = 1000 * _BIT_RATES[1 if version == 3 else 2][(header >> 12 & 15) - 1]
    sample_rate = _SAMPLE_RATES[version][header >> 10 & 3]
    n_samples = 1152 if version == 3 else 576
    return n_samples // 8 * bit_rate // sample_rate + (header >> 9 & 1)


def _n_side_bytes(header: int) -> int:
    is_mono = header >> 6 & 3 == 3
    if header >> 19 & 3 == 3:
        return 17 if is_mono else 32
    return 9 if is_mono else 17
