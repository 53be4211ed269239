"""Which recordings are held out: chosen by name, or by a draw that depends on names alone."""

import difflib
import fnmatch
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from waveforms.errors import CorpusError
from waveforms.recording import Recording


def choose(recordings: Sequence[Recording], fraction: float) -> set[str]:
    """Draw recordings to hold out: at least fraction of them, at least one, never all.

    Recordings are ranked by a hash of their names, so the draw is the same on every machine, and
    files added later move few of the others to the other side. Copies of the same sound go together.
    Only where all are copies of one sound are they drawn one by one.

    Returns:
        the names of those held out.
    """
    groups = _copies(recordings)
    if len(groups) == 1:
        groups = [[recording] for recording in recordings]
    n_wanted = math.ceil(fraction * len(recordings))
    held_out: set[str] = set()
    for group in sorted(groups, key=_rank)[:-1]:  # the last one stays for training, whatever the fraction
        if held_out and len(held_out) >= n_wanted:
            break
        held_out.update(recording.name for recording in group)
    return held_out


def match(recordings: Sequence[Recording], wanted: Sequence[str], *, folder: Path) -> set[str]:
    """Find the recordings that a user names, and their copies.

    Args:
        recordings: to choose from.
        wanted: file names, paths relative to the folder, paths, or patterns with "*", "?" and "[...]".
        folder: the corpus's, for messages.

    Returns:
        the names of those held out. A copy of a held-out recording is held out with it, unless
        nothing would be left to train on.

    Raises:
        CorpusError: one of wanted matches nothing.
    """
    named: set[str] = set()
    for text in wanted:
        found = {recording.name for recording in recordings if _matches(recording, text)}
        if not found:
            raise CorpusError(f"{folder}: no recording is named {text!r}; {_advice(recordings, text)}")
        named |= found
    groups = [group for group in _copies(recordings) if any(recording.name in named for recording in group)]
    with_copies = {recording.name for group in groups for recording in group}
    return with_copies if len(with_copies) < len(recordings) else named


def promised(recordings: Sequence[Recording]) -> set[str]:
    """Find the recordings that manifests hold out, and their copies that no manifest puts on the other side."""
    groups = [group for group in _copies(recordings) if any(recording.split == "validation" for recording in group)]
    return {recording.name for group in groups for recording in group if recording.split != "training"}


def _copies(recordings: Sequence[Recording]) -> list[list[Recording]]:
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(recording.findings.digest, []).append(recording)
    return list(groups.values())


def _rank(group: Sequence[Recording]) -> bytes:
    return min(_hash(recording.name) for recording in group)


def _hash(name: str) -> bytes:
    # Names that are not UTF-8 come from the system with surrogates in them.
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _matches(recording: Recording, text: str) -> bool:
    name = recording.name
    names = (name, PurePosixPath(name).name)
    if text in names or any(fnmatch.fnmatchcase(n, text) for n in names):
        return True
    return Path(text).is_absolute() and Path(text) == recording.path.absolute()


def _advice(recordings: Sequence[Recording], text: str) -> str:
    names = [recording.name for recording in recordings]
    bases = {PurePosixPath(name).name: name for name in names}
    close = difflib.get_close_matches(text, [*names, *bases], n=3, cutoff=0.7)
    close = list(dict.fromkeys(bases.get(name, name) for name in close))
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"there are {len(names)}, the first of them {', '.join(map(repr, names[:3]))}"
