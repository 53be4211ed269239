"""Spectrograms over the keys' axis: where tones and clicks appear in them."""

import numpy as np
import pytest
import torch

from waveforms import SAMPLE_RATE
from waveforms.notes.spectrogram import (
    BINS_PER_SEMITONE,
    FRAME_SAMPLES,
    N_BINS,
    PADDING,
    SHORT_PER_FRAME,
    from_magnitudes,
    to_magnitudes,
    to_spectrograms,
)

N_FRAMES = 10


def views_of(sound: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Magnitudes of both views; sound is (N_FRAMES * FRAME_SAMPLES + 2 * PADDING,)."""
    short, long = to_spectrograms(torch.from_numpy(sound.astype(np.float32)))
    assert short.shape == (SHORT_PER_FRAME * N_FRAMES, N_BINS)
    assert long.shape == (N_FRAMES, N_BINS)
    return to_magnitudes(short), to_magnitudes(long)


@pytest.mark.parametrize(("pitch", "view"), [(45, 1), (69, 1), (69, 0), (96, 0), (108, 1)])
def test_a_tone_lies_in_the_middle_of_its_semitone(pitch: int, view: int) -> None:
    time = np.arange(N_FRAMES * FRAME_SAMPLES + 2 * PADDING) / SAMPLE_RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time)
    frame = views_of(tone)[view][N_FRAMES // 2]
    assert (
        abs(int(frame.argmax()) - (BINS_PER_SEMITONE * (pitch - 21) + 1)) <= 1
    )  # in the bass a bin is finer than the FFT
    if pitch <= 69:  # higher up, a bin is the mean power of several of the FFT
        assert float(frame.max()) == pytest.approx(0.5, rel=0.25)  # a Hann window loses up to 1.4 dB between bins


def test_a_click_lies_in_its_frame() -> None:
    click = np.zeros(N_FRAMES * FRAME_SAMPLES + 2 * PADDING)
    click[PADDING + round(6.25 * FRAME_SAMPLES)] = 1.0  # in the middle of the first half of frame 6
    short, long = views_of(click)
    assert int(short.sum(1).argmax()) == 12
    assert int(long.sum(1).argmax()) == 6


def test_compression_has_an_inverse() -> None:
    magnitudes = torch.logspace(-6, 0, 50, dtype=torch.float64)
    torch.testing.assert_close(to_magnitudes(from_magnitudes(magnitudes)), magnitudes)
