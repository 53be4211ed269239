"""A folder of the cache stays below its limit, and what was used last stays in it."""

import os
from pathlib import Path

from waveforms.corpus.cache import drop_oldest, touch


def filled(folder: Path) -> Path:
    """Four files of 100 bytes, written an hour after each other, and a folder."""
    (folder / "a folder").mkdir(parents=True)
    for n, name in enumerate("abcd"):
        (folder / name).write_bytes(bytes(100))
        os.utime(folder / name, (1e9 + 3600 * n, 1e9 + 3600 * n))
    return folder


def files_in(folder: Path) -> str:
    return "".join(sorted(path.name for path in folder.iterdir() if path.is_file()))


def test_the_oldest_go_first(tmp_path: Path) -> None:
    folder = filled(tmp_path / "folder")
    for n_bytes, left in [(400, "abcd"), (399, "bcd"), (250, "cd"), (100, "d"), (99, "")]:
        drop_oldest(folder, n_bytes)
        assert files_in(folder) == left
    assert (folder / "a folder").is_dir()


def test_what_is_used_is_not_old(tmp_path: Path) -> None:
    folder = filled(tmp_path / "folder")
    touch(folder / "a")
    drop_oldest(folder, 200)
    assert files_in(folder) == "ad"


def test_there_may_be_nothing_to_drop(tmp_path: Path) -> None:
    drop_oldest(tmp_path / "nowhere", 0)
    touch(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
