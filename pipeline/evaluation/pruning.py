"""Folders of the cache that stay below a limit, because what was used longest ago is dropped."""

import contextlib
import os
from pathlib import Path


def touch(path: Path) -> None:
    """Note that a file is used now, if the cache lets itself be written."""
    with contextlib.suppress(OSError):
        os.utime(path)


def drop_oldest(folder: Path, n_bytes: int) -> None:
    """Delete the files of a folder that were written or used longest ago, until the rest has n_bytes or less.

    Where that fails, as where another program deletes the same files, it ends, and the next time goes on.
    """
    with contextlib.suppress(OSError):
        n_kept = 0
        files = [(path, path.stat()) for path in folder.iterdir() if path.is_file()]
        for path, status in sorted(files, key=lambda each: each[1].st_mtime_ns, reverse=True):
            n_kept += status.st_size
            if n_kept > n_bytes:
                path.unlink(missing_ok=True)
