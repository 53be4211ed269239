"""Equal excerpts of every system: sampled without overlap, faded alike, brought to one loudness.

    corpus -> random stretches -> fade in and out -> gain -> waveform (n_samples,)

Only its sound may give a system away. So all excerpts have one length, begin and end in the same fade, and have the
loudness that even the one with the sharpest peaks can reach.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal.windows import tukey

from pipeline.listening import ListeningError
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.audio.gain import GainPolicy
from waveforms.audio.loudness import LoudnessMeter
from waveforms.corpus import Corpus, Recording

FADE_SECONDS = 0.05  # long enough that no cut clicks, short enough that no note's attack is lost
SILENCE = 2.0**-12  # -72 dBFS: what peaks below it would be mostly the noise of 16 bits once it is amplified


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a system's recording.

    Attributes:
        system: the system's name.
        recording: the recording's name in the system's folder.
        start: the sample of the recording at which the excerpt begins.
        waveform: (n_samples,), with its fades.
        peak: its largest absolute value.
        loudness: integrated, in LUFS.
    """

    system: str
    recording: str
    start: int
    waveform: Waveform
    peak: float
    loudness: float


def sample(system: str, corpus: Corpus, n_most: int, n_samples: int, rng: np.random.Generator) -> list[Excerpt]:
    """Sample up to n_most excerpts without overlap; every recording gives one before any gives a second.

    Silent stretches are passed over: no gain makes them as loud as the rest.

    Raises:
        ListeningError: there is none.
        AudioError: a recording has changed since the corpus was opened.
    """
    found: list[Excerpt] = []
    for recording, start in _stretches(corpus, n_samples, rng):
        if len(found) == n_most:
            break
        waveform = recording.read(start, start + n_samples) * _envelope(n_samples)
        if np.abs(waveform).max() >= SILENCE:
            found.append(_measured(system, recording.name, start, waveform))
    if not found:
        longest = max(recording.seconds for recording in corpus)
        needed = f"a recording of {n_samples / SAMPLE_RATE:g} s that is not silent is needed"
        raise ListeningError(f"system {system}: {needed}, and the longest in {corpus.where} lasts {longest:.2f} s")
    return found


def match(excerpts: Sequence[Excerpt], loudness: float) -> tuple[float, list[float]]:
    """Find the loudness that all excerpts can have, at most the one asked for (LUFS).

    Returns:
        that loudness, and the factor that brings each excerpt to it without a sample above `gain.PEAK_CEILING`.
    """
    target = min(reachable(excerpt, loudness) for excerpt in excerpts)
    return target, [GainPolicy(target).gain(excerpt.peak, excerpt.loudness) for excerpt in excerpts]


def reachable(excerpt: Excerpt, loudness: float) -> float:
    """Return the loudness nearest to the one asked for (LUFS) that the excerpt's peak allows."""
    return excerpt.loudness + 20 * math.log10(GainPolicy(loudness).gain(excerpt.peak, excerpt.loudness))


def _stretches(corpus: Corpus, n_samples: int, rng: np.random.Generator) -> Iterator[tuple[Recording, int]]:
    """Yield every (recording, start) once: one of each recording in random order, then a second of each, ..."""
    rows: list[tuple[int, float, Recording, int]] = []
    for recording in corpus:
        n_stretches, n_left = divmod(recording.n_samples, n_samples)
        offset = int(rng.integers(n_left + 1))
        order = rng.permutation(n_stretches)
        rows += [(round_, rng.random(), recording, offset + int(n) * n_samples) for round_, n in enumerate(order)]
    for _, _, recording, start in sorted(rows, key=lambda row: row[:2]):
        yield recording, start


def _measured(system: str, recording: str, start: int, waveform: Waveform) -> Excerpt:
    peak = float(np.abs(waveform).max())
    meter = LoudnessMeter()
    meter.add(waveform / peak)  # at full scale: the meter's absolute gate would drop a clip that is quiet as a whole
    return Excerpt(system, recording, start, waveform, peak, meter.integrated() + 20 * math.log10(peak))


def _envelope(n_samples: int) -> Waveform:
    """Raised-cosine fades of FADE_SECONDS, (n_samples,)."""
    n_fade = round(FADE_SECONDS * SAMPLE_RATE)
    window: Waveform = tukey(n_samples, 2 * (n_fade - 1) / (n_samples - 1)).astype(np.float32)
    return window
