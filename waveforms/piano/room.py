"""Impulse responses of a room and of the sympathetic strings, synthesised once and always the same.

The Iowa notes were recorded close, in a small room. A piece is placed in a larger room, and with the pedal down every
string resonates. Both effects are linear, so both are a convolution.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH

SEED = 1853  # seeds the noise; the year of Steinway's founding, any number will do
N_ROOM = round(1.3 * SAMPLE_RATE)  # samples
# Octave bands (centre in Hz, seconds to fall by 60 dB): air and cloth absorb high ones first.
ROOM_BANDS = ((125, 1.1), (250, 1.1), (500, 1.1), (1000, 1.0), (2000, 0.85), (4000, 0.6), (8000, 0.4))
ROOM_LEVEL = -15.0  # dB, energy of the late room against the direct sound
PRE_DELAY = 0.018  # seconds before the late room begins
# Walls, floor and lid: seconds after the direct sound, and size against it.
EARLY = ((0.0071, 0.16), (0.0113, -0.12), (0.0167, 0.11), (0.0231, -0.09), (0.0317, 0.08), (0.0419, -0.06))

N_STRINGS = round(2.5 * SAMPLE_RATE)  # samples
STRINGS_LEVEL = -24.0  # dB, energy of the resonating strings against the direct sound
N_PARTIALS = 4  # partials of each string; a note sets the others' lower partials in motion
# Seconds in which A0 and C8 fall by 60 dB; between them the logarithm is linear.
STRINGS_RING = (9.0, 0.8)


@cache
def room_response() -> Waveform:
    """Make a room: direct sound at sample 0, early reflections, and late reverberation whose high bands decay faster.

    Shape:
        -> (N_ROOM,)
    """
    rng = np.random.default_rng(SEED)
    time = np.arange(N_ROOM) / SAMPLE_RATE
    late = np.zeros(N_ROOM)
    for centre, decay in ROOM_BANDS:
        edges = (centre / np.sqrt(2), centre * np.sqrt(2))
        sos = signal.butter(2, edges, "bandpass", fs=SAMPLE_RATE, output="sos")
        band = signal.sosfilt(sos, rng.standard_normal(N_ROOM))
        late += band * np.exp(-np.log(1000) * time / decay)
    late[time < PRE_DELAY] = 0
    response = late * np.sqrt(10 ** (ROOM_LEVEL / 10) / np.sum(late**2))
    for delay, size in EARLY:
        response[round(delay * SAMPLE_RATE)] += size
    response[0] = 1
    return _faded(response)


@cache
def strings_response() -> Waveform:
    """Make the response of all damped strings to an impulse: decaying partials with random phases.

    Shape:
        -> (N_STRINGS,)
    """
    rng = np.random.default_rng(SEED)
    time = np.arange(N_STRINGS) / SAMPLE_RATE
    response = np.zeros(N_STRINGS)
    for pitch in range(LOWEST_PITCH, HIGHEST_PITCH + 1):
        height = (pitch - LOWEST_PITCH) / (HIGHEST_PITCH - LOWEST_PITCH)
        ring = STRINGS_RING[0] ** (1 - height) * STRINGS_RING[1] ** height
        for partial in range(1, N_PARTIALS + 1):
            frequency = partial * 440 * 2 ** ((pitch - 69) / 12)
            phase = rng.uniform(0, 2 * np.pi)
            n_ring = min(N_STRINGS, round(ring * SAMPLE_RATE))
            decay = np.exp(-np.log(1000) * partial**0.5 * time[:n_ring] / ring)
            response[:n_ring] += decay * np.sin(2 * np.pi * frequency * time[:n_ring] + phase) / partial
    return _faded(response * np.sqrt(10 ** (STRINGS_LEVEL / 10) / np.sum(response**2)))


def _faded(response: NDArray[np.float64]) -> Waveform:
    """Fade the last fifth to 0, so that the response does not end in a step."""
    n_fade = len(response) // 5
    response[-n_fade:] *= np.cos(np.linspace(0, np.pi / 2, n_fade)) ** 2
    faded: Waveform = response.astype(np.float32)
    return faded
