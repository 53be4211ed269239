"""Reads tensors from a TensorFlow checkpoint (a "bundle") without TensorFlow.

A bundle is two files. The index is a table in LevelDB's format: sorted keys, here the variables'
names, and for each a little protocol buffer that tells shape and place. The data file is the
tensors' bytes. Sources: LevelDB's doc/table_format.md; TensorFlow's tensor_bundle.proto.
"""

import struct
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

_MAGIC = 0xDB4775248B80FB57
_N_FOOTER = 48  # bytes: the places of two blocks, padding, the magic number
_FLOAT32 = 1  # of TensorFlow's DataType
_DTYPE, _SHAPE, _OFFSET, _SIZE = 1, 2, 4, 5  # fields of a BundleEntryProto


def read_bundle(index: bytes, data: bytes) -> dict[str, Tensor]:
    """Read the float32 variables of a bundle of one data file.

    Args:
        index: content of the file that ends in `.index`.
        data: content of the file that ends in `.data-00000-of-00001`.

    Returns:
        {name: tensor}, in TensorFlow's layouts.

    Raises:
        ValueError: the index is not such a table, or is compressed, or points beyond the data. Its check
            sums are not looked at: whoever takes a bundle from outside checks the file's hash first.
    """
    tensors = {}
    for key, value in _entries(index):
        fields = dict(_fields(value))
        if key and fields.get(_DTYPE) == _FLOAT32:  # the empty key is the bundle's own header
            tensors[key.decode()] = _tensor(fields, data)
    return tensors


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a whole table: its index block names the blocks that hold them."""
    if len(table) < _N_FOOTER or struct.unpack("<Q", table[-8:])[0] != _MAGIC:
        raise ValueError("not the index of a TensorFlow checkpoint: its magic number is missing")
    position = len(table) - _N_FOOTER
    for _ in range(2):  # skip the place of the block of metadata
        _, position = _varint(table, position)
    for _, place in _block(table, position):
        yield from _block(table[:-_N_FOOTER], 0, place)


def _block(table: bytes, position: int, place: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of the block whose place (offset, size) is written in `place`, or in the table."""
    source = table if place is None else place
    start, position = _varint(source, position)
    size, _ = _varint(source, position)
    if start + size >= len(table) or table[start + size] != 0:
        raise ValueError("the index of a TensorFlow checkpoint is cut short or compressed")
    block = table[start : start + size]
    (n_restarts,) = struct.unpack("<I", block[-4:])
    position, end, key = 0, size - 4 * (n_restarts + 1), b""
    while position < end:
        n_shared, position = _varint(block, position)
        n_own, position = _varint(block, position)
        n_value, position = _varint(block, position)
        key = key[:n_shared] + block[position : position + n_own]
        position += n_own
        yield key, block[position : position + n_value]
        position += n_value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a protocol buffer: numbers as int, strings and messages as bytes."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield field, value
            continue
        size, position = _varint(message, position) if wire == 2 else ({1: 8, 5: 4}[wire], position)
        yield field, message[position : position + size]
        position += size


def _tensor(fields: dict[int, int | bytes], data: bytes) -> Tensor:
    dims = [value for field, value in _fields(bytes(fields.get(_SHAPE, b""))) if field == 2]
    shape = [int(dict(_fields(bytes(dim))).get(1, 0)) for dim in dims]
    start, size = int(fields.get(_OFFSET, 0)), int(fields[_SIZE])
    if start + size > len(data) or size != 4 * int(np.prod(shape)):
        raise ValueError(f"a variable of shape {shape} cannot be {size} of {len(data)} bytes from byte {start}")
    return torch.frombuffer(bytearray(data[start : start + size]), dtype=torch.float32).reshape(shape)


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, least significant first; also tells where it ends."""
    number = shift = 0
    while True:
        byte = content[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return number, position
