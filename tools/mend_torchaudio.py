"""Make torchaudio importable beside a CPU build of torch.

torchaudio's Linux wheels are linked against CUDA, so an import beside a CPU build of torch fails on missing libraries.
Its loader supports an absent compiled extension, and the parts that we use (resampling, mel scale, Griffin-Lim) are
plain torch. So this program renames the extension if torch has no CUDA. Beside a CUDA build it changes nothing.
"""

import importlib.util
from pathlib import Path

import torch

EXTENSIONS = ("_torchaudio.abi3.so", "libtorchaudio.abi3.so")


def main() -> None:
    """Rename the compiled extensions to `*.unused` if this torch cannot load them."""
    spec = importlib.util.find_spec("torchaudio")
    if spec is None or spec.origin is None or torch.version.cuda is not None:
        return
    for name in EXTENSIONS:
        extension = Path(spec.origin).parent / "lib" / name
        if extension.exists():
            extension.rename(extension.with_name(name + ".unused"))
            print(f"torchaudio: {name} needs CUDA and torch {torch.__version__} has none; set aside")


if __name__ == "__main__":
    main()
