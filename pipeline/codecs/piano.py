"""The piano's codec: the expected sound of the notes, and the residual that it leaves.

The STFT of a block, companded log magnitudes of N_BANDS bands over 25 STFT frames, consists of 5 log-spectrogram
patches of 50 ms: the latent frames. The instrument computes each patch from the notes; principal components encode the
residual. The codec drops the phases: decoding ends in phase recovery, which runs on from block to block without seams.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pipeline.codecs.base import Codec, Decoder, Example, Latents, Report, no_report
from pipeline.codecs.events import BLOCK_SECONDS
from pipeline.codecs.instrument import Instrument
from pipeline.codecs.note_table import NoteExcerpt, NoteTable
from pipeline.config import PianoSettings
from waveforms.dsp.bands import CENTRES, N_BANDS, PER_OCTAVE, compand, expand, from_bands, to_bands, widths
from waveforms.dsp.blocks import BLOCK_SIZE, FRAMES_PER_BLOCK
from waveforms.dsp.phase import PhaseRecovery
from waveforms.dsp.spectra import FRAME_PADDING, to_frames
from waveforms.notes.events import Notes

STFT_FRAMES = 5  # in a patch
N_PATCHES = FRAMES_PER_BLOCK // STFT_FRAMES  # 5 in a block
PATCH_SIZE = STFT_FRAMES * N_BANDS  # 1045 numbers
_LOWEST = 27.5  # Hz
_WIDEST = 1 / 4  # octaves that a band counts for at most
LOUDEST = 0.0  # nepers re full scale: only a clipped recording has a louder bin, so clips get none
LONGEST_NOTE = 12.0  # seconds after its onset for which a note may sound
LEAST = 1e-8  # variance along an axis
# A sampled residual is independent of the notes' partials: where these lie several bands apart it bends and ends them.
# Decoding keeps a share of QUIET of it below QUIET_BELOW, and all above WHOLE_ABOVE (docs/experiments.md, section 16).
QUIET, QUIET_BELOW, WHOLE_ABOVE = 0.3, 500.0, 1000.0  # Hz


class PianoCodec(Codec):
    """Waveform and notes <-> residual.

    An axis of standard deviation s gets the standard deviation sqrt(s), then one factor scales the mean square of all
    axes to 1: after whitening, the faintest axis would weigh as much in a loss as the loudest. The root of its width in
    octaves weights each band: only 8 of 209 bands lie between 55 and 220 Hz, where the left hand plays.
    """

    weights: Tensor  # (PATCH_SIZE,)
    mean: Tensor  # (PATCH_SIZE,): of residuals
    axes: Tensor  # (PATCH_SIZE, dims)
    scale: Tensor  # (dims,)
    conditioning_mean: Tensor  # (PATCH_SIZE,)
    conditioning_axes: Tensor  # (PATCH_SIZE, conditioning_dims), whitening

    block_size, n_frames, padding, reads_notes = BLOCK_SIZE, N_PATCHES, FRAME_PADDING, True

    def __init__(self, settings: PianoSettings) -> None:
        super().__init__()
        self.settings = settings
        self.dims, self.conditioning_dims = settings.dims, settings.expected_dims
        self.instrument = Instrument()
        self.register_buffer("weights", _weights(), persistent=False)
        self.register_buffer("mean", torch.zeros(PATCH_SIZE))
        self.register_buffer("axes", torch.eye(PATCH_SIZE, settings.dims))
        self.register_buffer("scale", torch.ones(settings.dims))
        self.register_buffer("conditioning_mean", torch.zeros(PATCH_SIZE))
        self.register_buffer("conditioning_axes", torch.eye(PATCH_SIZE, settings.expected_dims))

    def fit(self, examples: Iterable[Example], report: Report = no_report) -> None:
        """Fit the instrument, then the principal axes of the residuals.

        Where notes are transcribed, fit the instrument twice: the first fit refines their velocities and offsets.
        """
        bands, notes, recordings, transcribed = [], [], [], []
        for example in examples:
            assert example.notes is not None
            bands.append(_bands(example.waveform).half())
            notes.append(example.notes)
            recordings.append(example.recording)
            transcribed.append(example.transcribed)
        n_steps = self.settings.fit_steps // (2 if any(transcribed) else 1)
        self.instrument.fit(bands, notes, recordings, n_steps, report)
        if any(transcribed):
            notes = [
                self.instrument.refine(b, n, self.instrument.profile(b, n)) if estimated else n
                for b, n, estimated in zip(bands, notes, transcribed, strict=True)
            ]
            self.instrument.fit(bands, notes, recordings, n_steps, report)
        residuals, expectations = _Moments(), _Moments()
        for of_bands, of_example in zip(bands, notes, strict=True):
            profile = self.instrument.profile(of_bands, of_example)
            n_blocks = len(of_bands) // FRAMES_PER_BLOCK
            expected = self.instrument(
                NoteTable.of([NoteExcerpt(of_example)]), profile.expand(1, n_blocks, -1)
            ).reshape(-1, PATCH_SIZE)
            expectations.add(expected * self.weights)
            residuals.add((compand(of_bands.float()).reshape(-1, PATCH_SIZE) - expected) * self.weights)
        mean, axes, stds = residuals.principal(self.settings.dims)
        self.mean.copy_(mean)
        self.axes.copy_(axes)
        self.scale.copy_((stds * stds.mean()).sqrt())
        mean, axes, stds = expectations.principal(self.settings.expected_dims)
        self.conditioning_mean.copy_(mean)
        self.conditioning_axes.copy_(axes / stds)

    def profile(self, waveform: Tensor, notes: Notes | None) -> Tensor:
        """Estimate the recording's gain, colour and noise floor: see `Instrument.profile`."""
        assert notes is not None
        return self.instrument.profile(_bands(waveform), notes)

    def refine(self, waveform: Tensor, notes: Notes, profile: Tensor) -> Notes:
        """See `Codec.refine`."""
        return self.instrument.refine(_bands(waveform), notes, profile)

    def encode(self, waveforms: Tensor, notes: NoteTable | None, profiles: Tensor | None) -> Latents:
        """See `Codec.encode`."""
        assert notes is not None
        assert profiles is not None
        expected = self.instrument(notes, profiles)
        magnitudes = compand(_bands(waveforms)).view(expected.shape)
        return Latents(self.to_residual(magnitudes, expected), expected, self.to_conditioning(expected))

    def to_residual(self, magnitudes: Tensor, expected: Tensor) -> Tensor:
        """Encode companded log magnitudes as residuals of the expected ones. The inverse is `to_magnitudes`.

        Shape:
            (..., n_blocks, FRAMES_PER_BLOCK, N_BANDS), the same -> (..., n_blocks, N_PATCHES, dims)
        """
        return (_patches(magnitudes - expected) * self.weights - self.mean) @ self.axes / self.scale

    def to_magnitudes(self, residual: Tensor, expected: Tensor) -> Tensor:
        """Decode companded log magnitudes. The inverse is `to_residual`.

        Shape:
            (..., N_PATCHES, dims), (..., FRAMES_PER_BLOCK, N_BANDS) -> (..., FRAMES_PER_BLOCK, N_BANDS)
        """
        patches = ((residual * self.scale) @ self.axes.T + self.mean) / self.weights
        return expected + patches.reshape(expected.shape)

    def to_conditioning(self, expected: Tensor) -> Tensor:
        """Project the expected sound; (..., FRAMES_PER_BLOCK, N_BANDS) -> (..., N_PATCHES, conditioning_dims)."""
        return (_patches(expected) * self.weights - self.conditioning_mean) @ self.conditioning_axes

    def decoder(self, profiles: Tensor) -> Decoder:
        """See `Codec.decoder`."""
        return _PianoDecoder(self, profiles)


