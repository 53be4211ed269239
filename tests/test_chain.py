"""A tone, silence, DC and an impulse through the whole chain: file, corpus, codec, and back to a file."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pipeline.codecs.spectrum import Spectrum
from pipeline.config import SpectrumSettings
from pipeline.training.pieces import Piece, examples, read_blocks
from tests.pipeline.conftest import n_blocks_of
from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter, read
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE

N_SAMPLES = 5 * BLOCK_SIZE + 1234  # the last block is not whole
TIME = np.arange(N_SAMPLES) / SAMPLE_RATE
STEP = 2**-15  # of 16 bits


def impulse() -> np.ndarray:
    waveform = np.zeros(N_SAMPLES)
    waveform[2 * BLOCK_SIZE] = 0.9  # the first sample of a block, where a join would hurt
    return waveform


SIGNALS = {
    "tone": 0.5 * np.sin(2 * np.pi * 440 * TIME),
    "silence": np.where(TIME < 0.6, 0.1 * np.sin(2 * np.pi * 330 * TIME), 0),  # a wholly silent file is no recording
    "dc": np.full(N_SAMPLES, 0.25),
    "impulse": impulse(),
}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    for name, waveform in SIGNALS.items():
        soundfile.write(tmp_path / f"{name}.wav", waveform, SAMPLE_RATE, subtype="PCM_16")
    return Corpus.open(tmp_path)


def through(corpus: Corpus, name: str, overlap: int, out: Path) -> np.ndarray:
    """Encode a recording block by block, decode it, write it, read it; (n_blocks * BLOCK_SIZE,)."""
    codec = Spectrum(SpectrumSettings(overlap))
    codec.fit(examples([Piece(recording.name, BLOCK_SIZE, None, recording) for recording in corpus], codec))
    recording = corpus[f"{name}.wav"]
    decoder = codec.decoder(torch.zeros(1, 0))
    with ClipWriter(out) as clip:
        for block in range(n_blocks_of(recording.n_samples)):
            sound = codec.encode(read_blocks(recording, block, 1, codec)[None])
            clip.write(decoder.push(sound)[0].numpy())
        clip.write(decoder.finish()[0].numpy())
    return read(out)


@pytest.mark.parametrize("overlap", [0, 1001])
@pytest.mark.parametrize("name", SIGNALS)
def test_what_goes_in_comes_out(corpus: Corpus, tmp_path: Path, name: str, overlap: int) -> None:
    again = through(corpus, name, overlap, tmp_path / "again.clip")
    assert len(again) == 6 * BLOCK_SIZE
    np.testing.assert_allclose(again[:N_SAMPLES], SIGNALS[name], atol=1.5 * STEP)
    assert np.abs(again[N_SAMPLES:]).max() <= STEP


def test_a_tone_is_pure_and_silence_is_silent(corpus: Corpus, tmp_path: Path) -> None:
    tone = through(corpus, "tone", 0, tmp_path / "tone.clip")[: 5 * BLOCK_SIZE]
    power = np.abs(np.fft.rfft(tone * np.blackman(len(tone)))) ** 2
    near = np.abs(np.fft.rfftfreq(len(tone), 1 / SAMPLE_RATE) - 440) < 5
    assert 10 * np.log10(power[~near].sum() / power[near].sum()) < -80  # all else: rounding to 16 bits
    silence = through(corpus, "silence", 0, tmp_path / "silence.clip")
    assert not silence[round(0.75 * SAMPLE_RATE) : N_SAMPLES].any()


def test_dc_has_no_ripple_and_an_impulse_no_echo(corpus: Corpus, tmp_path: Path) -> None:
    dc = through(corpus, "dc", 1001, tmp_path / "dc.clip")[:N_SAMPLES]
    assert np.ptp(dc) <= STEP
    impulse = through(corpus, "impulse", 1001, tmp_path / "impulse.clip")
    assert np.argmax(np.abs(impulse)) == 2 * BLOCK_SIZE
    rest = np.delete(impulse, 2 * BLOCK_SIZE)
    assert np.abs(rest).max() <= STEP


def test_the_codec_does_not_care_where_an_excerpt_begins(corpus: Corpus) -> None:
    codec = Spectrum(SpectrumSettings(1001))
    recording = corpus["tone.wav"]
    whole = codec.encode(read_blocks(recording, 0, 6, codec)[None]).latent
    parts = [codec.encode(read_blocks(recording, n, 1, codec)[None]).latent for n in range(6)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=0)
