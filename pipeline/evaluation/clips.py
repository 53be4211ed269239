"""The clips that are measured: equal segments of recordings or of rendered files, each read when it is measured."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import soundfile

from pipeline.errors import EvaluationError
from pipeline.evaluation.copies import Origin
from pipeline.evaluation.landmarks import LandmarkIndex
from pipeline.evaluation.report import Fact, Kind, Value
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform, probe, read
from waveforms.corpus.recording import Recording
from waveforms.corpus.survey import survey
from waveforms.errors import AudioError
from waveforms.files import find_files

T = TypeVar("T")


class Source(Protocol):
    """What segments are read from: a `Recording`, or what stands in for one."""

    @property
    def name(self) -> str:
        """Its name, unique in its folder."""

    @property
    def n_samples(self) -> int:
        """Its length at SAMPLE_RATE."""

    def read(self, start: int, stop: int) -> Waveform:
        """Samples [start, stop)."""


@dataclass(frozen=True)
class Segment:
    """A clip to be measured.

    Attributes:
        name: unique in its system.
        source: the file that it is read from, and from which second on; "" for a clip that is made in memory.
        n_samples: its length.
        read_part: returns its samples [start, stop).
        origin: where its prompt is from, if that is known.
    """

    name: str
    source: str
    n_samples: int
    read_part: Callable[[int, int], Waveform]
    origin: Origin | None = None

    def read(self) -> Waveform:
        """The whole clip, (n_samples,)."""
        return self.read_part(0, self.n_samples)


@dataclass(frozen=True)
class Folder:
    """The segments of a folder of clips.

    Attributes:
        segments: a list for each file that is long enough.
        notes: sentences on what was left out.
    """

    segments: list[list[Segment]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class System:
    """The clips of a system, or of an anchor, before they are measured.

    Attributes:
        name: unique in the evaluation.
        kind: see `report.SystemResult`.
        description: see `report.SystemResult`.
        segments: its clips.
        index: the landmarks of the corpus that it was trained on, if that is known.
        facts: see `report.SystemResult`.
        skill: values by metric.
        continuation: the name of the anchor that continues the same prompts as their recordings do; "" for none.
        resynthesis: the name of the anchor that is this, encoded and decoded by the system's codec; "" for none.
    """

    name: str
    kind: Kind
    description: str
    segments: list[Segment]
    index: LandmarkIndex | None = None
    facts: dict[str, Fact] = field(default_factory=dict)
    skill: dict[str, Value] = field(default_factory=dict)
    continuation: str = ""
    resynthesis: str = ""


def segments_of(source: Source, path: str, n_samples: int, origin: Origin | None = None) -> list[Segment]:
    """Divide a recording into segments of one length, from its beginning; what is left at the end stays out.

    Args:
        source: the recording.
        path: of its file.
        n_samples: the length of a segment.
        origin: where the prompt is from that the recording continues, if there is one.
    """
    segments = []
    for n in range(source.n_samples // n_samples):
        start = n * n_samples
        seconds = start / SAMPLE_RATE
        name = source.name if source.n_samples < 2 * n_samples else f"{source.name} @ {seconds:g} s"
        goes_on = Origin(origin.recording, origin.stop + start) if origin else None
        part = partial(read_from, source, start)
        segments.append(Segment(name, f"{path} @ {seconds:g} s", n_samples, part, goes_on))
    return segments


def read_from(source: Source, first: int, start: int, stop: int) -> Waveform:
    """Samples [start, stop) of a segment that begins at sample `first` of a source."""
    return source.read(first + start, first + stop)


def choose_evenly(items: Sequence[T], n: int) -> list[T]:
    """Choose n of the items, each from the middle of its nth of all, so that no set is one of beginnings."""
    n = min(n, len(items))
    return [items[(2 * k + 1) * len(items) // (2 * n)] for k in range(n)]


def choose_from_groups(groups: Sequence[Sequence[T]], n: int) -> list[T]:
    """Choose n items evenly over groups, and evenly within each; no group gives a second before each gave one."""
    groups = [group for group in groups if group]
    if n <= len(groups):
        groups = choose_evenly(groups, n)
    shares = [0] * len(groups)
    while sum(shares) < min(n, sum(map(len, groups))):
        for k in sorted(range(len(groups)), key=lambda k: shares[k]):
            if shares[k] < len(groups[k]):
                shares[k] += 1
                break
    return [item for group, share in zip(groups, shares, strict=True) for item in choose_evenly(group, share)]


def read_folder(path: Path, n_samples: int, progress: Callable[[int, int], object]) -> Folder:
    """Divide the clips of a folder, or one file, into segments.

    Args:
        path: of the folder or the file.
        n_samples: the length of a segment: longer files have several, shorter ones are left out.
        progress: called with (files done, files in all) after each.

    Raises:
        EvaluationError: nothing is long enough.
        CorpusError: the folder cannot be listed.
    """
    files, problems = find_files(path) if path.is_dir() else ([(path.name, path)], [])
    sources: list[tuple[Source, Path]] = []
    for n_done, (name, file) in enumerate(files, start=1):
        try:
            sources.append((_source(name, file), file))
        except AudioError as error:
            problems.append(error)
        progress(n_done, len(files))
    long = [(source, file) for source, file in sources if source.n_samples >= n_samples]
    if not long:
        raise EvaluationError(_nothing_long_enough(path, [source for source, _ in sources], n_samples))
    notes = [f"left out: {problem}" for problem in problems if not problem.reason.startswith("not audio")]
    if n_short := len(sources) - len(long):
        shorter = f"shorter than {n_samples / SAMPLE_RATE:g} s"
        notes.append(f"left out: {n_short} of the {len(sources)} clips of {path}, which are {shorter}")
    segments = [segments_of(source, str(file), n_samples, _origin(file, source)) for source, file in long]
    return Folder(segments, notes)


def read_rendered(paths: Sequence[Path]) -> list[Segment]:
    """Clips that were just rendered, each as one segment. They need no survey, which would meter their loudness."""
    sources = [_Rendered(path.name, path, probe(path).n_samples) for path in paths]
    return [segments_of(each, str(each.path), each.n_samples, _origin(each.path, each))[0] for each in sources]


@dataclass(frozen=True)
class _Rendered:
    name: str
    path: Path
    n_samples: int

    def read(self, start: int, stop: int) -> Waveform:
        return read(self.path, start, stop)


@dataclass(frozen=True)
class _Silent:
    """A clip of silence: a corpus refuses it, an evaluation measures it."""

    name: str
    n_samples: int

    def read(self, start: int, stop: int) -> Waveform:
        return np.zeros(stop - start, np.float32)


def _source(name: str, file: Path) -> Source:
    try:
        return Recording(name, survey(file))
    except AudioError as error:
        if error.reason.startswith("silent"):
            return _Silent(name, probe(file).n_samples)
        raise


def _origin(file: Path, source: Source) -> Origin | None:
    """Where a rendered clip's prompt is from, by its provenance; None for a clip that does not begin right after it."""
    try:
        with soundfile.SoundFile(file) as opened:
            provenance = json.loads(opened.comment or "null")
        parts = provenance["prompt"]["parts"]
        if len(parts) != 1 or source.n_samples != provenance["blocks"] * provenance["block_size"]:
            return None
        return Origin(str(parts[0]["recording"]), round(parts[0]["stop"] * SAMPLE_RATE))
    except (soundfile.SoundFileError, ValueError, KeyError, TypeError, OverflowError):
        return None  # a file of anybody else's


def _nothing_long_enough(path: Path, sources: Sequence[Source], n_samples: int) -> str:
    needed = f"{path}: a clip of {n_samples / SAMPLE_RATE:g} s or more is needed"
    if not sources:
        return f"{needed}, and there is no usable audio file"
    longest = max(sources, key=lambda source: source.n_samples)
    return f"{needed}, and the longest is {longest.name}, {longest.n_samples / SAMPLE_RATE:.2f} s"
