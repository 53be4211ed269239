"""Files on other storage, through fsspec: listed by a URL, and copied whole into the cache when needed.

    s3://bucket/takes/   file:///srv/takes/   https://host/takes/   ->  <cache>/fetched/<digest of URL and version>

A copy is an ordinary file: recordings are read from it, and by seeking, as from any other.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from waveforms.corpus import cache
from waveforms.errors import AudioError, CorpusError, OutputError

# Names that storages use for what distinguishes one version of a file from another.
_VERSION_KEYS = ("size", "ETag", "etag", "md5Hash", "content_md5", "mtime", "created", "LastModified", "last_modified")


def is_url(place: str) -> bool:
    """Report whether a place is a URL, not a local path.

    >>> is_url("s3://bucket/takes"), is_url("takes")
    (True, False)
    """
    return "://" in place


@dataclass(frozen=True)
class Remote:
    """One file on other storage. May be pickled, and fetched from any thread or process.

    Attributes:
        url: the file's place.
    """

    url: str

    def fetch(self) -> Path:
        """Return its copy in the cache; make one if there is none of the version that the storage has now.

        Raises:
            AudioError: the file is missing, or cannot be read.
            CorpusError: a package is lacking.
            OutputError: the cache cannot be written.
        """
        system, path = _system(self.url)
        try:
            info = system.info(path)
            if info["type"] != "file":
                raise AudioError(self.url, "not audio: a file is needed, and this is a folder")
            name = hashlib.blake2b(
                repr([self.url, *(info.get(key) for key in _VERSION_KEYS)]).encode(), digest_size=20
            ).hexdigest()
            return cache.keep_copy(name, lambda copy: system.get_file(path, str(copy)))
        except (AudioError, CorpusError, OutputError):
            raise
        except FileNotFoundError as error:
            raise AudioError(self.url, "missing: no such file") from error
        except Exception as error:  # each storage has its own kinds
            raise AudioError(self.url, f"unreadable: {_in_a_line(error)}") from error


def find(url: str) -> list[tuple[str, Remote]]:
    """List every file below a URL, as (path relative to it, file), sorted; hidden ones are skipped.

    Raises:
        CorpusError: it cannot be listed, or a package is lacking.
    """
    system, root = _system(url)
    try:
        found = [str(path) for path in system.find(root)]
    except Exception as error:  # each storage has its own kinds
        raise CorpusError(f"{url}: cannot be listed ({_in_a_line(error)})") from error
    root = root.rstrip("/")
    names = [PurePosixPath(path.removeprefix(root).lstrip("/")) for path in found]
    seen = [str(name) for name in names if not any(part.startswith(".") for part in name.parts)]
    return [(name, Remote(f"{url.rstrip('/')}/{name}")) for name in sorted(seen)]


def read_text(url: str) -> str:
    """Read a small text file.

    Raises:
        CorpusError: it cannot be read, or a package is lacking.
    """
    system, path = _system(url)
    try:
        return str(system.cat_file(path).decode())
    except Exception as error:  # each storage has its own kinds
        raise CorpusError(f"{url}: cannot be read ({_in_a_line(error)})") from error


def _system(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise CorpusError(f"{url}: a package is lacking: {_in_a_line(error)}") from error
    except ValueError as error:
        raise CorpusError(f"{url}: no such kind of storage is known: {_in_a_line(error)}") from error
    return system, path


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
