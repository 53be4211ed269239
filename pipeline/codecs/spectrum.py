"""The ancestor's codec with its faults mended: standardised FFT vectors of whole blocks."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pipeline.codecs.base import Codec, Decoder, Example, Latents, Report, no_report
from pipeline.codecs.note_table import NoteTable
from pipeline.config import SpectrumSettings
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.dsp.overlap import Joiner, context_padding, to_blocks
from waveforms.dsp.spectra import from_spectra, to_spectra
from waveforms.notes.events import Notes


class Spectrum(Codec):
    """Standardises each number of a block's spectrum by its mean and standard deviation over the training split.

    Numbers without variance stay zero, such as the imaginary part at frequency zero.
    """

    mean_: Tensor  # (dims,)
    std_: Tensor  # (dims,)

    block_size, n_frames, conditioning_dims, reads_notes = BLOCK_SIZE, 1, 0, False

    def __init__(self, settings: SpectrumSettings) -> None:
        super().__init__()
        self.overlap = settings.overlap
        self.padding = context_padding(settings.overlap)
        self.dims = 2 * ((BLOCK_SIZE + settings.overlap) // 2 + 1)  # 11 026 for an overlap of 0
        self.register_buffer("mean_", torch.zeros(self.dims))
        self.register_buffer("std_", torch.ones(self.dims))

    def fit(self, examples: Iterable[Example], report: Report = no_report) -> None:
        """Merge mean and variance example by example (Chan, Golub & LeVeque 1979)."""
        count = torch.zeros((), dtype=torch.float64)
        mean, squares = torch.zeros(2, self.dims, dtype=torch.float64)
        for example in examples:
            spectra = to_spectra(to_blocks(example.waveform, BLOCK_SIZE, self.overlap))
            n, its_mean = len(spectra), spectra.mean(0)
            delta = its_mean.double() - mean
            squares = squares + spectra.sub_(its_mean).square_().sum(0) + delta.square() * (count * n / (count + n))
            mean = mean + delta * (n / (count + n))
            count = count + n
        std = (squares / count).sqrt()
        self.mean_.copy_(mean)
        self.std_.copy_(torch.where(std > 0, std, 1.0))

    def encode(self, waveforms: Tensor, notes: NoteTable | None = None, profiles: Tensor | None = None) -> Latents:
        """See `Codec.encode`. The inverse is `decode`."""
        spectra = to_spectra(to_blocks(waveforms, BLOCK_SIZE, self.overlap))
        return Latents(spectra.sub_(self.mean_).div_(self.std_)[..., None, :])

    def decode(self, latents: Latents) -> Tensor:
        """Return the windowed blocks that `Joiner` takes, (..., n_blocks, BLOCK_SIZE + overlap)."""
        return from_spectra(latents.latent[..., 0, :] * self.std_ + self.mean_, BLOCK_SIZE + self.overlap)

    def profile(self, waveform: Tensor, notes: Notes | None) -> Tensor:
        """Return an empty profile: see `Codec.profile`."""
        return torch.zeros(0)

    def decoder(self, profiles: Tensor) -> Decoder:
        """See `Codec.decoder`."""
        return _SpectrumDecoder(self, len(profiles))


class _SpectrumDecoder(Decoder):
    def __init__(self, spectrum: Spectrum, n_rows: int) -> None:
        self._spectrum = spectrum
        self._n_rows = n_rows
        self._joiner = Joiner(spectrum.overlap)

    def expect(self, notes: Sequence[Notes], n_blocks: int = 1) -> Latents:
        return Latents(self._spectrum.mean_.new_zeros(self._n_rows, n_blocks, 1, self._spectrum.dims))

    def push(self, latents: Latents, *, sampled: bool = False) -> Tensor:
        return self._joiner.push(self._spectrum.decode(latents))

    def finish(self) -> Tensor:
        return self._joiner.finish()
