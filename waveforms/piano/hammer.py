"""How hard the hammer strikes: level and spectrum of a touch, from one fortissimo recording.

A felt hammer is stiffer the faster it flies: it leaves the string sooner, and the upper partials gain more
than the lower (Hall and Askenfelt, "Piano string excitation V", JASA 83, 1988). A softer touch is therefore
the loud one through a filter that falls by so many dB an octave above the fundamental. Three touches are
made a key, and a note is a cross-fade of the two nearest.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from waveforms import SAMPLE_RATE

Waveform = NDArray[np.float32]

TILTS = (-5.0, -2.2, 0.0)  # dB an octave, one touch each, soft to loud
TOUCH_VELOCITIES = (24.0, 70.0, 116.0)  # the MIDI velocity at which each touch is heard pure
DEEPEST = -40.0  # dB; no partial falls further
LOWEST_CORNER = 160.0  # Hz; a bass note's body lies in its upper partials, which must stay
LEVEL_EXPONENT = 1.5  # amplitude goes with velocity to this power; the tilt takes some more off
N_TAPS = 512  # of the filter, 12 ms
LOUDEST = 127


def touches(loud: Waveform, pitch: int) -> Waveform:
    """One key's loud recording -> its touches, soft to loud.

    Shape:
        (n_samples,) -> (n_touches, n_samples)
    """
    layers = [signal.oaconvolve(loud, tilt_filter(pitch, tilt))[: len(loud)] for tilt in TILTS[:-1]]
    return np.stack([*layers, loud]).astype(np.float32)


def tilt_filter(pitch: int, tilt: float) -> Waveform:
    """Minimum-phase filter: 0 dB up to the key's fundamental, then `tilt` dB an octave.

    Minimum phase, because any other would sound before the hammer strikes. It is made from the logarithm of
    its size by folding the cepstrum (Oppenheim and Schafer, "Discrete-Time Signal Processing", 13.5).

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
    """Gains of the touches for a MIDI velocity; at most two are not 0.

    Shape:
        -> (n_touches,)
    """
    level = (velocity / LOUDEST) ** LEVEL_EXPONENT
    position = np.interp(velocity, TOUCH_VELOCITIES, np.arange(len(TILTS)))
    weights = np.maximum(1 - np.abs(np.arange(len(TILTS)) - position), 0)
    gains: NDArray[np.float32] = (level * weights).astype(np.float32)
    return gains
