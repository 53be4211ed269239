"""A clip seen from afar: the power in 48 bands sixty times a second, and how much like noise each moment is."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft
from librosa.filters import mel

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.dsp.blocks import BLOCK_SIZE

HOP = BLOCK_SIZE // 15  # 735 samples, 16.7 ms; it divides a block, so a loop of whole blocks meets itself exactly
N_FFT = 4096  # samples, 93 ms
N_BANDS = 48

_BINS = slice(5, 900)  # 54 Hz to 9.7 kHz: for flatness
_N_AT_ONCE = 600  # frames, 10 s: so that a clip of any length takes little memory
_HANN = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
_FLOOR = 1e-12  # power, re full scale: -120 dB


@dataclass(frozen=True)
class Bands:
    """A clip in bands.

    Attributes:
        power: in mel bands from 50 Hz to 10 kHz, full scale at 1, (n_frames, N_BANDS). Frame n is centred on sample
            n * HOP.
        flatness: geometric over arithmetic mean of the power in FFT bins, (n_frames,); white noise has 0.56.
    """

    power: npt.NDArray[np.float32]
    flatness: npt.NDArray[np.float32]


def in_bands(clip: Waveform) -> Bands:
    """Analyse a clip, (n_samples,), into n_samples // HOP + 1 frames."""
    padded = np.pad(clip.astype(np.float32), N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    powers, flatness = [], []
    for start in range(0, len(frames), _N_AT_ONCE):
        spectra = scipy.fft.rfft(frames[start : start + _N_AT_ONCE] * _HANN) * np.float32(4 / N_FFT)
        power = spectra.real**2 + spectra.imag**2  # (n, N_FFT // 2 + 1)
        powers.append(power @ _filters().T)
        middle = power[:, _BINS] + np.float32(_FLOOR)
        flatness.append(np.exp(np.log(middle).mean(axis=1)) / middle.mean(axis=1))
    return Bands(np.concatenate(powers), np.concatenate(flatness))


@cache
def _filters() -> npt.NDArray[np.float32]:
    filters: npt.NDArray[np.float32] = mel(
        sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_BANDS, fmin=50, fmax=10_000, htk=True, norm=None
    )
    return filters


def decibels(power: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Power in dB, not below -120."""
    level: npt.NDArray[np.floating] = 10 * np.log10(np.maximum(power, _FLOOR))
    return level
