"""The piano's codec: the sound to be expected of the notes, and what it leaves over.

A block's log spectrum, its bands' companded magnitudes over 25 frames, is cut into slices of 50 ms. The instrument
computes each slice from the notes; the residual, what the microphone heard besides, goes on few principal axes. Phase
is left out: decoding ends in phase recovery, which runs on from block to block, so blocks have no seams.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pipeline.codecs.base import Codec, Excerpt, Fitting, Player, Sound, unwatched
from pipeline.codecs.events import BLOCK_SECONDS
from pipeline.codecs.instrument import Instrument, NoteExcerpt, NoteTable
from pipeline.config import PianoSettings
from waveforms.dsp.bands import CENTRES, N_BANDS, PER_OCTAVE, compand, expand, from_bands, to_bands, widths
from waveforms.dsp.blocks import FRAMES_PER_BLOCK
from waveforms.dsp.phase import PhaseRecovery
from waveforms.dsp.spectra import FRAME_PADDING, to_frames
from waveforms.notes.events import Notes

FRAMES_PER_SLICE = 5
N_SLICES = FRAMES_PER_BLOCK // FRAMES_PER_SLICE  # 5 in a block
SLICE_SIZE = FRAMES_PER_SLICE * N_BANDS  # 1045 numbers
_LOWEST = 27.5  # Hz
_WIDEST = 1 / 4  # octaves that a band counts for at most
LOUDEST = 0.0  # nepers re full scale: a recording has no louder bin unless it was clipped, so no clip has
MEMORY = 12.0  # seconds after its onset in which a note may still be heard
LEAST = 1e-8  # variance along an axis
# A sampled residual knows of no note: where partials lie several bands apart it bends and ends them. Below QUIET_BELOW
# a share of QUIET of it is heard, above WHOLE_ABOVE all (docs/experiments.md, section 16).
QUIET, QUIET_BELOW, WHOLE_ABOVE = 0.3, 500.0, 1000.0  # Hz


class PianoCodec(Codec):
    """Waveform and notes <-> residual.

    An axis along which residuals deviate by s comes out with a deviation of sqrt(s), then all are scaled alike to a
    mean square of 1: whitened, the faintest axis would weigh as much in a loss as the loudest. Bands are weighted by
    the root of their width in octaves: between 55 and 220 Hz, where the left hand plays, there are 8 of 209.
    """

    weights: Tensor  # (SLICE_SIZE,)
    mean: Tensor  # (SLICE_SIZE,): of residuals
    axes: Tensor  # (SLICE_SIZE, dims)
    scale: Tensor  # (dims,)
    expected_mean: Tensor  # (SLICE_SIZE,)
    expected_axes: Tensor  # (SLICE_SIZE, expected_dims), whitening

    reads_notes, margins, n_slices = True, FRAME_PADDING, N_SLICES

    def __init__(self, settings: PianoSettings) -> None:
        super().__init__()
        self.settings = settings
        self.dims, self.expected_dims = settings.dims, settings.expected_dims
        self.instrument = Instrument()
        self.register_buffer("weights", _weights(), persistent=False)
        self.register_buffer("mean", torch.zeros(SLICE_SIZE))
        self.register_buffer("axes", torch.eye(SLICE_SIZE, settings.dims))
        self.register_buffer("scale", torch.ones(settings.dims))
        self.register_buffer("expected_mean", torch.zeros(SLICE_SIZE))
        self.register_buffer("expected_axes", torch.eye(SLICE_SIZE, settings.expected_dims))

    def fit(self, excerpts: Iterable[Excerpt], fitting: Fitting = unwatched) -> None:
        """Learn the instrument, then the axes of what it leaves over.

        Where notes were heard, the instrument is learned twice: the first one tells how loud and how long they were.
        """
        bands, notes, recordings, heard = [], [], [], []
        for excerpt in excerpts:
            assert excerpt.notes is not None
            bands.append(_bands(excerpt.waveform).half())
            notes.append(excerpt.notes)
            recordings.append(excerpt.recording)
            heard.append(excerpt.heard)
        n_steps = self.settings.fit_steps // (2 if any(heard) else 1)
        self.instrument.fit(bands, notes, recordings, n_steps, fitting)
        if any(heard):
            notes = [
                self.instrument.refined(b, n, self.instrument.profile(b, n)) if was_heard else n
                for b, n, was_heard in zip(bands, notes, heard, strict=True)
            ]
            self.instrument.fit(bands, notes, recordings, n_steps, fitting)
        residuals, expectations = _Moments(), _Moments()
        for of_bands, of_excerpt in zip(bands, notes, strict=True):
            profile = self.instrument.profile(of_bands, of_excerpt)
            n_blocks = len(of_bands) // FRAMES_PER_BLOCK
            expected = self.instrument(
                NoteTable.of([NoteExcerpt(of_excerpt)]), profile.expand(1, n_blocks, -1)
            ).reshape(-1, SLICE_SIZE)
            expectations.add(expected * self.weights)
            residuals.add((compand(of_bands.float()).reshape(-1, SLICE_SIZE) - expected) * self.weights)
        mean, axes, deviations = residuals.principal(self.settings.dims)
        self.mean.copy_(mean)
        self.axes.copy_(axes)
        self.scale.copy_((deviations * deviations.mean()).sqrt())
        mean, axes, deviations = expectations.principal(self.settings.expected_dims)
        self.expected_mean.copy_(mean)
        self.expected_axes.copy_(axes / deviations)

    def profile(self, waveform: Tensor, notes: Notes | None) -> Tensor:
        """The recording's gain, colour and noise floor: see `Instrument.profile`."""
        assert notes is not None
        return self.instrument.profile(_bands(waveform), notes)

    def refined(self, waveform: Tensor, notes: Notes, profile: Tensor) -> Notes:
        """See `Codec.refined`."""
        return self.instrument.refined(_bands(waveform), notes, profile)

    def encode(self, waveforms: Tensor, notes: NoteTable | None, profiles: Tensor | None) -> Sound:
        """See `Codec.encode`."""
        assert notes is not None
        assert profiles is not None
        bands = _bands(waveforms)
        levels = self.instrument(notes, profiles)
        latent = self.to_residual(compand(bands).view(levels.shape), levels)
        return Sound(latent, levels, self.to_expected(levels))

    def to_residual(self, levels: Tensor, expected: Tensor) -> Tensor:
        """What the expected sound leaves over. The inverse is `to_levels`.

        Shape:
            (..., n_blocks, FRAMES_PER_BLOCK, N_BANDS) twice -> (..., n_blocks, N_SLICES, dims)
        """
        return (_slices(levels - expected) * self.weights - self.mean) @ self.axes / self.scale

    def to_levels(self, residual: Tensor, expected: Tensor) -> Tensor:
        """Levels of bands; (..., N_SLICES, dims), (..., FRAMES_PER_BLOCK, N_BANDS) -> as the latter."""
        slices = ((residual * self.scale) @ self.axes.T + self.mean) / self.weights
        return expected + slices.reshape(expected.shape)

    def to_expected(self, expected: Tensor) -> Tensor:
        """As the model reads it; (..., FRAMES_PER_BLOCK, N_BANDS) -> (..., N_SLICES, expected_dims)."""
        return (_slices(expected) * self.weights - self.expected_mean) @ self.expected_axes

    def player(self, profiles: Tensor) -> Player:
        """See `Codec.player`."""
        return _PianoPlayer(self, profiles)


