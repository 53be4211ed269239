"""How loud a clip is: loudness, true peak and clipped samples, piece by piece in constant memory.

piece -> LoudnessMeter (ITU-R BS.1770-4)           -> LUFS
      -> 4x oversampling (ITU-R BS.1770-4, annex 2) -> true peak
      -> samples at full scale                      -> count
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import upfirdn

from waveforms import SAMPLE_RATE
from waveforms.audio.loudness import FULL_SCALE, LoudnessMeter

OVERSAMPLING = 4

# The interpolator of annex 2, its first two phases; the other two are these, backwards.
_PHASE_0 = [0.001708984375, 0.010986328125, -0.0196533203125, 0.033203125, -0.0594482421875, 0.1373291015625]
_PHASE_0 += [0.97216796875, -0.102294921875, 0.047607421875, -0.026611328125, 0.014892578125, -0.00830078125]
_PHASE_1 = [-0.0291748046875, 0.029296875, -0.0517578125, 0.089111328125, -0.16650390625, 0.465087890625]
_PHASE_1 += [0.77978515625, -0.2003173828125, 0.1015625, -0.0582275390625, 0.0330810546875, -0.0189208984375]
_TAPS = np.array([_PHASE_0, _PHASE_1, _PHASE_1[::-1], _PHASE_0[::-1]]).T.ravel()  # 48, in the order of time
_N_BEHIND = len(_PHASE_0) - 1  # samples that still ring into the next


@dataclass(frozen=True)
class Levels:
    """How loud a clip is.

    Attributes:
        seconds: its length.
        loudness: integrated, in LUFS; -inf if all lies below -70 LUFS.
        true_peak: of the waveform between the samples too, in dBTP. The standard's interpolator may read 0.6 dB
            below the truth near half the sample rate, and never reads less than the sample peak here.
        n_clipped: samples at or beyond 16-bit full scale.
    """

    seconds: float
    loudness: float
    true_peak: float
    n_clipped: int


class LevelMeter:
    """Measures a clip that comes in pieces, whatever their lengths."""

    def __init__(self) -> None:
        self._loudness = LoudnessMeter()
        self._n_clipped = 0
        self._true_peak = 0.0
        self._last = np.zeros(_N_BEHIND)

    def add(self, waveform: npt.NDArray[np.floating]) -> None:
        """Take in the next piece, (n_samples,) of any length."""
        if len(waveform) == 0:
            return
        self._loudness.add(waveform)
        self._n_clipped += int(np.count_nonzero(np.abs(waveform) >= FULL_SCALE))
        extended = np.concatenate([self._last, waveform])
        self._true_peak = max(self._true_peak, _interpolated_peak(extended))
        self._last = extended[-_N_BEHIND:]

    def levels(self) -> Levels:
        """What was measured so far."""
        ringing = _interpolated_peak(np.concatenate([self._last, np.zeros(_N_BEHIND)]))
        meter = self._loudness
        return Levels(
            meter.n_samples / SAMPLE_RATE,
            meter.integrated(),
            _decibels(max(self._true_peak, ringing, meter.peak)),
            self._n_clipped,
        )


def measure_levels(clip: npt.NDArray[np.floating]) -> Levels:
    """The levels of a clip that is at hand whole, (n_samples,)."""
    meter = LevelMeter()
    meter.add(clip)
    return meter.levels()


def _interpolated_peak(extended: npt.NDArray[np.floating]) -> float:
    """The largest magnitude between samples, of those that have all of the filter behind them."""
    interpolated = upfirdn(_TAPS, extended, up=OVERSAMPLING)
    whole = interpolated[OVERSAMPLING * _N_BEHIND : OVERSAMPLING * len(extended)]
    return float(np.max(np.abs(whole), initial=0.0))


def _decibels(peak: float) -> float:
    return float(20 * np.log10(peak)) if peak > 0 else -np.inf
