"""Chooses the recordings to hold out: whole works, by name, by a manifest, or by a hash of their names.

    recordings -> groups, by work and by sound -> groups that are held out -> names

No group is on both sides, and nothing that a model's ancestors were trained on is held out from it.
"""

import difflib
import fnmatch
import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from waveforms.corpus.recording import Recording
from waveforms.errors import CorpusError

Report = Callable[[str], object]  # called with a sentence for the user

_N_LISTED = 5  # names in a sentence


@dataclass(frozen=True)
class Group:
    """Recordings of one work, and copies of them.

    Attributes:
        name: the work's name.
        recordings: the recordings, in the corpus's order.
    """

    name: str
    recordings: tuple[Recording, ...]

    @property
    def names(self) -> list[str]:
        """The recordings' names."""
        return [recording.name for recording in self.recordings]


@dataclass(frozen=True)
class TrainedOn:
    """The recordings that a model was trained on before.

    Attributes:
        names: their names.
        digests: the digests of their sound.
        works: the works that they belong to.
    """

    names: frozenset[str] = frozenset()
    digests: frozenset[str] = frozenset()
    works: frozenset[str] = frozenset()

    def __contains__(self, recording: Recording) -> bool:
        return recording.name in self.names or recording.findings.digest in self.digests or recording.work in self.works


@dataclass(frozen=True)
class Wanted:
    """The wishes that decide on a split.

    Attributes:
        named: file names, paths relative to the corpus, paths, or patterns with "*", "?" and "[...]" to hold out. If
            there are none, manifests decide; if these say nothing, a hash of the names does.
        fraction: the share of recordings that the hash holds out, rounded up.
        trained_on: recordings and works that are never held out.
    """

    named: Sequence[str] = ()
    fraction: float = 0.1
    trained_on: TrainedOn = TrainedOn()


def hold_out(recordings: Sequence[Recording], wanted: Wanted, *, where: str, report: Report) -> set[str]:
    """Choose the recordings to hold out.

    Args:
        recordings: all recordings of a corpus.
        wanted: the wishes that decide.
        where: the corpus's places, for messages.
        report: called with a sentence on recordings that follow others to a side.

    Returns:
        the names of the recordings to hold out.

    Raises:
        CorpusError: a name matches nothing, a manifest puts a work on both sides, or nothing is left to hold out.
    """
    groups = groups_of(recordings)
    named = _named(recordings, wanted.named, where) or _promised(groups, where)
    chosen = [group for group in groups if named & {*group.names}] if named else groups
    free: list[Group] = []
    learned: list[Group] = []
    for group in chosen:
        is_learned = any(recording in wanted.trained_on for recording in group.recordings)
        (learned if is_learned else free).append(group)
    if not free:
        raise CorpusError(
            f"{where}: nothing is left to hold out: the checkpoint that this run begins with, or one before it, was "
            f"trained on {_listed(_names(chosen))}, or on the same works; hold out or add others, or begin from nothing"
        )
    if learned:
        report(f"stay for training, as the checkpoint has learned from them or their works: {_listed(_names(learned))}")
    if not named:
        return _hashed(groups, free, wanted.fraction, report)
    held_out = {*_names(free)}
    if len(held_out) == len(recordings) and held_out - named:
        rest = _listed(sorted(held_out - named))
        report(f"every recording is of a work that is held out, so none is new to the model: {rest} are learned from")
        return named
    if held_out - named:
        report(f"held out as well, being of the same works: {_listed(sorted(held_out - named))}")
    return held_out


def groups_of(recordings: Sequence[Recording]) -> list[Group]:
    """Group recordings of one work or with the same sound, transitively, in the order of each group's first."""
    leaders = list(range(len(recordings)))

    def leader(n: int) -> int:
        while leaders[n] != n:
            leaders[n] = n = leaders[leaders[n]]
        return n

    first: dict[tuple[str, str], int] = {}
    for n, recording in enumerate(recordings):
        for key in (("work", recording.work), ("digest", recording.findings.digest)):
            one, other = leader(n), leader(first.setdefault(key, n))
            leaders[max(one, other)] = min(one, other)
    groups: dict[int, list[Recording]] = {}
    for n, recording in enumerate(recordings):
        groups.setdefault(leader(n), []).append(recording)
    return [Group(min(recording.work for recording in members), tuple(members)) for members in groups.values()]


def copies_of(recordings: Iterable[Recording]) -> list[list[Recording]]:
    """Group recordings with the same sound to the bit."""
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(recording.findings.digest, []).append(recording)
    return list(groups.values())


def _hashed(groups: list[Group], free: list[Group], fraction: float, report: Report) -> set[str]:
    """Choose groups by a hash: at least that fraction of the recordings, at least one, never all.

    The hash of its name ranks a group, so the choice is the same on every machine, and files added later move few of
    the others to the other side. The largest group stays for training. If there is only one group, its sounds are
    ranked; if these are copies of one, its recordings are.
    """
    n_wanted = math.ceil(fraction * sum(len(group.recordings) for group in groups))
    if unpromised := [group for group in free if all(recording.split is None for recording in group.recordings)]:
        free = unpromised
    else:
        report("a list puts every work that may be held out on the side of training; some are held out all the same")
    if len(groups) == 1:
        (whole,) = free
        n_recordings = len(whole.recordings)
        report(f"all {n_recordings} recordings are of one work, {whole.name!r}, so none is new to the model")
        sounds = copies_of(whole.recordings)
        apart = sounds if len(sounds) > 1 else [[recording] for recording in whole.recordings]
        groups = free = [Group(members[0].name, tuple(members)) for members in apart]
    ranked = sorted(free, key=_rank)
    if len(free) == len(groups):
        ranked.remove(max(ranked, key=lambda group: (len(group.recordings), _rank(group))))
    held_out: set[str] = set()
    for group in ranked:
        if held_out and len(held_out) >= n_wanted:
            break
        held_out.update(group.names)
    return held_out


def _named(recordings: Sequence[Recording], wanted: Sequence[str], where: str) -> set[str]:
    named: set[str] = set()
    for text in wanted:
        found = {recording.name for recording in recordings if _matches(recording, text)}
        if not found:
            raise CorpusError(f"{where}: no recording is named {text!r}; {_advice(recordings, text)}")
        named |= found
    return named


def _promised(groups: Sequence[Group], where: str) -> set[str]:
    """Find the recordings that manifests hold out."""
    for group in groups:
        sides = {recording.split: recording.name for recording in reversed(group.recordings)}
        if {"training", "validation"} <= sides.keys():
            raise CorpusError(
                f"{where}: a work lies on one side of the split, and {group.name!r} is on both: {sides['training']} "
                f'for training, {sides["validation"]} for validation; give them one "split", or, if these are two '
                'works, a "group" each'
            )
    return {recording.name for group in groups for recording in group.recordings if recording.split == "validation"}


def _rank(group: Group) -> bytes:
    # Names that are not UTF-8 come from the system with surrogates in them.
    return hashlib.blake2b(group.name.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _names(groups: Iterable[Group]) -> list[str]:
    return [name for group in groups for name in group.names]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_N_LISTED])
    return shown if len(names) <= _N_LISTED else f"{shown} and {len(names) - _N_LISTED} more"


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
