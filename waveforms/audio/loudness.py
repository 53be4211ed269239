"""Loudness of a mono waveform, after ITU-R BS.1770-4, piece by piece in constant memory.

    waveform -> K-weighting (two filters, state carried) -> energy of every 100 ms
             -> gating blocks of 400 ms, a new one every 100 ms -> absolute gate, relative gate -> mean

Only one number is kept for every 100 ms: 36 000 for an hour.
"""

import numpy as np
import numpy.typing as npt
from pyloudnorm import IIRfilter
from scipy.signal import sosfilt

from waveforms import SAMPLE_RATE

FULL_SCALE = 1.0 - 2.0**-15  # the largest 16-bit number

_N_STEP = SAMPLE_RATE // 10  # samples, 100 ms
_N_STEPS_PER_BLOCK = 4  # 400 ms in steps of 100 ms: an overlap of 75 %
_ABSOLUTE_GATE = -70.0  # LUFS
_RELATIVE_GATE = -10.0  # LU below the loudness of what passes the absolute gate
_OFFSET = -0.691  # cancels the K-weighting's gain at 997 Hz


class LoudnessMeter:
    """Measures integrated loudness and sample peak of a waveform that comes in pieces.

    Attributes:
        n_samples: how many samples were added.
        peak: the largest absolute value among them.
    """

    def __init__(self) -> None:
        self.n_samples = 0
        self.peak = 0.0
        self._sections = _k_weighting()
        self._state = np.zeros((len(self._sections), 2))  # the filters' state, carried from piece to piece
        self._energies: list[float] = []  # the sum of squares of each whole step
        self._rest = np.zeros(0)  # weighted samples of a step that is not whole yet

    def add(self, waveform: npt.NDArray[np.floating]) -> None:
        """Take the next piece, (n_samples,) of any length."""
        if len(waveform) == 0:
            return
        self.n_samples += len(waveform)
        self.peak = max(self.peak, float(np.max(np.abs(waveform))))
        weighted, self._state = sosfilt(self._sections, waveform.astype(np.float64), zi=self._state)
        weighted = np.concatenate((self._rest, weighted))
        n_whole = len(weighted) // _N_STEP * _N_STEP
        steps = weighted[:n_whole].reshape(-1, _N_STEP)  # (n_steps, n_step)
        self._energies.extend(np.einsum("ij,ij->i", steps, steps).tolist())
        self._rest = weighted[n_whole:]

    def integrated(self) -> float:
        """Compute the integrated loudness in LUFS; -inf if nothing passes the absolute gate.

        As the standard requires, a gating block that is not whole is left out. A waveform shorter than one gating
        block, which the standard does not mention, is measured as one.
        """
        energies = np.array(self._energies)
        if len(energies) < _N_STEPS_PER_BLOCK:
            whole = np.array([(energies.sum() + np.sum(self._rest**2)) / max(1, self.n_samples)])
            return _gated(whole)
        windows = np.lib.stride_tricks.sliding_window_view(energies, _N_STEPS_PER_BLOCK)
        return _gated(windows.sum(axis=1) / (_N_STEPS_PER_BLOCK * _N_STEP))


def _gated(powers: npt.NDArray[np.float64]) -> float:
    """Average the mean squares of the gating blocks that pass both gates, (n_blocks,) -> LUFS.

    Equations 5 to 7 of ITU-R BS.1770-4.
    """
    loud = powers[powers >= _power(_ABSOLUTE_GATE)]
    if len(loud) == 0:
        return -np.inf
    gate = _loudness(loud.mean()) + _RELATIVE_GATE
    return _loudness(loud[loud > _power(gate)].mean())


def _loudness(power: float) -> float:
    return float(_OFFSET + 10.0 * np.log10(power))


def _power(loudness: float) -> float:
    return float(10.0 ** ((loudness - _OFFSET) / 10.0))


def _k_weighting() -> npt.NDArray[np.float64]:
    """Design the shelf of the head and the high-pass, as second-order sections (2, 6).

    The standard gives coefficients for 48 kHz alone; these are De Man's parametrisation of them for any rate, which
    meets the published numbers (pyloudnorm's own default is an approximation).
    """
    filters = [
        IIRfilter(3.99984385397, 0.7071752369554193, 1681.9744509555319, SAMPLE_RATE, "high_shelf_DeMan"),
        IIRfilter(0.0, 0.5003270373253953, 38.13547087613982, SAMPLE_RATE, "high_pass_DeMan"),
    ]
    return np.array([[*each.b, *each.a] for each in filters])