class _PianoDecoder(Decoder):
    def __init__(self, codec: PianoCodec, profiles: Tensor) -> None:
        self._codec = codec
        self._profiles = profiles
        self._recovery = PhaseRecovery()
        self._shares = _shares().to(profiles.device)
        self._notes = [Notes.of([]) for _ in profiles]
        self._n_blocks = 0

    def expect(self, notes: Sequence[Notes], n_blocks: int = 1) -> Latents:
        now = self._n_blocks * BLOCK_SECONDS
        self._notes = [
            played.between(now - LONGEST_NOTE, now).joined(new) for played, new in zip(self._notes, notes, strict=True)
        ]
        self._n_blocks += n_blocks
        excerpts = [NoteExcerpt(of_row, row, -now) for row, of_row in enumerate(self._notes)]
        table = NoteTable.of(excerpts).to(self._profiles.device)
        expected = self._codec.instrument(table, self._profiles[:, None].expand(-1, n_blocks, -1))
        residual = expected.new_zeros(*expected.shape[:2], N_PATCHES, self._codec.dims)
        return Latents(residual, expected, self._codec.to_conditioning(expected))

    def push(self, latents: Latents, *, sampled: bool = False) -> Tensor:
        assert latents.expected is not None
        magnitudes = self._codec.to_magnitudes(latents.latent, latents.expected)
        if sampled:
            magnitudes = latents.expected.lerp(magnitudes, self._shares)
        return self._recovery.push(from_bands(expand(magnitudes).clamp(max=LOUDEST)).flatten(-3, -2))

    def finish(self) -> Tensor:
        return self._recovery.finish()


