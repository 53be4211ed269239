"""The library as a caller meets it: its names, the examples of its page, and every doctest."""

import doctest
import importlib
import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import soundfile

import pipeline
from tests.pipeline.conftest import TINY, melody
from waveforms import SAMPLE_RATE

HOUSE = Path(__file__).parents[1]
MODULES = [
    ".".join(file.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")
    for package in ("waveforms", "pipeline")
    for file in sorted((HOUSE / package).rglob("*.py"))
    if ">>> " in file.read_text()
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_are_true(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", pipeline.__all__)
def test_every_name_of_the_library_is_documented(name: str) -> None:
    documented = getattr(pipeline, name)
    assert documented.__name__ == name
    assert documented.__doc__
    assert f"`{name}`" in (HOUSE / "docs/library.md").read_text()


def test_importing_the_library_imports_no_torch() -> None:
    code = "import sys, pipeline; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HOUSE)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match=r"^module 'pipeline' has no attribute 'trian'$"):
        pipeline.trian  # noqa: B018


def test_the_page_imports_only_names_of_the_library() -> None:
    text = (HOUSE / "docs/library.md").read_text()
    imported = {name for line in re.findall(r"^from pipeline import (.+)$", text, re.M) for name in line.split(", ")}
    assert imported <= set(pipeline.__all__)


def test_the_page_goes_from_a_folder_to_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first two examples as they stand, with a small network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    for n in range(3):
        soundfile.write(tmp_path / f"recordings/melody_{n}.wav", melody(n, 5.0), SAMPLE_RATE)
    first, second, *_ = re.findall(r"^```python\n(.*?)^```", (HOUSE / "docs/library.md").read_text(), re.M | re.S)
    small = first.replace('out="checkpoints/mine"', f'out="checkpoints/mine", preset="classic", values={TINY}')
    assert small != first
    assert len(first.splitlines()) <= 10
    names: dict[str, object] = {}
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(small, names)
        exec(second, names)
    n_clips = pipeline.RenderRequest(seed=7).n_clips
    lines = printed.getvalue().splitlines()
    for line in lines[:n_clips]:
        name, loudness, unit = line.split()
        assert soundfile.info(name).duration == pytest.approx(10.0)
        assert unit == "LUFS"
        assert -60 < float(loudness) < 0
    sizes = [re.fullmatch(r"torch\.Size\(\[1, (\d+)\]\) 0", line) for line in lines[n_clips:]]
    assert sum(int(size[1]) for size in sizes if size) == 8 * 11_025
