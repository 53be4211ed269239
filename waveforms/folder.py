"""The files of a folder, in an order that does not depend on the system."""

import os
from pathlib import Path

from waveforms.errors import AudioError, CorpusError


def find_files(folder: str | Path) -> tuple[list[tuple[str, Path]], list[AudioError]]:
    """List every file in a folder and the folders in it.

    Hidden files and folders (names that begin with ".") are skipped: systems and editors leave them behind. Links are
    followed; a file with many links counts as many. A folder is entered once, however many links lead to it, so a
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
