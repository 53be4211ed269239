"""The reader of TensorFlow's checkpoints against a writer of its own, after the two formats' documents."""

import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.bundle import read_bundle

FLOAT32, INT64 = 1, 9


def varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


def entry(shape: tuple[int, ...], offset: int, size: int, dtype: int) -> bytes:
    """A BundleEntryProto; like TensorFlow, leaves out what is zero."""
    dims = b"".join(b"\x12" + varint(len(dim)) + dim for dim in (b"\x08" + varint(n) for n in shape))
    place = (b"\x20" + varint(offset) if offset else b"") + b"\x28" + varint(size)
    return b"\x08" + varint(dtype) + b"\x12" + varint(len(dims)) + dims + place + b"\x35" + b"\xde\xad\xbe\xef"


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Keys share what they can with the one before, as LevelDB has it; one restart point."""
    content, last = b"", b""
    for key, value in pairs:
        n_shared = next(
            (n for n, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last))
        )
        content += varint(n_shared) + varint(len(key) - n_shared) + varint(len(value)) + key[n_shared:] + value
        last = key
    return content + struct.pack("<II", 0, 1)


def bundle(arrays: dict[str, np.ndarray], *, n_per_block: int = 2, compression: int = 0) -> tuple[bytes, bytes]:
    pairs, data = [(b"", b"\x08\x01\x1a\x02\x08\x01")], b""
    for name, array in sorted(arrays.items()):
        dtype = FLOAT32 if array.dtype == np.float32 else INT64
        pairs.append((name.encode(), entry(array.shape, len(data), array.nbytes, dtype)))
        data += array.tobytes()
    table, places = b"", []
    for start in range(0, len(pairs), n_per_block):
        content = block(pairs[start : start + n_per_block])
        places.append((pairs[start][0], varint(len(table)) + varint(len(content))))
        table += content + bytes([compression]) + b"crc!"
    ends = []
    for content in (block([]), block(places)):
        ends.append(varint(len(table)) + varint(len(content)))
        table += content + b"\0crc!"
    return table + b"".join(ends).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57), data


SHAPES = st.lists(st.integers(1, 20), max_size=4).map(tuple)


@given(st.dictionaries(st.text("conv2d_/ab", min_size=1, max_size=30), SHAPES, max_size=9), st.integers(1, 4))
def test_reads_what_was_written(shapes: dict[str, tuple[int, ...]], n_per_block: int) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    tensors = read_bundle(*bundle(arrays, n_per_block=n_per_block))
    assert tensors.keys() == arrays.keys()
    assert all(torch.equal(tensors[name], torch.from_numpy(np.asarray(array))) for name, array in arrays.items())


def test_other_types_are_left_out() -> None:
    arrays = {"step": np.array([7], np.int64), "weight": np.ones(3, np.float32)}
    assert read_bundle(*bundle(arrays)).keys() == {"weight"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda index, data: (b"\0" + index[:-1], data), "its magic number is missing"),
        (lambda index, data: (b"", data), "its magic number is missing"),
        (lambda index, data: (index[-60:], data), "cut short or compressed"),
        (lambda index, data: (index, data[:-1]), "cannot be 12 of 11 bytes from byte 0"),
    ],
)
def test_damage_is_told(damage, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_bundle(*damage(*bundle({"weight": np.ones(3, np.float32)})))


def test_a_compressed_index_is_refused() -> None:
    with pytest.raises(ValueError, match="cut short or compressed"):
        read_bundle(*bundle({"weight": np.ones(3, np.float32)}, compression=1))
