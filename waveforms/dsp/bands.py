"""Bins of the short-time FFT <-> bands, as fine as hearing and a fifth as many; bands <-> companded bands.

Every low bin is a band. High bins lie closer together than hearing resolves and are grouped, PER_OCTAVE bands to an
octave.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from waveforms import SAMPLE_RATE
from waveforms.dsp.spectra import MAGNITUDE_FLOOR, N_BINS, N_FFT

LONE_BELOW = 1300  # Hz; from about here on, PER_OCTAVE bands are wider than bins
KNEE, BEND = -5.0, 0.3  # nepers re full scale (-43 dB), where companding halves the slope; how gradual the knee is
PER_OCTAVE = 36  # three a semitone; Frechet distances in aisfx grow by 3 with 36 and by 13 with 24

_N_LONE = -(-LONE_BELOW * N_FFT // SAMPLE_RATE)  # 61


def _band_centres() -> tuple[float, ...]:
    """Place the bands' centres, in bins."""
    ratio = 2 ** (1 / PER_OCTAVE)
    centres = [float(k) for k in range(_N_LONE)]
    while (centre := max(centres[-1] * ratio, centres[-1] + 1)) <= N_BINS - 2:  # the last band needs a bin
        centres.append(centre)
    return (*centres, float(N_BINS - 1))


_CENTRE_BINS = _band_centres()
N_BANDS = len(_CENTRE_BINS)  # 209
CENTRES = tuple(bin_ * SAMPLE_RATE / N_FFT for bin_ in _CENTRE_BINS)  # Hz


def compand(bands: Tensor) -> Tensor:
    """Compress faint log magnitudes and keep loud ones. The inverse is `expand`.

    The sound between the partials of notes is faint and flutters by several decibels from frame to frame. Nobody
    perceives this and no model predicts it, yet it is most of what changes in log magnitude. A magnitude m becomes
    log(1 + (m / k) ^ BEND) / BEND, where log k = KNEE; for a BEND of 1 this is mu-law (ITU-T G.711).

    Shape:
        (..., N_BANDS) -> (..., N_BANDS), in nepers above KNEE where the sound is loud, 0 for silence

    >>> compand(torch.tensor([0.0, KNEE, -100.0])).round(decimals=2)  # full scale, the knee, silence
    tensor([5.6700, 2.3100, 0.0000])
    """
    return F.softplus(bands - KNEE, beta=BEND)


def expand(companded: Tensor) -> Tensor:
    """Restore log magnitudes, none below MAGNITUDE_FLOOR. The inverse of `compand`.

    Shape:
        (..., N_BANDS) -> (..., N_BANDS), in nepers

    >>> expand(compand(torch.tensor([0.0, -5.0, -100.0])))  # silence returns as the floor of -120 dB
    tensor([  0.0000,  -5.0000, -13.8155])
    """
    least = compand(companded.new_tensor(MAGNITUDE_FLOOR).log())
    return KNEE + torch.expm1(BEND * companded.clamp(min=least)).log() / BEND


def widths() -> Tensor:
    """Compute each band's share of the frequency axis, in octaves; the first reaches down to 0 Hz, infinitely far.

    Shape:
        -> (N_BANDS,), float32
    """
    places = torch.tensor(_CENTRE_BINS, dtype=torch.float64)
    edges = torch.cat([places[:1], (places[1:] + places[:-1]) / 2, places[-1:]])
    return (edges[1:] / edges[:-1]).log2().float()


def to_bands(power: Tensor) -> Tensor:
    """Compute bands' log magnitudes, in nepers: half the log of the mean power of the bins that a band covers.

    A band's weights fall linearly from its centre to its neighbours'. The inverse is `from_bands`.

    Shape:
        (..., N_BINS) -> (..., N_BANDS)
    """
    grouped = power @ _weights(power.dtype, power.device)
    return torch.cat([power[..., :_N_LONE], grouped], dim=-1).clamp(min=MAGNITUDE_FLOOR**2).log() / 2


def from_bands(bands: Tensor) -> Tensor:
    """Interpolate bins' log magnitudes, in nepers, linearly between the bands' centres. The inverse of `to_bands`.

    Exact for bins that are bands of their own. Differences between the bins of one band are lost.

    Shape:
        (..., N_BANDS) -> (..., N_BINS)
    """
    below, share = _neighbours(bands.dtype, bands.device)
    return torch.lerp(bands[..., below], bands[..., below + 1], share)


@lru_cache
def transposition(semitones: float, device: torch.device) -> Tensor:
    """Make the matrix that transposes a sound's bands of log magnitude by `semitones` and keeps its tempo.

    It stretches the spectrum along the frequency axis, as if the strings were shorter. The topmost band fills in
    what comes from beyond half the sample rate.

    Shape:
        -> (N_BANDS, N_BANDS), float32, for bands @ transposition

    >>> octave = transposition(12, torch.device("cpu"))
    >>> int((torch.eye(N_BANDS)[20] @ octave).argmax())  # the band of bin 20 moves to that of bin 40
    40
    """
    places = torch.tensor(_CENTRE_BINS, dtype=torch.float64)
    sources = (places * 2 ** (-semitones / 12)).clamp(max=_CENTRE_BINS[-1])
    below = (torch.searchsorted(places, sources, right=True) - 1).clamp(max=N_BANDS - 2)
    share = (sources - places[below]) / (places[below + 1] - places[below])
    matrix = torch.zeros(N_BANDS, N_BANDS, dtype=torch.float64)
    column = torch.arange(N_BANDS)
    matrix[below, column] = 1 - share
    matrix[below + 1, column] += share
    return matrix.to(device, torch.float32)


@lru_cache
def _weights(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weigh each bin in each band that groups some: (N_BINS, N_BANDS - _N_LONE), columns sum to 1."""
    bins = torch.arange(N_BINS, dtype=torch.float64)[:, None]
    places = torch.tensor([*_CENTRE_BINS, float(N_BINS)], dtype=torch.float64)
    before, centre, after = places[_N_LONE - 1 : -2], places[_N_LONE:-1], places[_N_LONE + 1 :]
    rising, falling = (bins - before) / (centre - before), (after - bins) / (after - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles / triangles.sum(0)).to(device, dtype)


@lru_cache
def _neighbours(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Find the band at or below each bin, and how far the bin lies towards the next band, 0 to 1."""
    places = torch.tensor(_CENTRE_BINS, dtype=torch.float64)
    bins = torch.arange(N_BINS, dtype=torch.float64)
    below = (torch.searchsorted(places, bins, right=True) - 1).clamp(max=N_BANDS - 2)
    share = (bins - places[below]) / (places[below + 1] - places[below])
    return below.to(device), share.to(device, dtype)
