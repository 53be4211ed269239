"""Blocks as what is heard of them, slice by slice: levels of bands on few principal axes, and the keys struck.

A block's tile is cut into N_SLICES slices of 50 ms. A slice, its bands over its frames, is one point; the training
split's principal axes (Pearson 1901; Jolliffe, "Principal Component Analysis", 2002) keep what varies most. Phase is
left out: the way back ends in phase recovery, which runs on from block to block, so blocks have no seams. The keys are
for the predictor, which can be certain of a key and never of a sound; the way back leaves them aside.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from pipeline.elements import Shape
from pipeline.representations.base import Decoder, Representation, Total, alone
from pipeline.settings import TileSettings
from waveforms.bands import (
    CENTRES,
    N_BANDS,
    PER_OCTAVE,
    from_bands,
    from_levels,
    to_bands,
    to_levels,
    transposition,
    widths,
)
from waveforms.keys import FRAMES_PER_SLICE, N_KEYS, SLICE_SAMPLES, hear_keys
from waveforms.phase import PhaseRecovery
from waveforms.spectra import FRAMES_PER_BLOCK, TILE_MARGINS, to_frames

N_SLICES = FRAMES_PER_BLOCK // FRAMES_PER_SLICE  # 5 of a block
SLICE_SIZE = FRAMES_PER_SLICE * N_BANDS  # 1045 numbers
_LOWEST = 27.5  # Hz
_WIDEST = 1 / 4  # octaves that a band counts for at most
LOUDEST = 0.0  # nepers re full scale: a recording has no louder bin unless it was clipped, so no clip has


class Tiles(Representation):
    """Each slice, its bands weighted, on the training split's principal axes, the first `dims` of them, and its keys.

    Bands are weighted by the root of their width in octaves: between 55 and 220 Hz, where the left hand plays, there
    are 8 of 209, which would be drowned.

    An axis along which slices deviate by s comes out with a deviation of sqrt(s), then all are scaled alike to a mean
    square of 1. Whitened, the faintest axis would weigh as much in a loss as the level; left as they are, the level
    would be nearly all of it.
    """

    weights: Tensor  # (SLICE_SIZE,)
    mean_: Tensor  # (SLICE_SIZE,)
    axes_: Tensor  # (SLICE_SIZE, dims)
    scale_: Tensor  # (dims,): what an element's numbers are multiplied by on the way back

    def __init__(self, settings: TileSettings) -> None:
        super().__init__()
        self.settings = settings
        self.margins = (TILE_MARGINS[0] + SLICE_SAMPLES, TILE_MARGINS[1] + SLICE_SAMPLES)
        self.shape = Shape(N_SLICES, settings.dims, N_KEYS)
        self.register_buffer("weights", _weights(), persistent=False)
        self.register_buffer("mean_", torch.zeros(SLICE_SIZE))
        self.register_buffer("axes_", torch.eye(SLICE_SIZE, settings.dims))
        self.register_buffer("scale_", torch.ones(settings.dims))

    def fit(self, waveforms: Iterable[Tensor], total: Total = alone) -> None:
        """Mean and covariance of the slices in one pass, then the covariance's leading eigenvectors."""
        count = torch.zeros(1, dtype=torch.float64)
        sums = torch.zeros(SLICE_SIZE, dtype=torch.float64)
        products = torch.zeros(SLICE_SIZE, SLICE_SIZE, dtype=torch.float64)
        for waveform in waveforms:
            slices = to_levels(_bands(waveform)[1:-1]).flatten(1) * self.weights
            count = count + len(slices)
            sums = sums + slices.sum(0, dtype=torch.float64)
            products = products + (slices.T @ slices).double()
        n, mean = total(count), total(sums)
        mean = mean / n
        covariance = total(products) / n - mean[:, None] * mean
        variances, axes = torch.linalg.eigh(covariance)
        variances = variances.flip(0)[: self.settings.dims].clamp(min=1e-12)
        spread = variances.sqrt()
        self.mean_.copy_(mean / self.weights)
        self.axes_.copy_(_facing_one_way(axes.flip(1)[:, : self.settings.dims]))
        self.scale_.copy_(spread.sqrt() * spread.mean().sqrt())

    def transform(self, waveform: Tensor) -> Tensor:
        """See `Representation.transform`."""
        return self._elements(_bands(waveform))

    def vary(self, waveform: Tensor) -> Tensor:
        """See `Representation.vary`: transposed by up to `transpose` semitones, and louder or quieter.

        The bands are moved along the frequency axis; time stays as it is.
        """
        gains = torch.randn(len(waveform), 1, device=waveform.device) * self.settings.gain
        bands = _bands(waveform * 10 ** (gains / 20))
        most = self.settings.transpose
        semitones = torch.randint(-most, most + 1, (len(waveform),)).tolist()
        moves = torch.stack([transposition(n, waveform.device) for n in semitones])  # (batch, N_BANDS, N_BANDS)
        return self._elements(torch.einsum("bsfi,bij->bsfj", bands, moves))

    def inverse_transform(self, elements: Tensor) -> Tensor:
        """Elements to tiles; the way on is `waveforms.phase`.

        Shape:
            (..., n_blocks, dim) -> (..., n_blocks, FRAMES_PER_BLOCK, N_BINS)
        """
        sound = self.shape.sound(self.shape.slices(elements))
        weighted = (sound * self.scale_) @ self.axes_.T
        levels = (weighted / self.weights + self.mean_).reshape(*elements.shape[:-1], FRAMES_PER_BLOCK, N_BANDS)
        return from_bands(from_levels(levels)).clamp(max=LOUDEST)

    def decoder(self) -> Decoder:
        """See `Representation.decoder`."""
        return _TilesDecoder(self)

    def _elements(self, bands: Tensor) -> Tensor:
        """(..., n_blocks * N_SLICES + 2, FRAMES_PER_SLICE, N_BANDS) -> (..., n_blocks, dim)."""
        slices = to_levels(bands[..., 1:-1, :, :]).flatten(-2)
        sound = (slices - self.mean_) * self.weights @ self.axes_ / self.scale_
        return torch.cat([sound, hear_keys(bands)], dim=-1).reshape(*bands.shape[:-3], -1, self.shape.dim)


def _bands(waveform: Tensor) -> Tensor:
    """Of all slices, and of one more at either end.

    Shape:
        (..., n_blocks * BLOCK_SIZE + sum(Tiles.margins)) -> (..., n_blocks * N_SLICES + 2, FRAMES_PER_SLICE, N_BANDS)
    """
    frames = to_frames(waveform)
    bands = to_bands(frames.real.square() + frames.imag.square())  # (..., n_frames, N_BANDS)
    return bands.reshape(*bands.shape[:-2], -1, FRAMES_PER_SLICE, N_BANDS)


def _weights() -> Tensor:
    """An octave of the piano counts as much as another, however few bands tell of it; below its lowest A, little does.

    Shape:
        (SLICE_SIZE,)
    """
    shares = PER_OCTAVE * widths().clamp(max=_WIDEST)
    shares[torch.tensor(CENTRES) < _LOWEST] = 1.0
    return shares.sqrt().repeat(FRAMES_PER_SLICE)


def _facing_one_way(axes: Tensor) -> Tensor:
    """Eigenvectors have no sign of their own: the largest number of each is made positive, on every machine."""
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return axes * largest.sign()


class _TilesDecoder(Decoder):
    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles
        self._recovery = PhaseRecovery()

    def push(self, elements: Tensor) -> Tensor:
        return self._recovery.push(self._tiles.inverse_transform(elements))

    def finish(self) -> Tensor:
        return self._recovery.finish()
