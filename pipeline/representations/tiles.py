"""Blocks as what is heard of them: bands of log magnitude, slice by slice, on few principal axes; phase is left out.

A block's tile is cut into N_SLICES slices of 50 ms. A slice, its bands over its frames, is one point; the training
split's principal axes (Pearson 1901; Jolliffe, "Principal Component Analysis", 2002) keep what varies most. The way
back ends in phase recovery, which runs on from block to block, so blocks have no seams.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from pipeline.representations.base import Decoder, Representation, Total, alone
from pipeline.settings import TileSettings
from waveforms.bands import CENTRES, N_BANDS, PER_OCTAVE, from_bands, to_bands, transposition, widths
from waveforms.phase import PhaseRecovery
from waveforms.spectra import FRAMES_PER_BLOCK, TILE_MARGINS, to_frames

N_SLICES = 5  # of a block
FRAMES_PER_SLICE = FRAMES_PER_BLOCK // N_SLICES
SLICE_SIZE = FRAMES_PER_SLICE * N_BANDS  # 1045 numbers
_ORIGIN = -9.0  # nepers: about where the mean of music's bands lies
_LOWEST = 27.5  # Hz
_WIDEST = 1 / 4  # octaves that a band counts for at most
LOUDEST = 0.0  # nepers re full scale: a recording has no louder bin unless it was clipped, so no clip has


class Tiles(Representation):
    """Each slice, its bands weighted, on the training split's principal axes, the first `dims` of them.

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
        self.margins = TILE_MARGINS
        self.shape = (N_SLICES, settings.dims)
        self.dim = N_SLICES * settings.dims
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
            slices = _slices(waveform).flatten(0, -2) - _ORIGIN  # near zero, so that float32 products lose nothing
            slices = slices * self.weights
            count = count + len(slices)
            sums = sums + slices.sum(0, dtype=torch.float64)
            products = products + (slices.T @ slices).double()
        n, mean = total(count), total(sums)
        mean = mean / n
        covariance = total(products) / n - mean[:, None] * mean
        variances, axes = torch.linalg.eigh(covariance)
        variances = variances.flip(0)[: self.settings.dims].clamp(min=1e-12)
        spread = variances.sqrt()
        self.mean_.copy_(mean / self.weights + _ORIGIN)
        self.axes_.copy_(_facing_one_way(axes.flip(1)[:, : self.settings.dims]))
        self.scale_.copy_(spread.sqrt() * spread.mean().sqrt())

    def transform(self, waveform: Tensor) -> Tensor:
        """See `Representation.transform`."""
        return self._on_axes(_slices(waveform))

    def vary(self, waveform: Tensor) -> Tensor:
        """See `Representation.vary`: transposed by up to `transpose` semitones, and louder or quieter.

        The bands are moved along the frequency axis; time stays as it is.
        """
        gains = torch.randn(len(waveform), 1, device=waveform.device) * self.settings.gain
        slices = _slices(waveform * 10 ** (gains / 20))
        bands = slices.reshape(*slices.shape[:-1], FRAMES_PER_SLICE, N_BANDS)
        most = self.settings.transpose
        semitones = torch.randint(-most, most + 1, (len(waveform),)).tolist()
        moves = torch.stack([transposition(n, waveform.device) for n in semitones])  # (batch, N_BANDS, N_BANDS)
        moved = torch.einsum("bnsfi,bij->bnsfj", bands, moves)
        return self._on_axes(moved.flatten(-2))

    def inverse_transform(self, elements: Tensor) -> Tensor:
        """Elements to tiles; the way on is `waveforms.phase`.

        Shape:
            (..., n_blocks, dim) -> (..., n_blocks, FRAMES_PER_BLOCK, N_BINS)
        """
        weighted = (elements.reshape(*elements.shape[:-1], *self.shape) * self.scale_) @ self.axes_.T
        bands = (weighted / self.weights + self.mean_).reshape(*elements.shape[:-1], FRAMES_PER_BLOCK, N_BANDS)
        return from_bands(bands).clamp(max=LOUDEST)

    def decoder(self) -> Decoder:
        """See `Representation.decoder`."""
        return _TilesDecoder(self)

    def _on_axes(self, slices: Tensor) -> Tensor:
        return ((slices - self.mean_) * self.weights @ self.axes_ / self.scale_).flatten(-2)


def _slices(waveform: Tensor) -> Tensor:
    """(..., n_blocks * BLOCK_SIZE + sum(TILE_MARGINS)) -> (..., n_blocks, N_SLICES, SLICE_SIZE)."""
    frames = to_frames(waveform)
    bands = to_bands(frames.real.square() + frames.imag.square())  # (..., n_blocks * FRAMES_PER_BLOCK, N_BANDS)
    return bands.reshape(*bands.shape[:-2], -1, N_SLICES, SLICE_SIZE)


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
