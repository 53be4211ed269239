"""Cuts: the clips that are measured, each read only when its turn comes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from pipeline.evaluation.copies import Origin
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform

T = TypeVar("T")


class Source(Protocol):
    """What cuts are made from: a `Recording`, or what stands in for one."""

    @property
    def name(self) -> str:
        """Unique in its folder."""

    @property
    def n_samples(self) -> int:
        """Its length."""

    def read(self, start: int, stop: int) -> Waveform:
        """Samples [start, stop)."""


@dataclass(frozen=True)
class Cut:
    """A clip to be measured.

    Attributes:
        name: unique in its system.
        source: the file it is read from, and from which second on; "" for one made in memory.
        n_samples: its length.
        part: gives its samples [start, stop).
        origin: of its prompt, where that is known.
    """

    name: str
    source: str
    n_samples: int
    part: Callable[[int, int], Waveform]
    origin: Origin | None = None

    def read(self) -> Waveform:
        """The whole clip, (n_samples,)."""
        return self.part(0, self.n_samples)


def cuts_of(source: Source, path: str, n_samples: int, origin: Origin | None = None) -> list[Cut]:
    """Cut a recording into clips of one length, from its beginning; what is left at the end stays out.

    Args:
        source: the recording.
        path: of its file.
        n_samples: of a clip.
        origin: of the prompt that the recording goes on from.
    """
    cuts = []
    for n in range(source.n_samples // n_samples):
        start = n * n_samples
        seconds = start / SAMPLE_RATE
        name = source.name if source.n_samples < 2 * n_samples else f"{source.name} @ {seconds:g} s"
        goes_on = Origin(origin.recording, origin.stop + start) if origin else None
        cuts.append(Cut(name, f"{path} @ {seconds:g} s", n_samples, partial(stretch, source, start), goes_on))
    return cuts


def stretch(source: Source, first: int, start: int, stop: int) -> Waveform:
    """Samples [start, stop) of a clip that begins at sample `first` of a source."""
    return source.read(first + start, first + stop)


def evenly(items: Sequence[T], n: int) -> list[T]:
    """Choose n of the items, each from the middle of its nth of all, so that no set is one of beginnings."""
    n = min(n, len(items))
    return [items[(2 * k + 1) * len(items) // (2 * n)] for k in range(n)]


def spread(groups: Sequence[Sequence[T]], n: int) -> list[T]:
    """Choose n items, evenly over groups, and evenly within each; no group gives a second before each gave one."""
    groups = [group for group in groups if group]
    if n <= len(groups):
        groups = evenly(groups, n)
    shares = [0] * len(groups)
    while sum(shares) < min(n, sum(map(len, groups))):
        for k in sorted(range(len(groups)), key=lambda k: shares[k]):
            if shares[k] < len(groups[k]):
                shares[k] += 1
                break
    return [item for group, share in zip(groups, shares, strict=True) for item in evenly(group, share)]
