import math

import numpy as np
import pytest
import torch

from waveforms import SAMPLE_RATE
from waveforms.dsp.bands import (
    CENTRES,
    LONE_BELOW,
    N_BANDS,
    PER_OCTAVE,
    compand,
    expand,
    from_bands,
    to_bands,
    transposition,
    widths,
)
from waveforms.dsp.blocks import HOP
from waveforms.dsp.spectra import MAGNITUDE_FLOOR, N_BINS, N_FFT, to_frames

BIN = SAMPLE_RATE / N_FFT  # Hz
N_LONE = 61  # bins below 1300 Hz


def in_bands(log_magnitude: torch.Tensor) -> torch.Tensor:
    return to_bands((2 * log_magnitude).exp())


def log_magnitude(waveform: torch.Tensor) -> torch.Tensor:
    return to_frames(waveform).abs().clamp(min=MAGNITUDE_FLOOR).log()


def white_noise(n_frames: int) -> torch.Tensor:
    """Make noise of std 0.1, which has a power of 6 / N_FFT * 0.01 in each bin under a Hann window."""
    generator = torch.Generator().manual_seed(3)
    return 0.1 * torch.randn(n_frames * HOP + N_FFT - HOP, generator=generator)


def rough(n_frames: int) -> torch.Tensor:
    """Spectra that jump by some nepers from bin to bin, from the floor to full scale."""
    lowest = float(np.log(MAGNITUDE_FLOOR))
    return lowest - lowest * torch.rand(n_frames, N_BINS, generator=torch.Generator().manual_seed(4))


def test_bands_go_up_to_half_the_sample_rate() -> None:
    assert N_BANDS == len(CENTRES) == 209
    assert CENTRES[0] == 0
    assert CENTRES[-1] == SAMPLE_RATE / 2
    assert min(np.diff(CENTRES)) >= BIN - 1e-6


def test_bands_are_bins_below_and_even_in_pitch_above() -> None:
    np.testing.assert_allclose(CENTRES[:N_LONE], np.arange(N_LONE) * BIN)
    assert CENTRES[N_LONE - 1] < LONE_BELOW < CENTRES[N_LONE]
    steps = np.diff(np.log2(CENTRES[N_LONE - 1 : -1]))  # the last band is where the bins end
    np.testing.assert_allclose(steps, 1 / PER_OCTAVE)


def test_bins_that_stand_alone_come_back_exactly() -> None:
    spectra = rough(5)
    torch.testing.assert_close(in_bands(spectra)[:, :N_LONE], spectra[:, :N_LONE], atol=1e-5, rtol=0)
    assert torch.equal(from_bands(in_bands(spectra))[:, :N_LONE], in_bands(spectra)[:, :N_LONE])


def test_a_band_is_the_mean_power_under_a_triangle() -> None:
    spectrum = rough(1)[0].double()
    bins = np.arange(N_BINS) * BIN
    places = [*CENTRES, CENTRES[-1] + BIN]
    oracle = []
    for n in range(N_LONE, N_BANDS):
        triangle = np.interp(bins, places[n - 1 : n + 2], [0, 1, 0])
        oracle.append(np.average(np.exp(spectrum.numpy()) ** 2, weights=triangle))
    np.testing.assert_allclose(in_bands(spectrum)[N_LONE:], np.log(oracle) / 2, atol=1e-9)


def test_the_way_back_is_a_line_between_centres() -> None:
    bands = in_bands(rough(1)[0].double())
    oracle = np.interp(np.arange(N_BINS) * BIN, CENTRES, bands.numpy())
    np.testing.assert_allclose(from_bands(bands), oracle, atol=1e-9)


@pytest.mark.parametrize("level", [float(np.log(MAGNITUDE_FLOOR)), -3.0, 0.0, 2.0])
def test_a_flat_spectrum_stays_flat(level: float) -> None:
    spectrum = torch.full((2, 3, N_BINS), level)
    torch.testing.assert_close(in_bands(spectrum), torch.full((2, 3, N_BANDS), level), atol=1e-5, rtol=0)
    torch.testing.assert_close(from_bands(in_bands(spectrum)), spectrum, atol=1e-5, rtol=0)


