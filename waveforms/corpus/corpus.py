"""Recordings of a folder or of several places as one corpus, split by work.

places -> usable files, in stable order -> Recording, Recording, ...   and problems, each with its reason
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from waveforms import SAMPLE_RATE
from waveforms.corpus.places import File, Place, find
from waveforms.corpus.recording import Recording
from waveforms.corpus.splits import Group, Report, TrainedOn, Wanted, copies_of, groups_of, hold_out
from waveforms.errors import AudioError, CorpusError

__all__ = ["Corpus", "Recording"]

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Corpus:
    """Recordings, in the order of their names, and the files that could not be used.

    len(corpus) counts recordings; corpus[i] and corpus["name.wav"] give one; iteration gives all.

    Attributes:
        places: folders, manifests and URLs that hold the files.
        recordings: the usable files.
        problems: one for each file left out, with its reason, "kind: sentence".
    """

    places: tuple[str, ...]
    recordings: tuple[Recording, ...]
    problems: tuple[AudioError, ...] = ()

    @classmethod
    def open(cls, *places: Place, progress: Progress | None = None, n_workers: int | None = None) -> Self:
        """Survey a folder and the folders in it, or several places as one corpus.

        Every file is read once to its end, several at a time. The findings are cached, so the next time costs a look
        at each file's size and date.

        Args:
            places: folders, in which hidden files are skipped and links are followed; manifests, see `manifest`; URLs
                of folders on other storage, see `remote`.
            progress: called with (files done, files in all) after each file.
            n_workers: files read at a time; by default as many as there are processors.

        Raises:
            CorpusError: there is no such place, or no file in it is usable.
            OutputError: the cache cannot be written.
        """
        files, problems = find(places)
        recordings = []
        for found in _surveyed(files, progress, n_workers or os.cpu_count() or 1):
            if isinstance(found, AudioError):
                problems.append(found)
            else:
                recordings.append(found)
        by_path = sorted(problems, key=lambda problem: problem.path)
        corpus = cls(tuple(map(str, places)), tuple(recordings), tuple(by_path))
        if not recordings:
            raise CorpusError(_nothing_usable(corpus))
        return corpus

    def __len__(self) -> int:
        return len(self.recordings)

    def __iter__(self) -> Iterator[Recording]:
        return iter(self.recordings)

    def __getitem__(self, key: int | str) -> Recording:
        if isinstance(key, str):
            return self._by_name[key]
        return self.recordings[key]

    @property
    def where(self) -> str:
        """The places in one text, for messages."""
        return ", ".join(self.places)

    @property
    def notices(self) -> list[str]:
        """A sentence for each file that was left out, and one for each group of files with the same sound."""
        left_out = [f"left out: {problem}" for problem in self.problems]
        return left_out + [f"the same sound: {', '.join(names)}" for names in self.copies]

    @property
    def n_samples(self) -> int:
        """Number of samples of all recordings together."""
        return sum(recording.n_samples for recording in self.recordings)

    @property
    def seconds(self) -> float:
        """Length of all recordings together, in seconds."""
        return self.n_samples / SAMPLE_RATE

    def subset(self, names: Sequence[str]) -> Self:
        """Make a corpus of these recordings only, in the same order, without problems.

        Raises:
            KeyError: one of names is not there.
        """
        wanted = {self._by_name[name].name for name in names}
        return type(self)(self.places, tuple(r for r in self.recordings if r.name in wanted))

    def split(
        self,
        held_out: Sequence[str] | None = None,
        *,
        fraction: float = 0.1,
        trained_on: TrainedOn = TrainedOn(),  # noqa: B008 - immutable
        report: Report = lambda sentence: None,
    ) -> tuple[Self, Self]:
        """Split by work into (training, validation); no work is on both sides, unless all is one work.

        Args:
            held_out: file names, paths or patterns of the validation side, which gets all recordings of the same works
                as well. By default manifests decide; if they say nothing, the names decide (see `splits`).
            fraction: the share of recordings that names hold out, rounded up.
            trained_on: recordings and works that a model has been trained on, which are never held out.
            report: called with a sentence on recordings that follow others to a side.

        Raises:
            CorpusError: one side would be empty, held_out names no recording, or a manifest puts a work on both sides.
            ValueError: unless 0 < fraction < 1.
        """
        if not 0.0 < fraction < 1.0:
            raise ValueError(f"fraction must lie between 0 and 1 and not be {fraction}")
        if len(self) < 2:
            held = f"{len(self)} ({', '.join(r.name for r in self)})" if len(self) else "none"
            raise CorpusError(
                f"{self.where}: a split needs two recordings or more, and there is {held}; "
                "add a recording, or cut this one into two files"
            )
        names = hold_out(self.recordings, Wanted(held_out or (), fraction, trained_on), where=self.where, report=report)
        training = [recording.name for recording in self if recording.name not in names]
        if not training:
            raise CorpusError(f"{self.where}: all {len(self)} recordings are held out, and none is left to train on")
        return self.subset(training), self.subset(sorted(names))

    @property
    def copies(self) -> list[list[str]]:
        """Groups of recordings with the same sound to the bit, [[name, ...], ...]."""
        copies = copies_of(self.recordings)
        return [[recording.name for recording in members] for members in copies if len(members) > 1]

    @property
    def works(self) -> list[Group]:
        """Groups of recordings of one work, each of which lies on one side of a split."""
        return groups_of(self.recordings)

    def summary(self) -> dict[str, Any]:
        """Describe the corpus in numbers, text and lists only, ready for JSON; null is a loudness of -inf."""
        rows = [_row(recording) for recording in self.recordings]
        loudness = [recording.loudness for recording in self.recordings if np.isfinite(recording.loudness)]
        return {
            "places": list(self.places),
            "n_used": len(self.recordings),
            "n_left_out": len(self.problems),
            "left_out_by_kind": dict(Counter(_kind(problem) for problem in self.problems).most_common()),
            "hours": self.seconds / 3600,
            "sample_rates": _counts(recording.info.sample_rate for recording in self.recordings),
            "channels": _counts(recording.info.n_channels for recording in self.recordings),
            "formats": _counts(f"{r.info.container} {r.info.encoding}" for r in self.recordings),
            "loudness_lufs": [min(loudness), max(loudness)] if loudness else None,
            "n_clipped": sum(recording.findings.n_clipped for recording in self.recordings),
            "copies": self.copies,
            "works": [{"name": work.name, "recordings": work.names} for work in self.works],
            "recordings": rows,
            "problems": [
                {"path": str(problem.path), "kind": _kind(problem), "reason": problem.reason}
                for problem in self.problems
            ],
        }

    @cached_property
    def _by_name(self) -> dict[str, Recording]:
        return {recording.name: recording for recording in self.recordings}


def _surveyed(files: Sequence[File], progress: Progress | None, n_workers: int) -> Iterator[Recording | AudioError]:
    """Yield a recording, or the reason why there is none, in the order of files."""

    def look(file: File) -> Recording | AudioError:
        try:
            return file.look()
        except AudioError as error:
            return error

    pool = ThreadPoolExecutor(n_workers)
    try:
        for n_done, found in enumerate(pool.map(look, files), start=1):
            if progress:
                progress(n_done, len(files))
            yield found
    finally:  # an interruption waits for the files being read, not for the whole folder
        pool.shutdown(wait=True, cancel_futures=True)


def _nothing_usable(corpus: Corpus) -> str:
    if not corpus.problems:
        return f"{corpus.where}: the folder holds no file"
    first = corpus.problems[0]
    counts = Counter(_kind(problem) for problem in corpus.problems).most_common()
    kinds = ", ".join(f"{n} {kind}" for kind, n in counts)
    return f"{corpus.where}: no usable recording among {len(corpus.problems)} files ({kinds}); {first}"


def _kind(problem: AudioError) -> str:
    return problem.reason.partition(":")[0]


def _counts(values: Iterator[Any]) -> dict[str, int]:
    return {str(value): n for value, n in Counter(values).most_common()}


def _row(recording: Recording) -> dict[str, Any]:
    return {
        "name": recording.name,
        "seconds": recording.seconds,
        "sample_rate": recording.info.sample_rate,
        "n_channels": recording.info.n_channels,
        "format": f"{recording.info.container} {recording.info.encoding}",
        "peak": recording.peak,
        "loudness_lufs": recording.loudness if np.isfinite(recording.loudness) else None,
        "n_clipped": recording.findings.n_clipped,
    }
