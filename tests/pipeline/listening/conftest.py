"""Three systems of short recordings that differ in all that must not tell them apart: length, level, format, marks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.listening.make import Made, make_test
from tests.pipeline.conftest import melody
from waveforms.audio import ClipWriter
from waveforms.audio.marks import Mark

SYSTEMS = ("zebra-ours", "zebra-real", "zebra-classic")


@pytest.fixture(scope="session")
def systems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("systems")
    folders = {system: root / system for system in SYSTEMS}
    for folder in folders.values():
        folder.mkdir()
    for n in range(3):
        marks, metadata = [Mark(100, "zebra mark")], {"comment": "zebra provenance"}
        path = folders["zebra-ours"] / f"zebra-clip-{n}.wav"
        with ClipWriter(path, marks=marks, metadata=metadata) as clip:
            clip.write(0.3 * melody(n, 1.5))
        path.with_suffix(".txt").write_text("0.0\t0.0\tzebra mark\n")
        loud = np.stack([melody(10 + n, 3.2), melody(20 + n, 3.2)], axis=1)
        soundfile.write(folders["zebra-real"] / f"zebra-{n}.flac", loud, 48_000)
    soundfile.write(folders["zebra-classic"] / "zebra.wav", 0.01 * melody(30, 3.9), 44_100, subtype="FLOAT")
    return folders


@pytest.fixture
def make(systems: dict[str, Path], tmp_path: Path) -> Callable[..., Made]:
    """Give a function that makes a test of clips of a second in tmp_path / "test"."""

    def make(name: str = "test", *, seed: int = 1, **settings: object) -> Made:
        return make_test(systems, tmp_path / name, seed=seed, **{"seconds": 1.0, **settings})  # type: ignore[arg-type]

    return make
