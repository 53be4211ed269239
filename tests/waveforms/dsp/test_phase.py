import numpy as np
import pytest
import torch
import torchaudio

from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE, FRAMES_PER_BLOCK, HOP
from waveforms.dsp.phase import PhaseRecovery
from waveforms.dsp.spectra import FRAME_PADDING, MAGNITUDE_FLOOR, N_BINS, N_FFT, to_frames

N_BLOCKS = 12


@pytest.fixture(scope="module")
def notes() -> torch.Tensor:
    """Three seconds of decaying harmonic notes, one every 0.3 s: what a piano's spectrum is made of."""
    time = np.arange(N_BLOCKS * BLOCK_SIZE) / SAMPLE_RATE
    waveform = np.zeros_like(time)
    for n, frequency in enumerate([220, 277.2, 329.6, 440, 554.4, 659.3, 220, 329.6, 440, 880]):
        since = time - 0.3 * n
        for partial in range(1, 6):
            tone = np.sin(2 * np.pi * frequency * partial * since) * np.exp(-3 * partial * since.clip(0)) / partial
            waveform += np.where(since >= 0, 0.15 * tone, 0)
    return torch.from_numpy(waveform).float()


def analysed(waveform: torch.Tensor) -> torch.Tensor:
    """Log magnitudes, (..., n_frames, N_BINS)."""
    frames = to_frames(torch.nn.functional.pad(waveform, FRAME_PADDING))
    return frames.abs().clamp(min=MAGNITUDE_FLOOR).log()


def recovered(wanted: torch.Tensor, n_iterations: int = 8, seed: int = 0) -> torch.Tensor:
    recovery = PhaseRecovery(n_iterations, seed=seed)
    return torch.cat([recovery.push(wanted), recovery.finish()], dim=-1)


def in_blocks(wanted: torch.Tensor, recovery: PhaseRecovery) -> torch.Tensor:
    parts = wanted.split(FRAMES_PER_BLOCK, dim=-2)
    return torch.cat([*map(recovery.push, parts), recovery.finish()], dim=-1)


def convergence(waveform: torch.Tensor, wanted: torch.Tensor) -> float:
    """Spectral convergence in dB: how far the magnitudes are from those wanted."""
    magnitude, target = analysed(waveform).exp(), wanted.exp()
    return float(20 * torch.log10((magnitude - target).norm() / target.norm()))


def test_magnitudes_are_met_better_than_by_torchaudio_in_a_quarter_of_the_iterations(notes: torch.Tensor) -> None:
    window = torch.hann_window(N_FFT)
    magnitude = torch.stft(notes, N_FFT, HOP, window=window, return_complex=True).abs()
    torch.manual_seed(0)
    oracle = torchaudio.functional.griffinlim(
        magnitude, window, N_FFT, HOP, N_FFT, power=1.0, n_iter=32, momentum=0.99, length=len(notes), rand_init=True
    )
    wanted = analysed(notes)
    whole = convergence(recovered(wanted), wanted)
    assert whole < -25
    assert whole < convergence(oracle, wanted) - 3


def test_block_by_block_is_no_worse_and_has_no_seams(notes: torch.Tensor) -> None:
    wanted = analysed(notes)
    waveform = in_blocks(wanted, PhaseRecovery())
    assert waveform.shape == notes.shape
    assert convergence(waveform, wanted) < convergence(recovered(wanted), wanted) + 1
    steps = waveform.diff().abs()
    at_edges = steps[BLOCK_SIZE - 1 :: BLOCK_SIZE]
    assert at_edges.max() <= steps.max()
    assert at_edges.mean() < 2 * steps.mean()


def test_a_tone_stays_a_tone() -> None:
    tone = torch.sin(2 * torch.pi * 441 * torch.arange(8 * BLOCK_SIZE) / SAMPLE_RATE) * 0.5
    again = recovered(analysed(tone))[BLOCK_SIZE:-BLOCK_SIZE].numpy()
    spectrum = np.abs(np.fft.rfft(again * np.hanning(len(again)))) ** 2
    frequencies = np.fft.rfftfreq(len(again), 1 / SAMPLE_RATE)
    near = np.abs(frequencies - 441) < 10
    assert spectrum[near].sum() / spectrum.sum() > 0.99
    assert np.sqrt(np.mean(again**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("frequency", [98, 441, 1000.3, 7040, 19_999])
def test_a_steady_tone_needs_no_iterations(frequency: float) -> None:
    """Phases extrapolated from the first frame are the tone's own, wherever it lies between two bins."""
    tone = torch.sin(2 * torch.pi * frequency * torch.arange(40 * BLOCK_SIZE) / SAMPLE_RATE) * 0.5
    again = recovered(analysed(tone), 0)[-8 * BLOCK_SIZE : -BLOCK_SIZE].numpy()
    spectrum = np.abs(np.fft.rfft(again * np.hanning(len(again)))) ** 2
    frequencies = np.fft.rfftfreq(len(again), 1 / SAMPLE_RATE)
    near = np.abs(frequencies - frequency) < 10
    assert spectrum[near].sum() / spectrum.sum() > 0.9


def test_phases_continue_across_pushes(notes: torch.Tensor) -> None:
    wanted = analysed(notes)
    torch.testing.assert_close(in_blocks(wanted, PhaseRecovery(0)), recovered(wanted, 0), atol=1e-4, rtol=0)


def test_bins_without_any_magnitude_are_silent() -> None:
    empty = torch.full((2 * FRAMES_PER_BLOCK, N_BINS), -torch.inf)
    assert torch.equal(recovered(empty, 1), torch.zeros(2 * BLOCK_SIZE))


def test_silence_stays_silence() -> None:
    again = recovered(analysed(torch.zeros(3 * BLOCK_SIZE)))
    assert again.abs().max() < 1e-4  # the floor of -120 dB in each of 1025 bins


def test_a_seed_gives_the_same_waveform_again(notes: torch.Tensor) -> None:
    wanted = analysed(notes[: 3 * BLOCK_SIZE])
    assert torch.equal(recovered(wanted, 4, seed=5), recovered(wanted, 4, seed=5))
    assert not torch.equal(recovered(wanted, 4, seed=5), recovered(wanted, 4, seed=6))


def test_clips_of_a_batch_do_not_mix(notes: torch.Tensor) -> None:
    wanted = analysed(torch.stack([notes[: 3 * BLOCK_SIZE], torch.zeros(3 * BLOCK_SIZE)]))
    loud, quiet = recovered(wanted, 8)
    assert loud.abs().max() > 0.1
    assert quiet.abs().max() < 1e-4


def test_nothing_gives_nothing() -> None:
    assert PhaseRecovery().finish().numel() == 0
