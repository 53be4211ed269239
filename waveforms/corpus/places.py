"""Places of recordings (a folder, a manifest or a URL, or several of these) -> one list of files."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from waveforms.corpus import manifest, remote
from waveforms.corpus.recording import Recording
from waveforms.corpus.remote import Remote
from waveforms.corpus.survey import survey
from waveforms.corpus.works import work_of
from waveforms.errors import AudioError, CorpusError
from waveforms.files import find_files
from waveforms.notes.midi import is_midi

Place = str | Path

_TOLERANCE = 0.05  # s; manifests give two decimals or one


@dataclass(frozen=True)
class File:
    """A file that may be a recording.

    Attributes:
        name: its name in the corpus.
        where: its path on this machine, or its place on other storage.
        promise: a manifest's line about it.
        work: the work that it belongs to.
    """

    name: str
    where: Path | Remote
    promise: manifest.Line | None = None
    work: str | None = None

    def look(self) -> Recording:
        """Fetch the file if need be, and survey it.

        Raises:
            AudioError: the file cannot be used, or is not what the manifest promises.
            CorpusError: a package is lacking.
            OutputError: the cache cannot be written.
        """
        if isinstance(self.where, Path):
            return self._surveyed(self.where, None)
        try:
            return self._surveyed(self.where.fetch(), self.where)
        except AudioError as error:  # it names the copy
            raise AudioError(self.where.url, error.reason) from error

    def _surveyed(self, path: Path, origin: Remote | None) -> Recording:
        promise = self.promise or manifest.Line("")
        if promise.sha256 and (digest := _sha256(path)) != promise.sha256.lower():
            raise AudioError(path, f"not as promised: its SHA-256 is {digest}")
        recording = Recording(self.name, survey(path), origin, promise.split, self.work)
        if promise.seconds is not None and abs(recording.seconds - promise.seconds) > _TOLERANCE:
            raise AudioError(path, f"not as promised: it lasts {recording.seconds:.2f} s and not {promise.seconds:g} s")
        return recording


def find(places: Sequence[Place]) -> tuple[list[File], list[AudioError]]:
    """List the files of some places, sorted by name; with several places, names begin with that of the place.

    Returns:
        the files; and a problem for every folder that cannot be listed.

    Raises:
        CorpusError: a place is missing, cannot be listed or is a faulty manifest, or two places have one name.
    """
    labels = [_label(str(place)) for place in places]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise CorpusError(
            f"{twice[0]}: two places have this name, so names of recordings would collide; list them in a manifest"
        )
    files: list[File] = []
    problems: list[AudioError] = []
    for place, label in zip(places, labels, strict=True):
        prefix = f"{label}/" if len(places) > 1 else ""
        for file in _files(place, problems):
            work = (file.promise and file.promise.group) or work_of(file.name)  # wherever the place itself is
            files.append(File(prefix + file.name, file.where, file.promise, work))
    return sorted(files, key=lambda file: file.name), problems


def resolved(place: Place) -> str:
    """Make a place absolute, so that it can be found from anywhere on this machine; a URL is one already."""
    return str(place) if remote.is_url(str(place)) else str(Path(place).resolve())


def is_here(place: Place) -> bool:
    """Report whether a place exists; a URL is not checked."""
    return remote.is_url(str(place)) or Path(place).exists()


def _label(place: str) -> str:
    return PurePosixPath(place).name if remote.is_url(place) else Path(place).resolve().name


def _files(place: Place, problems: list[AudioError]) -> Iterator[File]:
    text = str(place)
    if text.endswith(manifest.SUFFIX):
        yield from _listed(text)
    elif remote.is_url(text):
        yield from (File(name, where) for name, where in remote.find(text))
    else:
        found, faults = find_files(place)
        problems += faults
        recordings = {path.with_suffix("") for _, path in found if not is_midi(path)}
        for name, path in found:
            if not (is_midi(path) and path.with_suffix("") in recordings):  # it belongs to the recording beside it
                yield File(name, path)


def _listed(place: str) -> Iterator[File]:
    if remote.is_url(place):
        content = remote.read_text(place)
    else:
        try:
            content = Path(place).read_text(encoding="utf-8")
        except OSError as error:
            raise CorpusError(f"{place}: the list cannot be read ({(error.strerror or '').lower()})") from error
        except UnicodeDecodeError as error:
            raise CorpusError(f"{place}: a list is UTF-8 text, and this is not ({error})") from error
    for line in manifest.parse(content, source=place):
        if remote.is_url(line.path):
            yield File(line.path, Remote(line.path), line)
        elif remote.is_url(place):
            yield File(line.path, Remote(f"{place.rpartition('/')[0]}/{line.path}"), line)
        else:
            yield File(line.path, Path(place).parent / line.path, line)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise AudioError(path, "missing: no such file") from error
    except OSError as error:
        raise AudioError(path, f"unreadable: {(error.strerror or str(error)).lower()}") from error
