import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waveforms.audio.gain import PEAK_CEILING, GainPolicy, to_int16

CEILING = 10 ** (PEAK_CEILING / 20)


@given(peak=st.floats(1e-6, 100), loudness=st.floats(-69, 20), target=st.none() | st.floats(-60, -1))
def test_no_peak_passes_the_ceiling(peak: float, loudness: float, target: float | None) -> None:
    gain = GainPolicy(target).gain(peak, loudness)
    assert peak * gain <= CEILING * (1 + 1e-9)
    wanted = 1.0 if target is None else 10 ** ((target - loudness) / 20)
    assert gain == pytest.approx(wanted) or peak * gain == pytest.approx(CEILING)


def test_policies() -> None:
    assert GainPolicy.parse("peak").gain(0.5, -20) == 1
    assert GainPolicy.parse("peak").gain(2.0, -3) == pytest.approx(CEILING / 2)
    assert GainPolicy.parse("clip").gain(2.0, -3) == 1
    assert GainPolicy.parse("-23").gain(0.1, -29) == pytest.approx(10 ** (6 / 20))
    assert GainPolicy.parse("-23").gain(0.0, -math.inf) == 1  # silence stays silence


@pytest.mark.parametrize("text", ["0", "3", "-70", "nan"])
def test_what_is_no_loudness_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^a loudness must lie between -70 and 0 LUFS and not be {text}$"):
        GainPolicy.parse(text)


@pytest.mark.parametrize("text", ["loud", ""])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^could not convert string to float: '{text}'$"):
        GainPolicy.parse(text)


def test_rounding_never_wraps() -> None:
    samples = np.array([0, 1, -1, 1.2, -1.2, 5, 0.5 / 32768, -0.4 / 32768], np.float32)
    assert to_int16(samples).tolist() == [0, 32767, -32768, 32767, -32768, 32767, 0, 0]