def test_the_level_of_white_noise_is_kept() -> None:
    spectra = log_magnitude(white_noise(1000))
    wanted = 6 / N_FFT * 0.01
    power = (2 * in_bands(spectra)).exp().mean(0)[1:-1]  # the first bin and the last are real: their power is double
    assert power.mean() == pytest.approx(wanted, rel=0.02)
    assert power.max() < 1.3 * wanted
    assert power.min() > 0.7 * wanted
    again = (2 * from_bands(in_bands(spectra))).exp()[:, 1:-1].mean()
    assert 10 * np.log10(float(again) / wanted) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("frequency", [27.5, 440, 1290, 1310, 3000, 8372, 21_000])
def test_a_tone_stays_within_a_band_of_its_frequency(frequency: float) -> None:
    tone = 0.5 * torch.sin(2 * torch.pi * frequency * torch.arange(N_FFT, dtype=torch.float64) / SAMPLE_RATE)
    bands = in_bands(log_magnitude(tone))[0]
    width = max(BIN, frequency * (2 ** (1 / PER_OCTAVE) - 1))
    assert CENTRES[bands.argmax()] == pytest.approx(frequency, abs=width)
    assert float(from_bands(bands).argmax()) * BIN == pytest.approx(frequency, abs=width)


def test_nothing_is_below_the_floor() -> None:
    silence = torch.full((N_BINS,), float(np.log(MAGNITUDE_FLOOR)))
    torch.testing.assert_close(in_bands(silence).exp(), torch.full((N_BANDS,), MAGNITUDE_FLOOR))


@pytest.mark.parametrize("semitones", [-12, -7, -1, 0, 1, 5, 12])
def test_transposing_reads_the_bands_at_other_frequencies(semitones: int) -> None:
    """Against interpolation in numpy; beyond half the sample rate there is the topmost band."""
    bands = in_bands(rough(4)).double()
    sources = np.array(CENTRES) / 2 ** (semitones / 12)
    oracle = [np.interp(sources, CENTRES, frame) for frame in bands.numpy()]
    moved = bands @ transposition(semitones, torch.device("cpu")).double()
    np.testing.assert_allclose(moved, oracle, atol=1e-4)


def test_widths_add_up_to_the_octaves_that_bands_cover() -> None:
    found = widths()
    assert found[0] == float("inf")
    lowest = SAMPLE_RATE / N_FFT / 2  # the lower edge of the second band, half a bin
    assert found[1:].sum().item() == pytest.approx(math.log2(SAMPLE_RATE / 2 / lowest), rel=1e-5)
    high = [width for width, centre in zip(found.tolist(), CENTRES, strict=True) if 2000 < centre < 20_000]
    assert high == pytest.approx([1 / PER_OCTAVE] * len(high), rel=0.01)


def test_companding_is_mu_law_of_a_power_of_the_magnitude_and_is_undone() -> None:
    """Against the formula in 64 bits: log(1 + (m / knee) ** 0.3) / 0.3, the knee at exp(-5)."""
    magnitudes = np.geomspace(MAGNITUDE_FLOOR, 1.0, 200)
    bands = torch.from_numpy(np.log(magnitudes)).float()
    companded = compand(bands)
    np.testing.assert_allclose(companded.numpy(), np.log1p((magnitudes * np.exp(5)) ** 0.3) / 0.3, rtol=1e-5)
    torch.testing.assert_close(expand(companded), bands, atol=1e-3, rtol=0)


def test_nothing_expands_below_the_floor() -> None:
    bands = expand(torch.tensor([-3.0, 0.0, 1e-9]))
    torch.testing.assert_close(bands.exp(), torch.full((3,), MAGNITUDE_FLOOR), rtol=1e-3, atol=0)
