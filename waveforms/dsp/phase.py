"""Log magnitudes -> waveform: recovers the phases of short-time FFT frames, a few frames at a time.

Fast Griffin-Lim (Perraudin, Balazs & Søndergaard 2013) looks for frames that have the wanted magnitudes and are the
short-time FFT of some waveform. Here it works on a moving window of frames. Decided frames stay as they are and
constrain the new ones; the last few new ones stay open until the frames after them have come. So a clip of any length
takes constant memory, and its phases continue across the edges of blocks.

The iteration starts from phases that advance from frame to frame at each bin's instantaneous frequency. In a Gaussian
window the slope of log magnitude over frequency gives the distance of that frequency from the bin's own (Průša, Balazs
& Søndergaard 2017, "A noniterative method for reconstruction of phase from STFT magnitude": phase-gradient integration,
here along time only).
"""

import torch
from torch import Tensor

from waveforms.dsp.blocks import HOP
from waveforms.dsp.spectra import (
    FRAME_PADDING,
    MAGNITUDE_FLOOR,
    N_BINS,
    N_FFT,
    OVERLAPPING,
    from_frames,
    to_frames,
    window_weight,
)

OVERLAP = OVERLAPPING - 1  # 4 earlier frames reach into a frame
LOOKAHEAD = 2 * OVERLAP  # open frames: with fewer the joins are audible, with more nothing is gained
ROWS_AT_ONCE = 2  # their frames stay in a core's cache from iteration to iteration
_ALMOST_NONE = 1e-30  # the least power; its root divides
HANN_GAMMA = 0.25645 * N_FFT**2  # the gamma of the Gaussian window nearest to Hann, in samples squared (ibid.)


