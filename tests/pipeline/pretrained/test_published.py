"""Networks with their published weights, which are fetched once a run: 50 MB.

What the packages themselves answer was computed with them: musicnn 0.1.0 on TensorFlow 2.15.1 (its
spectrogram kept in float32), aisfx 0.1.2 on spectrograms by Essentia 2.1b6.
"""

import numpy as np
import pytest
import scipy.signal
import torch

from pipeline.evaluation.distances import Gaussian, KernelDistance, frechet
from pipeline.pretrained.embeddings import Embedding, load_embedding
from pipeline.pretrained.musicnn import PIANO
from tests.pipeline.pretrained.test_embeddings import equalised
from waveforms import SAMPLE_RATE
from waveforms.notes.performance import Note, Performance
from waveforms.piano.render import render
from waveforms.piano.steinway import Steinway


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Embedding]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTERWAVE_CACHE", str(tmp_path_factory.mktemp("weights")))
        return {name: load_embedding(name) for name in ("musicnn", "aisfx")}


@pytest.fixture(scope="module")
def piano() -> np.ndarray:
    """48 s of a broken chord that wanders, on the sampled piano."""
    rng = np.random.default_rng(0)
    chord, notes = np.array([48, 60, 64, 67, 72]), []
    for n in range(46):
        root = int(rng.choice([0, 5, 7, 9]))
        notes += [Note(n + 0.2 * k, 0.6, int(chord[k]) + root, 60 + 4 * k) for k in range(5)]
    return render(Performance("a broken chord", tuple(notes)), Steinway())


def notes_of(sample_rate: int) -> np.ndarray:
    """Twelve decaying tones of six partials in 6.5 s, the same at any rate; float32 (n_samples,)."""
    time = np.arange(round(6.5 * sample_rate)) / sample_rate
    waveform = np.zeros_like(time)
    for n, frequency in enumerate([261.63, 329.63, 392.0, 523.25, 392.0, 329.63] * 2):
        since = np.clip(time - 0.5 * n, 0, None)
        for partial in range(1, 7):
            tone = np.sin(2 * np.pi * partial * frequency * since) * np.exp(-(2 + partial) * since)
            waveform += (time >= 0.5 * n) * 0.15 / partial * tone
    return waveform.astype(np.float32)


def vectors_of(embedding: Embedding) -> torch.Tensor:
    """The network's answer to those tones, at the level they have."""
    network = embedding.network
    padded = torch.from_numpy(np.pad(notes_of(network.sample_rate), network.n_fft // 2))
    return network(padded.unfold(0, network.n_samples, network.hop))


def test_musicnn_answers_as_the_package_does(published: dict[str, Embedding]) -> None:
    vectors = vectors_of(published["musicnn"])
    wanted = [-0.07995161, -0.0328787, 2.1140032, -0.18605757, -0.07870331, 0.6130185, -0.10575113, -0.16243547]
    assert vectors[0, :8].tolist() == pytest.approx(wanted, abs=2e-5)
    assert float(vectors[0].norm()) == pytest.approx(9.277495, abs=1e-4)
    guitar, classical, piano, harpsichord = published["musicnn"].network.tags(vectors)[0, [0, 1, 9, 22]].tolist()
    wanted = [0.12423633, 0.15844719, 0.54853666, 0.00051525]
    assert [guitar, classical, piano, harpsichord] == pytest.approx(wanted, abs=1e-5)


def test_aisfx_answers_as_the_package_does(published: dict[str, Embedding]) -> None:
    vectors = vectors_of(published["aisfx"])
    assert vectors.shape == (4, 512)
    wanted = [0.70672935, 0.5067417, 2.165983, 0.20799692, 0.27675584, 2.1010506, 2.0013025, 0.7914638]
    assert vectors[0, :8].tolist() == pytest.approx(wanted, abs=2e-5)
    assert vectors.norm(dim=1).tolist() == pytest.approx([31.876759, 30.62253, 31.196053, 32.71972], abs=1e-3)


def test_musicnn_knows_a_piano(published: dict[str, Embedding], piano: np.ndarray) -> None:
    def p_piano(waveform: np.ndarray) -> float:
        vectors = torch.from_numpy(published["musicnn"].embed(equalised(waveform.astype(np.float32))))
        return float(published["musicnn"].network.tags(vectors)[:, PIANO].mean())

    n_samples = 10 * SAMPLE_RATE
    assert p_piano(piano[:n_samples]) > 0.6
    assert p_piano(np.random.default_rng(0).normal(0, 0.1, n_samples)) < 0.05
    assert p_piano(0.3 * np.sin(2 * np.pi * 440 * np.arange(n_samples) / SAMPLE_RATE)) < 0.05


def low_pass(waveform: np.ndarray) -> np.ndarray:
    return scipy.signal.sosfilt(scipy.signal.butter(8, 4_000, fs=SAMPLE_RATE, output="sos"), waveform)


def mu_law(waveform: np.ndarray) -> np.ndarray:
    """Through 8 bits (G.711's law) and back."""
    bits = np.rint(127 * np.sign(waveform) * np.log1p(255 * np.abs(waveform)) / np.log(256)) / 127
    return np.sign(bits) * (256 ** np.abs(bits) - 1) / 255


def test_aisfx_follows_fidelity_and_musicnn_does_not(published: dict[str, Embedding], piano: np.ndarray) -> None:
    clips = np.split(piano[: 48 * SAMPLE_RATE], 12)  # 4 s each, every other one for reference
    fates = {"clean": lambda clip: clip, "low-pass": low_pass, "mu-law": mu_law}

    def set_of(embedding: Embedding, clips: list[np.ndarray]) -> np.ndarray:
        return np.array([embedding.embed(equalised(clip.astype(np.float32))) for clip in clips], np.float64)

    found = {}
    for name, embedding in published.items():
        reference = set_of(embedding, clips[::2])
        for fate, change in fates.items():
            others = set_of(embedding, [change(clip) for clip in clips[1::2]])
            distance = frechet(Gaussian.of(reference), Gaussian.of(others))
            found[name, fate] = distance, KernelDistance(reference, others).squared_mmd()
    for fate in ("low-pass", "mu-law"):
        for name, follows in (("aisfx", True), ("musicnn", False)):
            (distance, mmd), (clean, clean_mmd) = found[name, fate], found[name, "clean"]
            assert (distance > 1.5 * clean) is follows, (name, fate, distance, clean)
            assert (mmd > clean_mmd + 0.1) is follows, (name, fate, mmd, clean_mmd)
