"""The ancestor's representation made right: standardised FFT vectors of whole blocks."""

from collections.abc import Iterable

import torch
from torch import Tensor

from pipeline.elements import Shape
from pipeline.representations.base import Decoder, Representation, Total, alone
from pipeline.settings import SpectrumSettings
from waveforms import BLOCK_SIZE
from waveforms.blocks import Joiner, cut, margins
from waveforms.spectra import from_spectra, to_spectra


class Spectrum(Representation):
    """Each number of a block's spectrum, less its mean over the training split, over its standard deviation.

    The imaginary part at frequency zero is always zero; such numbers without variance are left at zero.
    """

    mean_: Tensor  # (dim,)
    std_: Tensor  # (dim,)

    def __init__(self, settings: SpectrumSettings) -> None:
        super().__init__()
        self.lap = settings.lap
        self.margins = margins(settings.lap)
        self.shape = Shape(1, 2 * ((BLOCK_SIZE + settings.lap) // 2 + 1))  # 11 026 for a lap of 0
        self.register_buffer("mean_", torch.zeros(self.shape.dim))
        self.register_buffer("std_", torch.ones(self.shape.dim))

    def fit(self, waveforms: Iterable[Tensor], total: Total = alone) -> None:
        """Mean and standard deviation of each number, merged stretch by stretch (Chan, Golub & LeVeque 1979)."""
        count = torch.zeros(1, dtype=torch.float64)
        mean, squares = torch.zeros(2, self.shape.dim, dtype=torch.float64)
        for waveform in waveforms:
            spectra = to_spectra(cut(waveform, lap=self.lap))
            n, its_mean = len(spectra), spectra.mean(0)
            delta = its_mean.double() - mean
            squares = squares + spectra.sub_(its_mean).square_().sum(0) + delta.square() * (count * n / (count + n))
            mean = mean + delta * (n / (count + n))
            count = count + n
        n_in_all = total(count)
        mean_of_all = total(count * mean) / n_in_all
        variance = total(squares + count * (mean - mean_of_all).square()) / n_in_all
        std = variance.sqrt()
        self.mean_.copy_(mean_of_all)
        self.std_.copy_(torch.where(std > 0, std, 1.0))

    def transform(self, waveform: Tensor) -> Tensor:
        """See `Representation.transform`."""
        return to_spectra(cut(waveform, lap=self.lap)).sub_(self.mean_).div_(self.std_)

    def inverse_transform(self, elements: Tensor) -> Tensor:
        """Elements to the windowed blocks that `waveforms.blocks.join` takes.

        Shape:
            (..., n_blocks, dim) -> (..., n_blocks, BLOCK_SIZE + lap)
        """
        return from_spectra(elements * self.std_ + self.mean_, BLOCK_SIZE + self.lap)

    def decoder(self) -> Decoder:
        """See `Representation.decoder`."""
        return _SpectrumDecoder(self)


class _SpectrumDecoder(Decoder):
    def __init__(self, spectrum: Spectrum) -> None:
        self._spectrum = spectrum
        self._joiner = Joiner(spectrum.lap)

    def push(self, elements: Tensor) -> Tensor:
        return self._joiner.push(self._spectrum.inverse_transform(elements))

    def finish(self) -> Tensor:
        return self._joiner.finish()
