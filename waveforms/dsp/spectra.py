"""Blocks <-> FFT vectors; waveform <-> short-time FFT frames.

*Spectrum.* The rfft of a block of N samples, real parts then imaginary parts: 2 * (N // 2 + 1) real numbers, 11 026
for a block of 11025. A real waveform has a Hermitian spectrum, so the other half of the complex FFT holds nothing
new, and the inverse of any such vector is a real waveform.

*Frames.* HOP divides a block, so frames divide blocks exactly. Each frame reaches past its block's edges, which is why
resynthesis has no seams there.
"""

import scipy.fft
import torch
from torch import Tensor

from waveforms.dsp.blocks import HOP

N_FFT = 2048  # 46 ms, 21.5 Hz a bin
OVERLAPPING = -(-N_FFT // HOP)  # 5 frames lie over a sample at most
N_BINS = N_FFT // 2 + 1  # 1025
FULL_SCALE = 4 / N_FFT  # scales a sine of amplitude 1 to 1 under a Hann window
# -120 dB re full scale. Networks that embed music tell a floor of 1e-5 from the original, and hardly one of 1e-6:
# Frechet distances in aisfx 46.5 and 23.7, real music 23.9.
MAGNITUDE_FLOOR = 1e-6

# Context before and after: a frame is centred on the middle of its hop, so it needs 803 and 804 samples around it.
FRAME_PADDING = ((N_FFT - HOP) // 2, N_FFT - HOP - (N_FFT - HOP) // 2)


def to_spectra(blocks: Tensor) -> Tensor:
    """Compute the rfft of each block as real numbers, unit energy kept (`norm="ortho"`). The inverse is `from_spectra`.

    Shape:
        (..., n_samples) -> (..., 2 * (n_samples // 2 + 1)), real parts first

    >>> to_spectra(torch.ones(4))  # the real parts of bins 0, 1 and 2, then their imaginary parts
    tensor([2., 0., 0., 0., 0., 0.])
    """
    if _suits_scipy(blocks):
        spectrum = torch.from_numpy(scipy.fft.rfft(blocks.numpy(), norm="ortho", workers=torch.get_num_threads()))
    else:
        spectrum = torch.fft.rfft(blocks, norm="ortho")
    return torch.cat([spectrum.real, spectrum.imag], dim=-1)


def from_spectra(spectra: Tensor, n_samples: int) -> Tensor:
    """Restore the blocks from their spectra. The inverse of `to_spectra`.

    The rfft loses the parity of `n_samples` (11025 is odd: `irfft` alone would return 11024), so it is an argument.

    Shape:
        (..., 2 * (n_samples // 2 + 1)) -> (..., n_samples)
    """
    spectrum = torch.complex(*spectra.chunk(2, dim=-1))
    if _suits_scipy(spectrum):
        workers = torch.get_num_threads()
        return torch.from_numpy(scipy.fft.irfft(spectrum.numpy(), n=n_samples, norm="ortho", workers=workers))
    blocks: Tensor = torch.fft.irfft(spectrum, n=n_samples, norm="ortho")
    return blocks


def _suits_scipy(x: Tensor) -> bool:
    """Report whether scipy can take the FFT; for 11025 samples it needs a third of torch's time."""
    return x.device.type == "cpu" and not x.requires_grad


def to_frames(padded: Tensor) -> Tensor:
    """Compute the short-time FFT frames of a waveform with FRAME_PADDING around it; Hann window, full scale at 1.

    Shape:
        (..., n_frames * HOP + N_FFT - HOP) -> (..., n_frames, N_BINS), complex
    """
    frames: Tensor = torch.fft.rfft(padded.unfold(-1, N_FFT, HOP) * (_hann(padded) * FULL_SCALE))
    return frames


def from_frames(frames: Tensor) -> Tensor:
    """Window the frames once more and overlap-add them; divided by `window_weight`, the sum is the waveform.

    The two together are the least-squares inverse of `to_frames` (Griffin & Lim 1984). They are apart so that the
    caller can add neighbouring excerpts before dividing.

    Shape:
        (..., n_frames, N_BINS) -> (..., n_frames * HOP + N_FFT - HOP)
    """
    return _overlap_add(torch.fft.irfft(frames, n=N_FFT) * (_hann(frames.real) / FULL_SCALE))


def window_weight(n_frames: int, like: Tensor) -> Tensor:
    """Sum the squared windows of `n_frames`, in the type and on the device of a tensor.

    Shape:
        -> (n_frames * HOP + N_FFT - HOP,)
    """
    return _overlap_add(_hann(like).square().expand(n_frames, N_FFT))


def _hann(like: Tensor) -> Tensor:
    return torch.hann_window(N_FFT, dtype=like.dtype, device=like.device)


def _overlap_add(frames: Tensor) -> Tensor:
    """Add one hop of every frame at a time.

    Shape:
        (..., n_frames, N_FFT) -> (..., n_frames * HOP + N_FFT - HOP)
    """
    n_frames = frames.shape[-2]
    total = frames.new_zeros(*frames.shape[:-2], n_frames + OVERLAPPING - 1, HOP)
    for n in range(OVERLAPPING):
        hop = frames[..., n * HOP : (n + 1) * HOP]
        total[..., n : n + n_frames, : hop.shape[-1]] += hop
    return total.flatten(-2)[..., : n_frames * HOP + N_FFT - HOP]
