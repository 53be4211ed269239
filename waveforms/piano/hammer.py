"""Softer touches of a key, in level and spectrum, from one fortissimo recording.

A felt hammer is stiffer the faster it flies: it leaves the string sooner, and the upper partials gain more than the
lower (Hall and Askenfelt, "Piano string excitation V", JASA 83, 1988). A softer touch is therefore the loud one through
a filter that falls by some dB an octave above the fundamental. There are three touches a key, and a note is a
cross-fade of the two nearest.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform

TILTS = (-5.0, -2.2, 0.0)  # dB an octave, one touch each, soft to loud
TOUCH_VELOCITIES = (24.0, 70.0, 116.0)  # the MIDI velocity at which each touch sounds alone
DEEPEST = -40.0  # dB; no partial falls further
LOWEST_CORNER = 160.0  # Hz; the filter keeps a bass note's upper partials, which carry its sound
LEVEL_EXPONENT = 1.5  # amplitude is proportional to this power of velocity, before the tilt
N_TAPS = 512  # the filter's length, 12 ms
LOUDEST = 127


def touches(loud: Waveform, pitch: int) -> Waveform:
    """Make a key's touches, soft to loud, from its loud recording.

    Shape:
        (n_samples,) -> (n_touches, n_samples)
    """
    layers = [signal.oaconvolve(loud, tilt_filter(pitch, tilt))[: len(loud)] for tilt in TILTS[:-1]]
    return np.stack([*layers, loud]).astype(np.float32)


def tilt_filter(pitch: int, tilt: float) -> Waveform:
    """Design a minimum-phase filter: 0 dB up to the key's fundamental, then `tilt` dB an octave.

    Any other phase would sound before the hammer strikes. Folding the cepstrum of the log magnitude gives the filter
    (Oppenheim and Schafer, "Discrete-Time Signal Processing", 13.5; `scipy.signal.minimum_phase` would need a
    linear-phase filter to start from).

    Shape:
        -> (N_TAPS,)
    """
    n_fft = 16 * N_TAPS
    frequency = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)
    corner = max(440 * 2 ** ((pitch - 69) / 12), LOWEST_CORNER)
    octaves = np.log2(np.maximum(frequency, corner) / corner)
    log_size = np.log(10) / 20 * np.maximum(tilt * octaves, DEEPEST)
    cepstrum = np.fft.irfft(log_size, n_fft)
    cepstrum[1 : n_fft // 2] *= 2
    cepstrum[n_fft // 2 + 1 :] = 0
    taps = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), n_fft)[:N_TAPS]
    filter_taps: Waveform = taps.astype(np.float32)
    return filter_taps


def touch_gains(velocity: float) -> NDArray[np.float32]:
    """Compute the touches' gains for a MIDI velocity; at most two are not 0.

    Shape:
        -> (n_touches,)
    """
    level = (velocity / LOUDEST) ** LEVEL_EXPONENT
    position = np.interp(velocity, TOUCH_VELOCITIES, np.arange(len(TILTS)))
    weights = np.maximum(1 - np.abs(np.arange(len(TILTS)) - position), 0)
    gains: NDArray[np.float32] = (level * weights).astype(np.float32)
    return gains
