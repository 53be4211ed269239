"""Performance -> waveform: strike and damp the strings, let them ring, and put the piano in a room."""

import numpy as np
from scipy import signal

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.notes.events import Notes
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH, LOWEST_UNDAMPED_PITCH, PedalSpan, Performance
from waveforms.piano.hammer import touch_gains
from waveforms.piano.room import N_STRINGS, room_response, strings_response
from waveforms.piano.steinway import N_LONGEST, Steinway

N_SECTION = 120 * SAMPLE_RATE  # samples rendered at a time, so that an hour needs little memory beyond its samples
# Seconds in which a damper takes 60 dB off A0 and the highest damped string; between them the logarithm is linear.
DAMPING = (0.8, 0.25)
RESTRIKE = 0.06  # seconds in which a hammer takes 60 dB off its string's previous note
AFTER_DAMPER = 1.5  # damping times for which a released note is computed, 90 dB
PEDAL_RAMP = 0.08  # seconds in which the dampers rise or fall, and the strings' resonance with them
ENDING = 1.6  # seconds after the last release: dampers and room
N_FADE = SAMPLE_RATE // 2  # samples at the end
LEVEL = -22.0  # dBFS, the RMS of every piece's louder part
PEAK = 0.84  # -1.5 dBFS; a piece that would peak higher stays softer
N_GATE = 2 * SAMPLE_RATE // 5  # samples, windows of 0.4 s in which level is judged
GATE = -15.0  # dB against the loudest window; softer windows, rests above all, do not count


def render(performance: Performance, steinway: Steinway) -> Waveform:
    """Play a performance on the sampled piano.

    A note that begins at t seconds sounds from sample round(t * SAMPLE_RATE).

    Returns:
        (n_samples,) mono at SAMPLE_RATE, peak at most PEAK; ENDING seconds longer than the performance.
    """
    notes = Notes.of_performance(performance)
    endings = _endings(notes)
    n_samples = round((performance.seconds + ENDING) * SAMPLE_RATE)
    waveform = np.zeros(n_samples, np.float32)
    for start in range(0, n_samples, N_SECTION):
        first, beyond = np.searchsorted(notes.onsets, [start / SAMPLE_RATE, (start + N_SECTION) / SAMPLE_RATE])
        if first < beyond:
            dry = np.zeros(min(N_SECTION + N_LONGEST, n_samples - start), np.float32)
            for index in range(first, beyond):
                _strike(dry, start, notes, index, endings[index], steinway)
            wet = _resonate(dry, start, performance.pedal)[: n_samples - start]
            waveform[start : start + len(wet)] += wet
    return _master(waveform)


def _strike(
    dry: Waveform, start: int, notes: Notes, index: int, ending: tuple[float, float], steinway: Steinway
) -> None:
    """Add one note to a section that begins at sample `start`."""
    key = steinway.note(int(notes.pitches[index]))
    first = round(float(notes.onsets[index]) * SAMPLE_RATE)
    until, damping = ending
    n_free = min(round(until * SAMPLE_RATE) - first, key.shape[1])
    at = first - start
    n_all = min(n_free + round(AFTER_DAMPER * damping * SAMPLE_RATE), key.shape[1], len(dry) - at)
    n_free = min(n_free, n_all)
    gains = touch_gains(float(notes.velocities[index]))
    sound = np.zeros(n_all, np.float32)
    for gain, touch in zip(gains, key, strict=True):
        if gain > 0:
            sound += gain * touch[:n_all]
    decay = np.arange(n_all - n_free, dtype=np.float32) * np.float32(-np.log(1000) / (damping * SAMPLE_RATE))
    sound[n_free:] *= np.exp(decay)
    dry[at : at + n_all] += sound


def _endings(notes: Notes) -> list[tuple[float, float]]:
    """Compute when each note begins to be damped, and the seconds in which it then falls by 60 dB.

    A string without a damper sounds until it has died away or is struck again.
    """
    struck_again: dict[int, float] = {}
    endings = []
    for onset, offset, pitch in zip(notes.onsets[::-1], notes.offsets[::-1], notes.pitches[::-1], strict=True):
        undamped = pitch >= LOWEST_UNDAMPED_PITCH
        until, damping = onset + N_LONGEST / SAMPLE_RATE if undamped else offset, damping_time(int(pitch))
        again = struck_again.get(int(pitch), np.inf)
        if again <= until:
            until, damping = again, RESTRIKE
        struck_again[int(pitch)] = onset
        endings.append((float(until), damping))
    return endings[::-1]


def damping_time(pitch: int) -> float:
    """Return the seconds in which the damper takes 60 dB off a string; heavy bass strings take longest."""
    height = (pitch - LOWEST_PITCH) / (HIGHEST_PITCH - LOWEST_PITCH)
    return float(DAMPING[0] ** (1 - height) * DAMPING[1] ** height)


def _resonate(dry: Waveform, start: int, pedal: tuple[PedalSpan, ...]) -> Waveform:
    """Add the room to a section, and the resonance of all strings while the pedal frees them.

    Shape:
        (n,) -> (n + longest response - 1,)
    """
    sound = dry
    lifted = _pedal_envelope(len(dry) + N_STRINGS - 1, start, pedal)
    if lifted.any():
        answer = signal.oaconvolve(dry * lifted[: len(dry)], strings_response()) * lifted
        answer[: len(dry)] += dry
        sound = answer
    wet: Waveform = signal.oaconvolve(sound, room_response())
    return wet


def _pedal_envelope(n_samples: int, start: int, pedal: tuple[PedalSpan, ...]) -> Waveform:
    """Compute how far the dampers are lifted, 0 to 1, over a section from sample `start`: (n_samples,)."""
    times: list[float] = []
    values: list[float] = []
    for span in pedal:
        middle = (span.start + span.end) / 2
        rise = min(span.start + PEDAL_RAMP, middle)
        fall = max(span.end - PEDAL_RAMP, middle)
        times += [span.start, rise, fall, span.end]
        values += [0.0, 1.0, 1.0, 0.0]
    if not times:
        return np.zeros(n_samples, np.float32)
    at = (np.arange(n_samples) + start) / SAMPLE_RATE
    return np.interp(at, times, values, left=0.0, right=0.0).astype(np.float32)


def _master(waveform: Waveform) -> Waveform:
    """Bring all pieces to one level, without a clipped peak and with a soft end; in place.

    One gain and no limiter, which would distort the hammer's attack.
    """
    n_fade = min(N_FADE, len(waveform) // 4)
    waveform[-n_fade:] *= np.cos(np.linspace(0, np.pi / 2, n_fade, dtype=np.float32)) ** 2
    n_windows = max(1, len(waveform) // N_GATE)
    windows = waveform[: n_windows * N_GATE].reshape(n_windows, -1)
    power = np.einsum("ij,ij->i", windows, windows) / windows.shape[1]  # no copy of an hour
    if power.max() == 0:
        return waveform
    level = np.sqrt(np.mean(power[power >= power.max() * 10 ** (GATE / 10)]))
    gain = min(10 ** (LEVEL / 20) / level, PEAK / max(waveform.max(), -waveform.min()))
    waveform *= np.float32(gain)
    return waveform