class _PianoPlayer(Player):
    def __init__(self, codec: PianoCodec, profiles: Tensor) -> None:
        self._codec = codec
        self._profiles = profiles
        self._recovery = PhaseRecovery()
        self._shares = _shares().to(profiles.device)
        self._notes = [Notes.of([]) for _ in profiles]
        self._n_blocks = 0

    def expect(self, notes: Sequence[Notes], n_blocks: int = 1) -> Sound:
        now = self._n_blocks * BLOCK_SECONDS
        self._notes = [
            played.between(now - MEMORY, now).joined(new) for played, new in zip(self._notes, notes, strict=True)
        ]
        self._n_blocks += n_blocks
        excerpts = [NoteExcerpt(of_row, row, -now) for row, of_row in enumerate(self._notes)]
        table = NoteTable.of(excerpts).to(self._profiles.device)
        levels = self._codec.instrument(table, self._profiles[:, None].expand(-1, n_blocks, -1))
        nothing = levels.new_zeros(*levels.shape[:2], N_SLICES, self._codec.dims)
        return Sound(nothing, levels, self._codec.to_expected(levels))

    def push(self, sound: Sound, *, sampled: bool = False) -> Tensor:
        assert sound.levels is not None
        levels = self._codec.to_levels(sound.latent, sound.levels)
        if sampled:
            levels = sound.levels.lerp(levels, self._shares)
        return self._recovery.push(from_bands(expand(levels).clamp(max=LOUDEST)).flatten(-3, -2))

    def finish(self) -> Tensor:
        return self._recovery.finish()


