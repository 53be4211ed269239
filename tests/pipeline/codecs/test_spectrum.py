import numpy as np
import pytest
import torch

from pipeline.codecs import make_codec
from pipeline.codecs.spectrum import Spectrum
from pipeline.config import SpectrumSettings
from pipeline.training.pieces import Piece, examples
from tests.pipeline.conftest import n_blocks_of
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE


def pieces(corpus: Corpus) -> list[Piece]:
    return [Piece(recording.name, BLOCK_SIZE, None, recording) for recording in corpus]


def fitted(corpus: Corpus, overlap: int = 0) -> Spectrum:
    spectrum = make_codec(SpectrumSettings(overlap))
    assert isinstance(spectrum, Spectrum)
    spectrum.fit(examples(pieces(corpus), spectrum))
    return spectrum


def test_statistics_of_one_streaming_pass_are_those_of_numpy(corpus: Corpus) -> None:
    spectrum = fitted(corpus)
    waveforms = [each.waveform for each in examples(pieces(corpus), spectrum)]
    blocks = np.concatenate([waveform.reshape(-1, BLOCK_SIZE).numpy() for waveform in waveforms]).astype(np.float64)
    oracle = np.fft.rfft(blocks, norm="ortho")
    packed = np.concatenate([oracle.real, oracle.imag], axis=-1)
    np.testing.assert_allclose(spectrum.mean_, packed.mean(0), atol=1e-7)
    std = packed.std(0)
    std[11_026 // 2] = 1  # the imaginary part at frequency zero never moves
    np.testing.assert_allclose(spectrum.std_, std, rtol=1e-4, atol=1e-7)


def test_latents_are_standardised_and_what_never_moves_stays_zero(corpus: Corpus) -> None:
    spectrum = fitted(corpus)
    latents = torch.cat([spectrum.encode(e.waveform).latent for e in examples(pieces(corpus), spectrum)])
    assert latents.shape == (sum(n_blocks_of(r.n_samples) for r in corpus), 1, 11_026)
    latents = latents[:, 0]
    imaginary_dc = 11_026 // 2
    assert (latents[:, imaginary_dc] == 0).all()
    assert spectrum.std_[imaginary_dc] == 1
    loud = spectrum.std_ > 1e-4
    loud[imaginary_dc] = False
    torch.testing.assert_close(latents.mean(0)[loud], torch.zeros(int(loud.sum())), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std(0, correction=0)[loud], torch.ones(int(loud.sum())), atol=1e-3, rtol=0)


@pytest.mark.parametrize("overlap", [0, 1001, 2204])
def test_encoding_and_decoding_give_the_waveform_back(corpus: Corpus, overlap: int) -> None:
    spectrum = fitted(corpus, overlap)
    recording = corpus[0]
    waveform = torch.from_numpy(recording.read(0, n_blocks_of(recording.n_samples) * BLOCK_SIZE))
    latents = spectrum.encode(torch.nn.functional.pad(waveform, spectrum.padding)[None])
    decoder = spectrum.decoder(spectrum.profile(waveform, None)[None])
    parts = [latents.blocks(slice(0, 3)), latents.blocks(slice(3, None))]
    again = torch.cat([*map(decoder.push, parts), decoder.finish()], dim=-1)
    torch.testing.assert_close(again[0], waveform, atol=2e-6, rtol=0)


def test_nothing_to_be_expected_is_the_mean(corpus: Corpus) -> None:
    spectrum = fitted(corpus)
    decoder = spectrum.decoder(torch.zeros(2, 0))
    again = torch.cat([decoder.push(decoder.expect([], 3)), decoder.finish()], dim=-1)
    waveforms = [each.waveform for each in examples(pieces(corpus), spectrum)]
    mean = torch.cat(waveforms).view(-1, 11_025).mean(0)
    torch.testing.assert_close(again, mean.repeat(2, 3), atol=1e-5, rtol=0)
