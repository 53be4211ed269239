import numpy as np
import pytest
import torch

from pipeline.representations import make_representation
from pipeline.representations.spectrum import Spectrum
from pipeline.settings import SpectrumSettings
from pipeline.windows import sweep
from waveforms import BLOCK_SIZE
from waveforms.blocks import cut
from waveforms.corpus import Corpus


def fitted(corpus: Corpus, lap: int = 0) -> Spectrum:
    spectrum = make_representation(SpectrumSettings(lap))
    assert isinstance(spectrum, Spectrum)
    spectrum.fit(sweep(corpus, spectrum.margins))
    return spectrum


def test_statistics_of_one_streaming_pass_are_those_of_numpy(corpus: Corpus) -> None:
    spectrum = fitted(corpus)
    blocks = np.concatenate([cut(s).numpy() for s in sweep(corpus, (0, 0))]).astype(np.float64)
    oracle = np.fft.rfft(blocks, norm="ortho")
    packed = np.concatenate([oracle.real, oracle.imag], axis=-1)
    np.testing.assert_allclose(spectrum.mean_, packed.mean(0), atol=1e-7)
    deviation = packed.std(0)
    deviation[11_026 // 2] = 1  # the imaginary part at frequency zero never moves
    np.testing.assert_allclose(spectrum.std_, deviation, rtol=1e-4, atol=1e-7)


def test_elements_are_standardised_and_what_never_moves_stays_zero(corpus: Corpus) -> None:
    spectrum = fitted(corpus)
    elements = torch.cat([spectrum.transform(s) for s in sweep(corpus, spectrum.margins)])
    assert elements.shape == (corpus.n_blocks, 11_026)
    imaginary_dc = 11_026 // 2
    assert (elements[:, imaginary_dc] == 0).all()
    assert spectrum.std_[imaginary_dc] == 1
    loud = spectrum.std_ > 1e-4
    loud[imaginary_dc] = False
    torch.testing.assert_close(elements.mean(0)[loud], torch.zeros(int(loud.sum())), atol=1e-3, rtol=0)
    torch.testing.assert_close(elements.std(0, correction=0)[loud], torch.ones(int(loud.sum())), atol=1e-3, rtol=0)


@pytest.mark.parametrize("lap", [0, 1001, 2204])
def test_encode_and_decode_give_the_waveform_back(corpus: Corpus, lap: int) -> None:
    spectrum = fitted(corpus, lap)
    waveform = torch.from_numpy(corpus[0].read(0, corpus[0].n_blocks * BLOCK_SIZE))
    elements = spectrum.transform(torch.nn.functional.pad(waveform, spectrum.margins))[None]
    decoder = spectrum.decoder()
    again = torch.cat([decoder.push(elements[:, :3]), decoder.push(elements[:, 3:]), decoder.finish()], dim=-1)
    torch.testing.assert_close(again[0], waveform, atol=2e-6, rtol=0)
