"""The ancestor's codec made right: standardised FFT vectors of whole blocks."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pipeline.codecs.base import Codec, Excerpt, Fitting, Player, Sound, unwatched
from pipeline.codecs.instrument import NoteTable
from pipeline.config import SpectrumSettings
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.dsp.overlap import Joiner, context_padding, to_blocks
from waveforms.dsp.spectra import from_spectra, to_spectra
from waveforms.notes.events import Notes


class Spectrum(Codec):
    """Each number of a block's spectrum, less its mean over the training split, over its standard deviation.

    The imaginary part at frequency zero is always zero; such numbers without variance are left at zero.
    """

    mean_: Tensor  # (dims,)
    std_: Tensor  # (dims,)

    reads_notes, n_slices, expected_dims = False, 1, 0

    def __init__(self, settings: SpectrumSettings) -> None:
        super().__init__()
        self.lap = settings.lap
        self.margins = context_padding(settings.lap)
        self.dims = 2 * ((BLOCK_SIZE + settings.lap) // 2 + 1)  # 11 026 for a lap of 0
        self.register_buffer("mean_", torch.zeros(self.dims))
        self.register_buffer("std_", torch.ones(self.dims))

    def fit(self, excerpts: Iterable[Excerpt], fitting: Fitting = unwatched) -> None:
        """Mean and standard deviation of each number, merged excerpt by excerpt (Chan, Golub & LeVeque 1979)."""
        count = torch.zeros((), dtype=torch.float64)
        mean, squares = torch.zeros(2, self.dims, dtype=torch.float64)
        for excerpt in excerpts:
            spectra = to_spectra(to_blocks(excerpt.waveform, BLOCK_SIZE, self.lap))
            n, its_mean = len(spectra), spectra.mean(0)
            delta = its_mean.double() - mean
            squares = squares + spectra.sub_(its_mean).square_().sum(0) + delta.square() * (count * n / (count + n))
            mean = mean + delta * (n / (count + n))
            count = count + n
        std = (squares / count).sqrt()
        self.mean_.copy_(mean)
        self.std_.copy_(torch.where(std > 0, std, 1.0))

    def encode(self, waveforms: Tensor, notes: NoteTable | None = None, profiles: Tensor | None = None) -> Sound:
        """See `Codec.encode`. The inverse is `decode`."""
        spectra = to_spectra(to_blocks(waveforms, BLOCK_SIZE, self.lap))
        return Sound(spectra.sub_(self.mean_).div_(self.std_)[..., None, :])

    def decode(self, sound: Sound) -> Tensor:
        """Return the windowed blocks that `waveforms.dsp.overlap.Joiner` takes, (..., n_blocks, BLOCK_SIZE + lap)."""
        return from_spectra(sound.latent[..., 0, :] * self.std_ + self.mean_, BLOCK_SIZE + self.lap)

    def profile(self, waveform: Tensor, notes: Notes | None) -> Tensor:
        """Nothing: see `Codec.profile`."""
        return torch.zeros(0)

    def player(self, profiles: Tensor) -> Player:
        """See `Codec.player`."""
        return _SpectrumPlayer(self, len(profiles))


class _SpectrumPlayer(Player):
    def __init__(self, spectrum: Spectrum, n_rows: int) -> None:
        self._spectrum = spectrum
        self._n_rows = n_rows
        self._joiner = Joiner(spectrum.lap)

    def expect(self, notes: Sequence[Notes], n_blocks: int = 1) -> Sound:
        return Sound(self._spectrum.mean_.new_zeros(self._n_rows, n_blocks, 1, self._spectrum.dims))

    def push(self, sound: Sound, *, sampled: bool = False) -> Tensor:
        return self._joiner.push(self._spectrum.decode(sound))

    def finish(self) -> Tensor:
        return self._joiner.finish()