class _Moments:
    """Accumulates mean and covariance of patches."""

    def __init__(self) -> None:
        self._n = 0
        self._sum = torch.zeros(PATCH_SIZE, dtype=torch.float64)
        self._products = torch.zeros(PATCH_SIZE, PATCH_SIZE, dtype=torch.float64)

    def add(self, patches: Tensor) -> None:
        self._n += len(patches)
        self._sum += patches.sum(0, dtype=torch.float64)
        self._products += (patches.T @ patches).double()

    def principal(self, dims: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean, the leading axes in columns and the standard deviations along them (Jolliffe 2002)."""
        mean = self._sum / self._n
        variances, axes = torch.linalg.eigh(self._products / self._n - mean[:, None] * mean)
        stds = variances.flip(0)[:dims].clamp(min=LEAST).sqrt()
        return mean.float(), _with_fixed_signs(axes.flip(1)[:, :dims]).float(), stds.float()


def _bands(waveform: Tensor) -> Tensor:
    """(..., n_frames * HOP + sum(FRAME_PADDING)) -> (..., n_frames, N_BANDS), in nepers."""
    frames = to_frames(waveform)
    return to_bands(frames.real.square() + frames.imag.square())


def _patches(magnitudes: Tensor) -> Tensor:
    """(..., FRAMES_PER_BLOCK, N_BANDS) -> (..., N_PATCHES, PATCH_SIZE)."""
    return magnitudes.reshape(*magnitudes.shape[:-2], N_PATCHES, PATCH_SIZE)


def _weights() -> Tensor:
    """Weight bands so that every octave of the piano counts the same, and less below the lowest A.

    Shape:
        (PATCH_SIZE,)
    """
    shares = PER_OCTAVE * widths().clamp(max=_WIDEST)
    shares[torch.tensor(CENTRES) < _LOWEST] = 1.0
    return shares.sqrt().repeat(STFT_FRAMES)


def _shares() -> Tensor:
    """Return the share of a sampled residual to decode: linear over log frequency from QUIET_BELOW to WHOLE_ABOVE.

    Shape:
        (N_BANDS,)
    """
    centres = torch.tensor(CENTRES).clamp(QUIET_BELOW, WHOLE_ABOVE)
    return QUIET + (1 - QUIET) * (centres / QUIET_BELOW).log() / math.log(WHOLE_ABOVE / QUIET_BELOW)


def _with_fixed_signs(axes: Tensor) -> Tensor:
    """Make the largest number of each eigenvector positive: eigenvectors have no sign, and machines choose others."""
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return axes * largest.sign()
