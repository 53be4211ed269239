"""Records of the cache come from what their keys hold: from all of it, and from nothing else."""

from pathlib import Path
from types import ModuleType

import pytest

from waveforms.corpus import cache

CODE = '''"""Doc."""

GAIN = 2  # decibels


def louder(x: float) -> float:
    """Say more."""
    return x * GAIN
'''


def digest_of(path: Path, code: str) -> str:
    path.write_text(code)
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    return cache.code_digest(module)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (("# decibels", "# dB"), False),
        (("Say more.", "Say less."), False),
        (("\n\n\n", "\n\n"), False),
        (("GAIN = 2", "GAIN = 3"), True),
        (("x * GAIN", "x + GAIN"), True),
    ],
)
def test_what_code_does_counts_and_what_it_says_does_not(tmp_path: Path, change: tuple[str, str], counts: bool) -> None:
    before = digest_of(tmp_path / "one.py", CODE)
    assert CODE.replace(*change) != CODE
    assert (digest_of(tmp_path / "other.py", CODE.replace(*change)) != before) == counts
