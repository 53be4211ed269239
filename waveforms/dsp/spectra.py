"""Blocks <-> FFT vectors: the spectrum of a whole block, and the short-time tile of a block.

*Spectrum.* The rfft of a block of N samples, real parts then imaginary parts: 2 * (N // 2 + 1) real numbers,
11 026 for a block of 11025. A real waveform has a Hermitian spectrum, so the other half of the complex FFT holds
nothing new, and whatever vector goes into the inverse, the waveform that comes out is real.

*Tile.* A block as FRAMES_PER_BLOCK = 25 short-time FFT frames of log magnitude. HOP divides BLOCK_SIZE, so frames
tile blocks exactly; each frame reaches past the block's edges, which is why resynthesis has no seams there.
"""

import scipy.fft
import torch
from torch import Tensor

from waveforms import BLOCK_SIZE

N_FFT = 2048  # 46 ms, 21.5 Hz a bin
HOP = 441  # 10 ms
OVERLAPPING = -(-N_FFT // HOP)  # 5 frames lie over a sample at most
FRAMES_PER_BLOCK = BLOCK_SIZE // HOP  # 25
N_BINS = N_FFT // 2 + 1  # 1025
FULL_SCALE = 4 / N_FFT  # a sine of amplitude 1 comes out as 1 under a Hann window
# -120 dB re full scale. Networks that hear music tell a floor of 1e-5 from the original, and one of 1e-6 hardly:
# Frechet distances in aisfx 46.5 and 23.7, real music 23.9.
MAGNITUDE_FLOOR = 1e-6

# A frame is centred on the middle of its hop, so a tile leans on as much past as future: 803 and 804 samples.
TILE_MARGINS = ((N_FFT - HOP) // 2, N_FFT - HOP - (N_FFT - HOP) // 2)


def to_spectra(blocks: Tensor) -> Tensor:
    """The rfft of each block as real numbers, unit energy kept (`norm="ortho"`). The inverse is `from_spectra`.

    Shape:
        (..., n_samples) -> (..., 2 * (n_samples // 2 + 1)), real parts first
    """
    if _suits_scipy(blocks):
        spectrum = torch.from_numpy(scipy.fft.rfft(blocks.numpy(), norm="ortho", workers=torch.get_num_threads()))
    else:
        spectrum = torch.fft.rfft(blocks, norm="ortho")
    return torch.cat([spectrum.real, spectrum.imag], dim=-1)


def from_spectra(spectra: Tensor, n_samples: int) -> Tensor:
    """The blocks whose spectra these are.

    The parity of `n_samples` is lost in the rfft (11025 is odd: `irfft` alone would give 11024), so it is asked for.

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
    """Of 11025 samples, its FFT takes a third of the time of torch's."""
    return x.device.type == "cpu" and not x.requires_grad


def to_frames(extended: Tensor) -> Tensor:
    """Short-time FFT frames of a waveform that brings TILE_MARGINS around it, Hann window, full scale at 1.

    Shape:
        (..., n_frames * HOP + N_FFT - HOP) -> (..., n_frames, N_BINS), complex
    """
    frames: Tensor = torch.fft.rfft(extended.unfold(-1, N_FFT, HOP) * (_hann(extended) * FULL_SCALE))
    return frames


def from_frames(frames: Tensor) -> Tensor:
    """Overlap-add the frames, windowed once more; divided by `window_weight`, it is the waveform.

    The two together are the least-squares inverse of `to_frames` (Griffin & Lim 1984). They come apart so that
    neighbouring stretches can be added before they are divided.

    Shape:
        (..., n_frames, N_BINS) -> (..., n_frames * HOP + N_FFT - HOP)
    """
    return _overlap_add(torch.fft.irfft(frames, n=N_FFT) * (_hann(frames.real) / FULL_SCALE))


def window_weight(n_frames: int, like: Tensor) -> Tensor:
    """The sum of the squared windows of so many frames, of a tensor's type and device.

    Shape:
        -> (n_frames * HOP + N_FFT - HOP,)
    """
    return _overlap_add(_hann(like).square().expand(n_frames, N_FFT))


def to_tiles(extended: Tensor) -> Tensor:
    """Log magnitudes in nepers, frames grouped by block. `waveforms.dsp.phase` has the inverse.

    Shape:
        (..., n_blocks * BLOCK_SIZE + sum(TILE_MARGINS)) -> (..., n_blocks, FRAMES_PER_BLOCK, N_BINS)
    """
    magnitude = to_frames(extended).abs().clamp(min=MAGNITUDE_FLOOR)  # (..., n_frames, N_BINS)
    n_blocks = magnitude.shape[-2] // FRAMES_PER_BLOCK
    return magnitude.log().reshape(*magnitude.shape[:-2], n_blocks, FRAMES_PER_BLOCK, N_BINS)


def _hann(like: Tensor) -> Tensor:
    return torch.hann_window(N_FFT, dtype=like.dtype, device=like.device)


def _overlap_add(frames: Tensor) -> Tensor:
    """A hop of every frame at a time.

    Shape:
        (..., n_frames, N_FFT) -> (..., n_frames * HOP + N_FFT - HOP)
    """
    n_frames = frames.shape[-2]
    total = frames.new_zeros(*frames.shape[:-2], n_frames + OVERLAPPING - 1, HOP)
    for n in range(OVERLAPPING):
        hop = frames[..., n * HOP : (n + 1) * HOP]
        total[..., n : n + n_frames, : hop.shape[-1]] += hop
    return total.flatten(-2)[..., : n_frames * HOP + N_FFT - HOP]
