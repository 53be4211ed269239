"""Files that appear whole, and never over another one unasked."""

import contextlib
import os
import secrets
from pathlib import Path

from pipeline.errors import OutputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place and move it there when complete; text is UTF-8.

    Raises:
        OutputError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(draft, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {(error.strerror or '').lower()}") from error
    finally:
        with contextlib.suppress(OSError):  # the folder may be none
            draft.unlink(missing_ok=True)


def check_free(path: Path, *, force: bool) -> None:
    """Refuse to overwrite a file, or to write among the files of a folder.

    Raises:
        OutputError: there is one, and force was not given.
    """
    taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if taken and not force:
        what = "holds files already" if path.is_dir() else "exists already"
        raise OutputError(f"{path}: {what}; --force overwrites")
