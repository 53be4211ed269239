"""Artifacts that no piano has: steps at block edges, clicks, partials that glide in pitch, notes that burst out.

The local slew scales a step from one sample to the next: the RMS of the steps in the 10 ms before or after it,
whichever is more, so that a hammer's blow, which goes on, is no click.

clip -> 5.5 kHz -> short-time FFT -> spectral peaks -> partials -> those that bend       glides
     -> level every 10 ms -> onsets -> those far above the onsets before and after them  bursts
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import soxr
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from pipeline.evaluation.life import QUARTER, decibels
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform

# Steps.
CLICK = 6.0  # local slews; in 64 minutes of clean piano, sampled and recorded, no step passes 4.95
NEIGHBOURHOOD = SAMPLE_RATE // 100  # 441 samples, 10 ms
_GAP = 3  # samples to each side that do not count: a click is two or three steps long
# Eight 16-bit steps. In near silence a recording's own ticks and what a codec left stand far above next to nothing;
# with this floor a click is 0.0015 at least, -56 dB re full scale.
_LEAST_SLEW = 2.0**-12

# Partials. A window of 186 ms resolves semitones from 180 Hz on; below that, the peak's width separates one from two.
LOWEST, HIGHEST = 60.0, 1100.0  # Hz: where partials are tracked
DEPTH = 24.0  # dB below the loudest peak of the moment: what lies lower is masked, or the window's side lobe
BEND = 50.0  # cents: further than a partial up to the tenth lies from a key's pitch
LEAST = 8.0  # Hz likewise, 1.5 bins: a bass note that is struck again and again sways by nearly as much
SPAN = 15  # frames, 0.3 s, in which it bends so far; in three thirds, as a step from note to note takes only one
_EVENLY = 0.15  # of the bend at least lies in each third
_STEADY = 8.0  # dB that the partial's level may vary by meanwhile: its energy stays
_NARROW = 7.0  # dB that a peak falls to one bin below and one bin above, added: Hann's window alone falls 12

_RATE = SAMPLE_RATE / 8
_N_WINDOW, _HOP = 1024, 110  # samples: 186 and 20 ms
_N_FFT = 4 * _N_WINDOW
_BIN = _N_FFT // _N_WINDOW  # fine bins
_JUMP = 40.0  # cents from frame to frame within a partial
_FAINTEST = -70.0  # dB re a sine of full scale
_HANN = np.hanning(_N_WINDOW + 1)[:-1].astype(np.float32)
_N_AT_ONCE = 500  # frames, 10 s: so that a clip of any length takes little memory

# Bursts.
BURST = 10.0  # dB: of 5400 onsets of a piano, recorded and sampled, five stand out so far, three of them in one swell
SURROUNDINGS = 5.0  # seconds to either side whose onsets a burst is held against
_APART = 0.25  # seconds: what is nearer is struck with it
_LEAST_ONSETS = 2  # on either side
_LEVEL_HOP = SAMPLE_RATE // 100  # 441 samples, 10 ms
_N_LEVEL = 5  # hops, 50 ms, whose mean power is the level
_N_PEAK, _N_RISE = 10, 15  # hops: an onset is the loudest of 0.1 s to either side, and rises within 0.15 s
_RISE = 3.0  # dB
_QUIET = -60.0  # dB re full scale: what lies lower is no onset

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Seams:
    """How well a clip's blocks are joined.

    Attributes:
        edge_excess: mean step at the edges over the mean step elsewhere, both re local slew, in dB; 0 is seamless.
        edge_z: the same in standard errors: within about 3 of 0 it is chance.
        clicks: times in seconds of steps of CLICK or more, those at edges included.
        largest_step: the largest step, re local slew.
    """

    edge_excess: float
    edge_z: float
    clicks: tuple[float, ...]
    largest_step: float


def measure_seams(clip: Waveform) -> Seams:
    """Measure how the blocks of a clip, float32 (n_samples,), are joined every QUARTER samples.

    Raises:
        ValueError: the clip has fewer than two samples.
    """
    if len(clip) < 2:
        raise ValueError(f"a clip must have two samples or more and not {len(clip)}")
    steps = relative_steps(clip)
    edges = np.arange(QUARTER, len(clip), QUARTER) - 1  # step n leads from sample n to n + 1
    excess, z = _excess(steps, edges)
    return Seams(
        edge_excess=excess,
        edge_z=z,
        clicks=tuple(((_first_of_each(np.flatnonzero(steps >= CLICK)) + 1) / SAMPLE_RATE).tolist()),
        largest_step=float(steps.max()),
    )


def relative_steps(clip: Waveform) -> Floats:
    """Magnitude of each step from one sample to the next, over the local slew.

    The first and the last 10 ms have a neighbourhood on one side alone, and a file may begin in the middle of a sound:
    they are not judged and come out as 0.

    Shape:
        (n_samples,) -> (n_samples - 1,)
    """
    steps = np.abs(np.diff(clip)).astype(np.float64)
    energy = np.concatenate([[0.0], np.cumsum(steps**2)])
    places = np.arange(len(steps))
    before = _mean(energy, places - _GAP - NEIGHBOURHOOD, places - _GAP)
    after = _mean(energy, places + _GAP + 1, places + _GAP + 1 + NEIGHBOURHOOD)
    relative = steps / np.sqrt(np.maximum(np.maximum(before, after), _LEAST_SLEW**2))
    relative[:NEIGHBOURHOOD] = relative[-NEIGHBOURHOOD:] = 0.0
    return relative


def _mean(energy: Floats, starts: Integers, stops: Integers) -> Floats:
    starts, stops = starts.clip(0, len(energy) - 1), stops.clip(0, len(energy) - 1)
    mean: Floats = (energy[stops] - energy[starts]) / np.maximum(stops - starts, 1)
    return mean


def _excess(steps: Floats, edges: Integers) -> tuple[float, float]:
    """Mean step at the edges against all others: in dB, and in standard errors."""
    elsewhere = np.ones(len(steps), bool)
    elsewhere[edges] = False
    mean, deviation = float(steps[elsewhere].mean()), float(steps[elsewhere].std())
    if len(edges) == 0 or deviation == 0:
        return 0.0, 0.0
    at_edges = float(steps[edges].mean())
    z = (at_edges - mean) / (deviation / float(np.sqrt(len(edges))))
    return float(20 * np.log10(max(at_edges, 1e-6) / mean)), z


def _first_of_each(places: Integers) -> Integers:
    """The first of places that lie within _GAP of each other: one click is several steps."""
    return places[np.diff(places, prepend=-_GAP - 2) > _GAP]


@dataclass(frozen=True)
class Faults:
    """What no piano does.

    Attributes:
        glide_share: the share, 0 to 1, of the partials' time in which they bend, weighted by amplitude.
        glides: when some partial does: start and length in seconds, in order, without overlap.
        bursts: single loud notes: onset in seconds, and by how many dB it stands out.
    """

    glide_share: float
    glides: tuple[tuple[float, float], ...]
    bursts: tuple[tuple[float, float], ...]


def measure_faults(clip: Waveform) -> Faults:
    """Find glides and bursts.

    **Glides.** Partials are peaks of a short-time FFT (Hann, 186 ms, every 20 ms) between LOWEST and HIGHEST, at most
    DEPTH below the loudest of their frame, placed by a parabola through the level of three bins, and linked from frame
    to frame to the nearest, if it is nearer than 40 cents (McAulay & Quatieri, "Speech analysis/synthesis based on a
    sinusoidal representation", 1986). A partial bends where it moves by BEND and by LEAST or more in 0.3 s, in each
    third of that by a seventh of the way or more and all in one direction, keeps its level within 8 dB, and stays
    narrow: one bin below and one bin above, its peak has fallen by 7 dB or more, added, where one steady partial's
    falls by 12. A step from note to note, which the window smears, fails in the thirds; two notes that fade into each
    other unresolved fail in the width, and beats in the level.

    **Bursts.** An onset is a peak of the level (50 ms) that rises by 3 dB or more in 0.15 s. It is a burst where it
    lies BURST or more above the median of the onsets in the 5 s before it and above that of the 5 s after it, of which
    each has two or more; so the first chord of a loud section is none, nor is the last of a piece.

    Args:
        clip: float32 (n_samples,), at -23 LUFS, as absolute levels count a little.

    Raises:
        ValueError: the clip has no samples.
    """
    if len(clip) == 0:
        raise ValueError("a clip must have samples, and this one has none")
    share, bends = _glides(clip)
    return Faults(share, bends, tuple(_bursts(clip)))


def _glides(clip: Waveform) -> tuple[float, tuple[tuple[float, float], ...]]:
    """The share of the partials' time, by amplitude, in which they bend; and when some do."""
    frames, cents, levels, widths = (np.concatenate(each) for each in zip(*_peaks(clip), strict=True))
    tracks = _linked(frames, cents)
    order = np.lexsort((frames, tracks))  # track after track, in the order of time
    frames, cents, levels, widths, tracks = (each[order] for each in (frames, cents, levels, widths, tracks))
    bent = np.zeros(len(tracks), bool)
    first = np.arange(len(tracks) - SPAN) if len(tracks) > SPAN else np.zeros(0, np.int64)
    first = first[tracks[first] == tracks[first + SPAN]]
    thirds = np.diff([cents[first + n * SPAN // 3] for n in range(4)], axis=0)  # (3, n)
    way = thirds.sum(axis=0)
    away = np.abs(np.exp2(cents[first + SPAN] / 1200) - np.exp2(cents[first] / 1200))  # Hz
    evenly = (thirds * np.sign(way) >= _EVENLY * np.abs(way)).all(axis=0)
    first = first[(np.abs(way) >= BEND) & (away >= LEAST) & evenly]
    spans = first[:, None] + np.arange(SPAN + 1)
    spans = spans[(np.ptp(levels[spans], axis=1) <= _STEADY) & (widths[spans].min(axis=1) >= _NARROW)]
    bent[spans] = True
    amplitudes = 10 ** (levels / 20)
    share = float(amplitudes[bent].sum() / amplitudes.sum()) if len(amplitudes) else 0.0
    return share, _stretches(np.unique(frames[bent]))


def _peaks(clip: Waveform) -> Iterator[tuple[Integers, Floats, Floats, Floats]]:
    """Spectral peaks, some frames at a time: frame, pitch in cents, level in dB, and how narrow it is in dB."""
    low = soxr.resample(clip.astype(np.float32), SAMPLE_RATE, _RATE)
    padded = np.pad(low, _N_WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _N_WINDOW)[::_HOP]
    lowest, highest = (round(frequency * _N_FFT / _RATE) for frequency in (LOWEST, HIGHEST))
    bins = slice(lowest - _BIN, highest + _BIN + 1)
    for start in range(0, len(windows), _N_AT_ONCE):
        spectra = scipy.fft.rfft(windows[start : start + _N_AT_ONCE] * _HANN, _N_FFT)[:, bins]
        power = (spectra.real**2 + spectra.imag**2) * (4 / _N_WINDOW) ** 2  # of a sine, its amplitude squared
        level = decibels(power).astype(np.float64)
        inner = level[:, _BIN:-_BIN]
        audible = np.maximum(inner.max(axis=1) - DEPTH, _FAINTEST)[:, None]
        below, above = level[:, _BIN - 1 : -_BIN - 1], level[:, _BIN + 1 : 1 - _BIN]
        frames, places = np.nonzero((inner > below) & (inner >= above) & (inner > audible))
        at = places + _BIN
        peak, left, right = level[frames, at], level[frames, at - 1], level[frames, at + 1]
        offset = 0.5 * (left - right) / (left - 2 * peak + right)
        cents = 1200 * np.log2((lowest + places + offset) * _RATE / _N_FFT)
        narrow = 2 * peak - level[frames, at - _BIN] - level[frames, at + _BIN]
        yield start + frames, cents, peak - 0.25 * (left - right) * offset, narrow


def _linked(frames: Integers, cents: Floats) -> Integers:
    """The partial of each peak, (n_peaks,): that of the peak a frame before, where each is the other's nearest."""
    tracks = np.arange(len(frames))  # each its own, unless it goes on from another
    ends = np.searchsorted(frames, np.arange(frames[-1] + 2 if len(frames) else 1))
    for start, middle, stop in zip(ends[:-2], ends[1:-1], ends[2:], strict=True):
        if start < middle < stop:
            apart = np.abs(cents[middle:stop, None] - cents[start:middle])
            nearest = apart.argmin(axis=1)
            now = np.arange(stop - middle)
            goes_on = (apart.argmin(axis=0)[nearest] == now) & (apart[now, nearest] <= _JUMP)
            tracks[middle:stop][goes_on] = tracks[start + nearest[goes_on]]
    return tracks


def _stretches(frames: Integers) -> tuple[tuple[float, float], ...]:
    """Runs of frames, as starts and lengths in seconds."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1) if len(frames) else []
    return tuple((float(run[0] * _HOP / _RATE), float((run[-1] - run[0]) * _HOP / _RATE)) for run in runs)


def _bursts(clip: Waveform) -> Iterator[tuple[float, float]]:
    """Times of bursts, and by how many dB they stand out."""
    times, levels = _onsets(clip)
    for time, level in zip(times, levels, strict=True):
        before = levels[(times >= time - SURROUNDINGS) & (times < time - _APART)]
        after = levels[(times > time + _APART) & (times <= time + SURROUNDINGS)]
        if min(len(before), len(after)) >= _LEAST_ONSETS:
            excess = float(level - max(np.median(before), np.median(after)))
            if excess >= BURST:
                yield float(time), excess


def _onsets(clip: Waveform) -> tuple[Floats, Floats]:
    """When notes begin, in seconds, and how loud they are then, in dB re full scale, (n_onsets,) each."""
    hops = np.pad(clip, (0, -len(clip) % _LEVEL_HOP)).reshape(-1, _LEVEL_HOP)
    powers = np.einsum("ij,ij->i", hops, hops, dtype=np.float64) / _LEVEL_HOP
    means = np.convolve(powers, np.full(_N_LEVEL, 1 / _N_LEVEL))[: len(powers)]
    level = decibels(means)
    lowest = minimum_filter1d(level, _N_RISE + 1, origin=_N_RISE // 2)  # from 0.15 s before on
    found = (level == maximum_filter1d(level, 2 * _N_PEAK + 1)) & (level - lowest >= _RISE) & (level > _QUIET)
    places = np.flatnonzero(found)
    return places * _LEVEL_HOP / SAMPLE_RATE, level[places]
