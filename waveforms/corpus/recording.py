"""One recording of a corpus: any excerpt of its samples, in memory that does not grow with its length."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waveforms import SAMPLE_RATE, audio
from waveforms.audio import Waveform
from waveforms.audio.files import AudioInfo
from waveforms.corpus import cache
from waveforms.corpus.remote import Remote
from waveforms.corpus.survey import Findings, measure
from waveforms.corpus.works import work_of
from waveforms.errors import AudioError


@dataclass(frozen=True)
class Recording:
    """One usable audio file. It holds no open file, so it may be pickled and read from any thread or process.

    Attributes:
        name: its path relative to the corpus's folder, with "/" between the parts.
        findings: the findings of a full reading.
        remote: the file's place on other storage, if it is there.
        split: the side that a manifest puts it on, if any.
        group: the work that it belongs to, if its place or a manifest says so.
    """

    name: str
    findings: Findings
    remote: Remote | None = None
    split: str | None = None
    group: str | None = None

    @property
    def work(self) -> str:
        """The work that it belongs to; recordings of one work stay on one side of a split."""
        return self.group or work_of(self.name)

    @property
    def path(self) -> Path:
        """The file, or the copy of a file on other storage that the findings come from."""
        return self.findings.info.path

    @property
    def info(self) -> AudioInfo:
        """The file's header."""
        return self.findings.info

    @property
    def n_samples(self) -> int:
        """Length at SAMPLE_RATE."""
        return self.findings.n_samples

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / SAMPLE_RATE

    @property
    def peak(self) -> float:
        """The largest absolute value of a sample."""
        return self.findings.peak

    @property
    def loudness(self) -> float:
        """Integrated loudness in LUFS (ITU-R BS.1770-4); -inf if all lies below -70 LUFS."""
        return self.findings.loudness

    def read(self, start: int, stop: int) -> Waveform:
        """Read samples [start, stop); outside the recording there are zeros, so start may be negative.

        Returns:
            float32 (stop - start,).

        Raises:
            AudioError: the file has changed or gone since the folder was opened.
            OutputError: the cache cannot be written.
            ValueError: stop < start.
        """
        if stop < start:
            raise ValueError(f"stop must not lie before start, and {stop} lies before {start}")
        waveform = np.zeros(stop - start, np.float32)
        first, last = max(start, 0), min(stop, self.n_samples)
        if first < last:
            inside = self._seek if self.info.random_access else self._look_up
            waveform[first - start : last - start] = inside(first, last)
        return waveform

    def _here(self) -> Path:
        """Return the file; fetch its copy if it was deleted, or never was on this machine."""
        if self.remote is None:
            return self.path
        copy = cache.copy_path(self.path.name)
        return copy if copy.exists() else self.remote.fetch()

    def _seek(self, start: int, stop: int) -> Waveform:
        samples = audio.read(self._here(), start, stop)
        if len(samples) < stop - start:
            raise self._changed()
        return samples

    def _look_up(self, start: int, stop: int) -> Waveform:
        """Read from the cache; if that was deleted or damaged, decode again."""
        try:
            return cache.read(self.findings.digest, start, stop, n_samples=self.n_samples)
        except cache.NotDecodedError:
            if measure(self._here()).digest != self.findings.digest:
                raise self._changed() from None
        try:
            return cache.read(self.findings.digest, start, stop, n_samples=self.n_samples)
        except cache.NotDecodedError:  # deleted again already: do without it
            return audio.read(self._here(), start, stop)

    def _changed(self) -> AudioError:
        place = self.remote.url if self.remote else self.path
        return AudioError(place, "changed: the file is not what it was when the folder was opened")
