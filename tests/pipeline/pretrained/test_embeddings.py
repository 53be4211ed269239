"""How clips are cut, made equally loud and embedded: with a transparent network, and with small random ones."""

import numpy as np
import pyloudnorm
import pytest
import torch
from torch import Tensor

from pipeline.errors import EvaluationError
from pipeline.pretrained.aisfx import Aisfx
from pipeline.pretrained.embeddings import (
    LOUDNESS,
    Embedding,
    Network,
    at_equal_loudness,
    load_embedding,
)
from pipeline.pretrained.musicnn import Musicnn
from waveforms import SAMPLE_RATE
from waveforms.audio.levels import measure_levels


class Transparent:
    """A network whose vectors are the windows themselves."""

    name, sample_rate, n_fft, n_samples, hop = "transparent", SAMPLE_RATE, 100, 400, 150

    def __call__(self, windows: Tensor) -> Tensor:
        return windows


def noise(seconds: float, *, seed: int = 0, gain: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, gain, round(seconds * SAMPLE_RATE)).astype(np.float32)


def equalised(waveform: np.ndarray) -> np.ndarray:
    return at_equal_loudness(waveform, measure_levels(waveform).loudness)


@pytest.fixture(scope="module", params=["musicnn", "aisfx"])
def network(request: pytest.FixtureRequest) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Musicnn() if request.param == "musicnn" else Aisfx(widths=(4, 4, 6, 8))


@pytest.mark.parametrize("n_samples", [300, 449, 450, 1200, 4001])
def test_windows_cover_the_clip(n_samples: int) -> None:
    waveform = noise(1)[:n_samples]
    vectors = Embedding(Transparent()).embed(waveform)
    padded = np.pad(waveform, 50)
    assert vectors.shape == ((n_samples + 100 - 400) // 150 + 1, 400)
    for n, vector in enumerate(vectors):
        assert vector == pytest.approx(padded[150 * n : 150 * n + 400], rel=1e-4)
    assert len(padded) - (150 * (len(vectors) - 1) + 400) < 150  # what is left out is less than a hop


def test_vectors_of_a_network(network: Network) -> None:
    embedding = Embedding(network)
    vectors = embedding.embed(noise(7))
    n_samples = 7 * network.sample_rate + network.n_fft
    assert vectors.shape == (
        (n_samples - network.n_samples) // network.hop + 1,
        200 if network.name == "musicnn" else 8,
    )
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.array_equal(vectors, embedding.embed(noise(7)))
    assert not np.allclose(vectors, embedding.embed(noise(7, seed=1)))


def test_a_vector_does_not_depend_on_the_others(network: Network) -> None:
    waveform = torch.from_numpy(noise(16))[: network.n_samples + 9 * network.hop]  # more windows than a batch has
    windows = waveform.unfold(0, network.n_samples, network.hop)
    alone = torch.cat([network(window[None]) for window in windows])
    assert torch.allclose(network(windows), alone, rtol=1e-3, atol=1e-4)


def test_gain_does_not_change_the_embedding(network: Network) -> None:
    embedding = Embedding(network)
    soft, loud = (embedding.embed(equalised(noise(4, gain=gain))) for gain in (0.001, 0.3))
    assert soft == pytest.approx(loud, rel=1e-3, abs=1e-4)


def test_silence_is_embedded(network: Network) -> None:
    assert np.isfinite(Embedding(network).embed(np.zeros(4 * SAMPLE_RATE, np.float32))).all()


def test_equal_loudness_is_measured_equal() -> None:
    meter = pyloudnorm.Meter(SAMPLE_RATE, filter_class="DeMan")
    for gain in (0.001, 0.1, 0.9):
        assert meter.integrated_loudness(equalised(noise(3, gain=gain))) == pytest.approx(LOUDNESS, abs=0.01)
    assert not equalised(np.zeros(44_100, np.float32)).any()


def test_what_cannot_be_embedded_is_refused(network: Network) -> None:
    embedding = Embedding(network)
    window = rf"{network.name} embeds windows of {embedding.seconds:.2f} s and not 1.50 s"
    with pytest.raises(EvaluationError, match=window):
        embedding.embed(noise(1.5))
    with pytest.raises(EvaluationError, match="a waveform must be finite to be embedded"):
        embedding.embed(np.append(noise(4), np.float32("nan")))
    with pytest.raises(ValueError, match="an embedding must be one of musicnn, aisfx and not 'vggish'"):
        load_embedding("vggish")


def test_the_shortest_waveform_is_a_window(network: Network) -> None:
    embedding = Embedding(network)
    n_samples = round(embedding.seconds * SAMPLE_RATE)
    assert len(embedding.embed(noise(4)[: n_samples + 1])) == 1
