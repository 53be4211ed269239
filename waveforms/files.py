"""Files that appear whole and never replace others unasked; the files of a folder in a stable order."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from waveforms.errors import AudioError, CorpusError, OutputError


@contextmanager
def temporary_path(folder: Path, name: str = "") -> Iterator[Path]:
    """Yield the path of a hidden file that no other program uses, and remove the file at the end if it is there.

    Args:
        folder: holds the file; made if it is not there.
        name: goes into the file's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name}.{secrets.token_hex(4)}.part"
    try:
        yield path
    finally:
        with suppress(OSError):  # the folder may be gone
            path.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and move the file from there to `path` when the block is done.

    An exception in the block leaves `path` as it was, and no other file.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with temporary_path(path.parent, path.name) as draft:
            yield draft
            os.replace(draft, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file by `atomic_write`; text is UTF-8.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def make_folder(path: Path) -> None:
    """Make a folder for results, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made a folder: {error.strerror}") from error


def check_free(path: Path, *, force: bool) -> None:
    """Refuse to overwrite a file, or to write among the files of a folder.

    Raises:
        OutputError: the file exists or the folder holds files, and force was not given.
    """
    taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if taken and not force:
        what = "holds files already" if path.is_dir() else "exists already"
        raise OutputError(f"{path}: {what}; --force overwrites")


def find_files(folder: str | Path) -> tuple[list[tuple[str, Path]], list[AudioError]]:
    """List every file in a folder and the folders in it.

    Hidden files and folders (names that begin with ".") are skipped: systems and editors leave them behind. Links are
    followed; a file with many links counts as many. A folder is entered once, however many links point to it, so a
    circle of links ends.

    Returns:
        [(path relative to the folder with "/" between the parts, path), ...] sorted by the first;
        and a problem for every folder inside that cannot be listed.

    Raises:
        CorpusError: there is no such folder, or it cannot be listed.
    """
    folder = Path(folder)
    if not folder.exists():
        raise CorpusError(f"{folder}: a folder of recordings is needed, and there is none of this name")
    if not folder.is_dir():
        raise CorpusError(f"{folder}: a folder of recordings is needed, and this is a file")
    files: list[tuple[str, Path]] = []
    problems: list[AudioError] = []

    def complain(error: OSError) -> None:
        place = Path(error.filename)
        if place == folder:
            raise CorpusError(f"{folder}: the folder cannot be listed ({(error.strerror or '').lower()})") from error
        problems.append(AudioError(place, f"unreadable: {(error.strerror or str(error)).lower()}"))

    entered: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=complain):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                path = Path(place, name)
                files.append((path.relative_to(folder).as_posix(), path))
    return sorted(files), problems
