import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE, FRAMES_PER_BLOCK, HOP
from waveforms.dsp.spectra import (
    FRAME_PADDING,
    N_BINS,
    N_FFT,
    from_frames,
    from_spectra,
    to_frames,
    to_spectra,
    window_weight,
)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(2)) * 2 - 1


def sine(frequency: float, n_samples: int) -> torch.Tensor:
    return torch.from_numpy(np.sin(2 * np.pi * frequency * np.arange(n_samples) / SAMPLE_RATE)).float()


def test_a_block_has_11026_numbers() -> None:
    assert to_spectra(noise(3, BLOCK_SIZE)).shape == (3, 11_026)


def test_the_round_trip_of_blocks_is_exact() -> None:
    blocks = noise(200, BLOCK_SIZE)
    torch.testing.assert_close(from_spectra(to_spectra(blocks), BLOCK_SIZE), blocks, atol=1e-6, rtol=0)


@given(n_samples=st.integers(2, 2 * BLOCK_SIZE))
def test_the_round_trip_of_any_length_is_exact(n_samples: int) -> None:
    blocks = noise(2, n_samples)
    again = from_spectra(to_spectra(blocks), n_samples)
    assert again.shape == blocks.shape
    assert (again - blocks).norm() < 1e-6 * blocks.norm()  # lengths with large prime factors round a little more


def test_spectra_agree_with_numpy() -> None:
    block = noise(BLOCK_SIZE)
    oracle = np.fft.rfft(block.double().numpy()) / np.sqrt(BLOCK_SIZE)
    packed = to_spectra(block).numpy()
    np.testing.assert_allclose(packed, np.concatenate([oracle.real, oracle.imag]), atol=1e-5)


def test_any_vector_gives_a_real_waveform_whose_spectrum_it_is() -> None:
    vector = noise(11_026)
    again = to_spectra(from_spectra(vector, BLOCK_SIZE))
    vector[5513] = 0  # the imaginary part at frequency zero has no effect
    torch.testing.assert_close(again, vector, atol=1e-5, rtol=0)


def test_a_tone_stays_one_bin_and_dc_the_first() -> None:
    tone = to_spectra(sine(440, BLOCK_SIZE))  # 440 Hz is bin 110 of 4 Hz
    power = tone[:5513] ** 2 + tone[5513:] ** 2
    assert power.argmax() == 110
    assert power[110] / power.sum() > 1 - 1e-6
    dc = to_spectra(torch.full((BLOCK_SIZE,), 0.5))
    assert dc[0] == pytest.approx(0.5 * BLOCK_SIZE**0.5, rel=1e-6)
    assert dc[1:].abs().max() < 1e-4


def test_an_impulse_is_flat_and_energy_is_kept() -> None:
    impulse = torch.zeros(BLOCK_SIZE)
    impulse[1234] = 1
    spectrum = to_spectra(impulse)
    magnitude = torch.hypot(spectrum[:5513], spectrum[5513:])
    torch.testing.assert_close(magnitude, torch.full((5513,), BLOCK_SIZE**-0.5), atol=1e-6, rtol=0)
    block = noise(BLOCK_SIZE)
    weights = torch.full((11_026,), 2.0)  # each bin but the first stands for its mirror image too
    weights[0] = weights[5513] = 1
    assert (weights * to_spectra(block) ** 2).sum() == pytest.approx(float((block**2).sum()), rel=1e-5)


def test_frames_divide_a_block() -> None:
    assert FRAMES_PER_BLOCK * HOP == BLOCK_SIZE
    assert to_frames(noise(2, 3 * BLOCK_SIZE + sum(FRAME_PADDING))).shape == (2, 3 * FRAMES_PER_BLOCK, N_BINS)


def test_a_full_scale_tone_reads_one_at_its_bin() -> None:
    frequency = 100 * SAMPLE_RATE / N_FFT
    magnitude = to_frames(sine(frequency, BLOCK_SIZE + sum(FRAME_PADDING))).abs()
    assert (magnitude.argmax(-1) == 100).all()
    torch.testing.assert_close(magnitude[:, 100], torch.ones(FRAMES_PER_BLOCK), atol=1e-4, rtol=0)


def test_a_frame_is_centred_on_its_hop() -> None:
    for frame in (0, 7, 24):
        waveform = torch.zeros(BLOCK_SIZE + sum(FRAME_PADDING))
        waveform[FRAME_PADDING[0] + frame * HOP + HOP // 2] = 1
        assert to_frames(waveform).abs().mean(-1).argmax() == frame


@given(n_blocks=st.integers(1, 3))
def test_frames_overlap_add_to_the_waveform(n_blocks: int) -> None:
    waveform = noise(n_blocks * BLOCK_SIZE + sum(FRAME_PADDING))
    frames = to_frames(waveform)
    total, weight = from_frames(frames), window_weight(frames.shape[-2], waveform)
    inside = slice(FRAME_PADDING[0], -FRAME_PADDING[1])
    torch.testing.assert_close((total / weight)[inside], waveform[inside], atol=2e-6, rtol=0)


def test_frames_agree_with_torch_stft() -> None:
    waveform = noise(BLOCK_SIZE + sum(FRAME_PADDING))
    oracle = torch.stft(waveform, N_FFT, HOP, window=torch.hann_window(N_FFT), center=False, return_complex=True)
    torch.testing.assert_close(to_frames(waveform), oracle.T * (2 / (N_FFT / 2)), atol=1e-6, rtol=0)
