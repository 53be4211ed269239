"""Bins of the short-time FFT <-> bands: as fine as hearing, and a fifth as many.

Low bins stand alone, a band each. High ones lie closer together than the ear can tell and are grouped, PER_OCTAVE
bands to an octave.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from waveforms import SAMPLE_RATE
from waveforms.dsp.spectra import MAGNITUDE_FLOOR, N_BINS, N_FFT

LONE_BELOW = 1300  # Hz; from about here on, PER_OCTAVE bands are wider than bins
KNEE, BEND = -5.0, 0.3  # nepers re full scale, -43 dB, where a level counts half; how gently it comes to that
PER_OCTAVE = 36  # three a semitone; Frechet distances in aisfx grow by 3 with 36 and by 13 with 24

_N_LONE = -(-LONE_BELOW * N_FFT // SAMPLE_RATE)  # 61


def _place() -> tuple[float, ...]:
    """The bands' centres, in bins."""
    ratio = 2 ** (1 / PER_OCTAVE)
    centres = [float(k) for k in range(_N_LONE)]
    while (centre := max(centres[-1] * ratio, centres[-1] + 1)) <= N_BINS - 2:  # a bin is left to the last
        centres.append(centre)
    return (*centres, float(N_BINS - 1))


_PLACES = _place()
N_BANDS = len(_PLACES)  # 209
CENTRES = tuple(place * SAMPLE_RATE / N_FFT for place in _PLACES)  # Hz


def to_levels(bands: Tensor) -> Tensor:
    """Bands as they count: log magnitude where loud, and the fainter, the less of it. The inverse is `from_levels`.

    What lies between the partials of notes is faint and flutters by several decibels from frame to frame, which nobody
    hears and nothing predicts; in log magnitude it is most of what changes. For a magnitude m the level is
    log(1 + (m / k) ^ BEND) / BEND, which is how mu-law treats samples (ITU-T G.711) for a BEND of 1; k is KNEE's.

    Shape:
        (..., N_BANDS) -> (..., N_BANDS), in nepers above KNEE where it is loud, 0 for silence
    """
    return F.softplus(bands - KNEE, beta=BEND)


def from_levels(levels: Tensor) -> Tensor:
    """The bands whose levels these are, none below MAGNITUDE_FLOOR.

    Shape:
        (..., N_BANDS) -> (..., N_BANDS)
    """
    least = to_levels(levels.new_tensor(MAGNITUDE_FLOOR).log())
    return KNEE + torch.expm1(BEND * levels.clamp(min=least)).log() / BEND


def widths() -> Tensor:
    """How much of the frequency axis each band stands for, in octaves; the first reaches down to 0 Hz, infinitely far.

    Shape:
        (N_BANDS,), float32
    """
    places = torch.tensor(_PLACES, dtype=torch.float64)
    edges = torch.cat([places[:1], (places[1:] + places[:-1]) / 2, places[-1:]])
    return (edges[1:] / edges[:-1]).log2().float()


def to_bands(power: Tensor) -> Tensor:
    """Log magnitudes of bands, in nepers: half the log of the mean power of the bins that a band reaches.

    A band's weights fall linearly from its centre to its neighbours'.

    Shape:
        (..., N_BINS) -> (..., N_BANDS)
    """
    grouped = power @ _weights(power.dtype, power.device)
    return torch.cat([power[..., :_N_LONE], grouped], dim=-1).clamp(min=MAGNITUDE_FLOOR**2).log() / 2


def from_bands(bands: Tensor) -> Tensor:
    """Log magnitudes of bins, in nepers: interpolated linearly between the bands' centres. Exact for bins that stand
    alone; of the others, what differed within a band is lost.

    Shape:
        (..., N_BANDS) -> (..., N_BINS)
    """
    below, share = _neighbours(bands.dtype, bands.device)
    return torch.lerp(bands[..., below], bands[..., below + 1], share)


@lru_cache
def transposition(semitones: float, device: torch.device) -> Tensor:
    """What bands of log magnitude are multiplied by to be those of the sound `semitones` higher, time being kept.

    The spectrum is stretched along the frequency axis, as if the strings were shorter; what is moved in from beyond
    half the sample rate is the topmost band.

    Shape:
        (N_BANDS, N_BANDS), float32, for bands @ transposition
    """
    places = torch.tensor(_PLACES, dtype=torch.float64)
    sources = (places * 2 ** (-semitones / 12)).clamp(max=_PLACES[-1])
    below = (torch.searchsorted(places, sources, right=True) - 1).clamp(max=N_BANDS - 2)
    share = (sources - places[below]) / (places[below + 1] - places[below])
    matrix = torch.zeros(N_BANDS, N_BANDS, dtype=torch.float64)
    column = torch.arange(N_BANDS)
    matrix[below, column] = 1 - share
    matrix[below + 1, column] += share
    return matrix.to(device, torch.float32)


@lru_cache
def _weights(dtype: torch.dtype, device: torch.device) -> Tensor:
    """What each bin gives to each band that groups some: (N_BINS, N_BANDS - _N_LONE), columns sum to 1."""
    bins = torch.arange(N_BINS, dtype=torch.float64)[:, None]
    places = torch.tensor([*_PLACES, float(N_BINS)], dtype=torch.float64)
    before, centre, after = places[_N_LONE - 1 : -2], places[_N_LONE:-1], places[_N_LONE + 1 :]
    rising, falling = (bins - before) / (centre - before), (after - bins) / (after - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles / triangles.sum(0)).to(device, dtype)


@lru_cache
def _neighbours(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each bin, the band at or below it and its distance from there as a share of the way to the next."""
    places = torch.tensor(_PLACES, dtype=torch.float64)
    bins = torch.arange(N_BINS, dtype=torch.float64)
    below = (torch.searchsorted(places, bins, right=True) - 1).clamp(max=N_BANDS - 2)
    share = (bins - places[below]) / (places[below + 1] - places[below])
    return below.to(device), share.to(device, dtype)