class _Moments:
    """Mean and covariance, added up."""

    def __init__(self) -> None:
        self._n = 0
        self._sum = torch.zeros(SLICE_SIZE, dtype=torch.float64)
        self._products = torch.zeros(SLICE_SIZE, SLICE_SIZE, dtype=torch.float64)

    def add(self, slices: Tensor) -> None:
        self._n += len(slices)
        self._sum += slices.sum(0, dtype=torch.float64)
        self._products += (slices.T @ slices).double()

    def principal(self, dims: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, leading axes in columns and deviations along them (Jolliffe, "Principal Component Analysis", 2002)."""
        mean = self._sum / self._n
        variances, axes = torch.linalg.eigh(self._products / self._n - mean[:, None] * mean)
        deviations = variances.flip(0)[:dims].clamp(min=LEAST).sqrt()
        return mean.float(), _facing_one_way(axes.flip(1)[:, :dims]).float(), deviations.float()


def _bands(waveform: Tensor) -> Tensor:
    """(..., n_frames * HOP + sum(FRAME_PADDING)) -> (..., n_frames, N_BANDS), in nepers."""
    frames = to_frames(waveform)
    return to_bands(frames.real.square() + frames.imag.square())


def _slices(levels: Tensor) -> Tensor:
    """(..., FRAMES_PER_BLOCK, N_BANDS) -> (..., N_SLICES, SLICE_SIZE)."""
    return levels.reshape(*levels.shape[:-2], N_SLICES, SLICE_SIZE)


def _weights() -> Tensor:
    """An octave of the piano counts as much as another, however few bands it has; below its lowest A, little counts.

    Shape:
        (SLICE_SIZE,)
    """
    shares = PER_OCTAVE * widths().clamp(max=_WIDEST)
    shares[torch.tensor(CENTRES) < _LOWEST] = 1.0
    return shares.sqrt().repeat(FRAMES_PER_SLICE)


def _shares() -> Tensor:
    """How much of a sampled residual is heard, straight over log frequency between QUIET_BELOW and WHOLE_ABOVE.

    Shape:
        (N_BANDS,)
    """
    centres = torch.tensor(CENTRES).clamp(QUIET_BELOW, WHOLE_ABOVE)
    return QUIET + (1 - QUIET) * (centres / QUIET_BELOW).log() / math.log(WHOLE_ABOVE / QUIET_BELOW)


def _facing_one_way(axes: Tensor) -> Tensor:
    """Eigenvectors have no sign of their own: the largest number of each is made positive, on every machine."""
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return axes * largest.sign()