class PhaseRecovery:
    """Turns log magnitudes into a waveform, some frames at a time.

    Args:
        n_iterations: Griffin-Lim iterations at each push.
        momentum: the momentum of fast Griffin-Lim; 0 is the plain algorithm.
        seed: seeds the first frame's phases, which are random.
    """

    def __init__(self, n_iterations: int = 8, *, momentum: float = 0.99, seed: int = 0) -> None:
        self.n_iterations = n_iterations
        self.momentum = momentum
        self._seed = seed
        self._decided: Tensor | None = None  # (..., OVERLAP, N_BINS): the last decided frames
        self._open: Tensor | None = None  # (..., n, N_BINS): estimates that may still change
        self._sum: Tensor | None = None  # (..., N_FFT - HOP): overlap-add of decided frames,
        self._weight: Tensor | None = None  # and that of their squared windows, beyond the samples returned so far
        self._n_to_skip = FRAME_PADDING[0]

    def push(self, log_magnitudes: Tensor) -> Tensor:
        """Take the next frames and return the samples that are decided.

        Shape:
            (..., n_frames, N_BINS), in nepers -> (..., n_samples)
        """
        new = self._extrapolate(log_magnitudes.exp())
        self._open = new if self._open is None else torch.cat([self._open, new], dim=-2)
        self._open = self._iterate(self._open)
        return self._decide(max(self._open.shape[-2] - LOOKAHEAD, 0))

    def finish(self) -> Tensor:
        """Decide the frames that are still open and return the last samples, up to the last hop's end."""
        if self._open is None:
            return torch.zeros(0)
        rest = self._decide(self._open.shape[-2])
        assert self._sum is not None
        assert self._weight is not None
        end = self._sum.shape[-1] - FRAME_PADDING[1]
        return torch.cat([rest, self._sum[..., :end] / self._weight[..., :end]], dim=-1)

    def _extrapolate(self, magnitude: Tensor) -> Tensor:
        """Give magnitudes phases that continue the last open frame's; the very first frame's are random."""
        if self._open is None:
            last, magnitude = self._random_phase(magnitude[..., :1, :]), magnitude[..., 1:, :]
            return torch.cat([last, _continue(last, magnitude)], dim=-2)
        return _continue(self._open[..., -1:, :], magnitude)

    def _random_phase(self, magnitude: Tensor) -> Tensor:
        generator = torch.Generator(magnitude.device).manual_seed(self._seed)
        angle = torch.rand(magnitude.shape, generator=generator, dtype=magnitude.dtype, device=magnitude.device)
        return torch.polar(magnitude, 2 * torch.pi * angle)

    def _iterate(self, frames: Tensor) -> Tensor:
        """Make frames agree better with one another and with the decided ones, keeping their magnitudes."""
        magnitude = frames.abs()
        weight = window_weight(frames.shape[-2], frames.real)
        before = weight.new_zeros(*frames.shape[:-2], N_FFT - HOP)  # what decided frames add to the open ones
        if self._decided is not None:
            n_decided = self._decided.shape[-2]
            before = from_frames(self._decided)[..., n_decided * HOP :]
            weight[: N_FFT - HOP] += window_weight(n_decided, frames.real)[n_decided * HOP :]
        # The outermost samples lie at the edge of a single window; they carry no information.
        weight = weight.clamp(min=1e-4)
        flat = [part.reshape(-1, *part.shape[frames.ndim - 2 :]) for part in (frames, magnitude, before)]
        for first in range(0, len(flat[0]), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            flat[0][rows] = self._griffin_lim(flat[0][rows], flat[1][rows], flat[2][rows], weight)
        return flat[0].view(frames.shape)

    def _griffin_lim(self, frames: Tensor, magnitude: Tensor, before: Tensor, weight: Tensor) -> Tensor:
        """Run fast Griffin-Lim on some rows, (n_rows, n_frames, N_BINS)."""
        previous = torch.zeros_like(frames)
        for _ in range(self.n_iterations):
            total = from_frames(frames)
            total[..., : N_FFT - HOP] += before
            consistent = to_frames(total / weight)
            # as real numbers, and by a power: complex arithmetic would take twice the time of the FFTs
            ahead = torch.view_as_real(previous).lerp(torch.view_as_real(consistent), 1 + self.momentum)
            previous, frames = consistent, torch.view_as_complex(ahead)
            power = (frames * frames.conj()).real.clamp(min=_ALMOST_NONE)
            frames = frames * (magnitude * power.rsqrt())
        return frames

    def _decide(self, n_frames: int) -> Tensor:
        """Fix the first `n_frames` open frames and return the samples that no later frame reaches."""
        assert self._open is not None
        decided, self._open = self._open[..., :n_frames, :], self._open[..., n_frames:, :]
        if n_frames == 0:
            return decided.real.new_zeros(*decided.shape[:-2], 0)
        history = decided if self._decided is None else torch.cat([self._decided, decided], dim=-2)
        self._decided = history[..., -OVERLAP:, :]
        total, weight = from_frames(decided), window_weight(n_frames, decided.real)
        if self._sum is not None and self._weight is not None:
            n_shared = N_FFT - HOP
            total[..., :n_shared] += self._sum
            weight[..., :n_shared] += self._weight
        n_done = n_frames * HOP
        self._sum, self._weight = total[..., n_done:], weight[..., n_done:]
        start = min(self._n_to_skip, n_done)
        self._n_to_skip -= start
        return total[..., start:n_done] / weight[..., start:n_done]


def _continue(last: Tensor, magnitude: Tensor) -> Tensor:
    """Give magnitudes phases that continue those of the frame `last`.

    Shape:
        (..., 1, N_BINS), (..., n, N_BINS) -> (..., n, N_BINS), complex
    """
    offset = _frequency_offset(torch.cat([last.abs(), magnitude], dim=-2))
    drift = HOP * (offset[..., 1:, :] + offset[..., :-1, :]) / 2
    steps = torch.arange(1, magnitude.shape[-2] + 1, device=magnitude.device)[:, None]
    bins = torch.arange(N_BINS, device=magnitude.device)
    # Integers count the bins' own cycles in N_FFT-ths: in float32 they would blur after some seconds.
    own = 2 * torch.pi / N_FFT * (steps * HOP * bins % N_FFT).to(magnitude.dtype)
    return torch.polar(magnitude, last.angle() + own + drift.cumsum(-2))


def _frequency_offset(magnitude: Tensor) -> Tensor:
    """Estimate each bin's instantaneous frequency less the bin's own, in radians a sample."""
    log_magnitude = magnitude.clamp(min=MAGNITUDE_FLOOR).log()
    slope = torch.zeros_like(log_magnitude)  # a real waveform's spectrum is even around the first bin and the last
    slope[..., 1:-1] = (log_magnitude[..., 2:] - log_magnitude[..., :-2]) / 2
    return N_FFT / HANN_GAMMA * slope
