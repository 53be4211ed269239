"""The piano's codec, fitted on little music that a toy piano plays."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.codecs import Example, Latents
from pipeline.codecs.note_table import NoteExcerpt, NoteTable
from pipeline.codecs.piano import PATCH_SIZE, PianoCodec
from pipeline.config import PianoSettings
from tests.pipeline.conftest import melody, melody_notes
from waveforms.dsp.bands import CENTRES, compand, expand, to_bands
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.dsp.phase import PhaseRecovery
from waveforms.dsp.spectra import FRAME_PADDING, to_frames
from waveforms.notes.events import Notes

SETTINGS = PianoSettings(dims=60, expected_dims=12, fit_steps=80)
N_BLOCKS = 20
SECONDS = N_BLOCKS / 4


def waveform(seed: int) -> Tensor:
    return torch.nn.functional.pad(torch.from_numpy(melody(seed, SECONDS)), FRAME_PADDING)


@pytest.fixture(scope="module")
def codec() -> PianoCodec:
    fitted = PianoCodec(SETTINGS)
    fitted.fit(Example(waveform(n), melody_notes(n, SECONDS), n) for n in range(3))
    return fitted


def table(*rows: Notes) -> NoteTable:
    return NoteTable.of([NoteExcerpt(notes, row) for row, notes in enumerate(rows)])


def encoded(codec: PianoCodec, seed: int) -> tuple[Tensor, Tensor]:
    """Latent and expected magnitudes of a melody, each with a row."""
    notes = melody_notes(seed, SECONDS)
    profile = codec.profile(waveform(seed), notes)
    latents = codec.encode(waveform(seed)[None], table(notes), profile.expand(1, N_BLOCKS, -1))
    assert latents.expected is not None
    return latents.latent, latents.expected


def magnitudes_of(padded: Tensor) -> Tensor:
    """As they are recorded, (n_frames, N_BANDS)."""
    return compand(to_bands(to_frames(padded).abs().square()))


def test_much_of_the_sound_is_expected_of_the_notes(codec: PianoCodec) -> None:
    """Of a melody that it was not fitted on, and after few steps."""
    recorded = magnitudes_of(waveform(5))
    _, expected = encoded(codec, 5)
    assert (recorded - expected.flatten(0, 2)).square().mean() < 0.6 * recorded.var(0).mean()


def fitted_on(codec: PianoCodec, seed: int) -> tuple[Tensor, Tensor]:
    """The same as `encoded`, from the bands in half precision that the codec is fitted on."""
    notes = melody_notes(seed, SECONDS)
    bands = to_bands(to_frames(waveform(seed)).abs().square()).half()
    profile = codec.instrument.profile(bands, notes)
    expected = codec.instrument(table(notes), profile.expand(1, N_BLOCKS, -1))
    return codec.to_residual(compand(bands.float()).view(expected.shape), expected), expected


def test_latents_have_no_mean_and_a_mean_square_of_one(codec: PianoCodec) -> None:
    latents = torch.cat([fitted_on(codec, n)[0] for n in range(3)]).flatten(0, 2)
    assert latents.shape == (3 * N_BLOCKS * 5, 60)
    torch.testing.assert_close(latents.mean(0), torch.zeros(60), atol=1e-3, rtol=0)
    assert latents.square().mean().item() == pytest.approx(1, abs=1e-3)
    variances = latents.square().mean(0)
    assert (variances.diff() < 1e-3).all()  # the leading axes first


def test_encoding_gives_the_latents_that_the_codec_is_fitted_on(codec: PianoCodec) -> None:
    """Up to half precision."""
    for n in range(3):
        torch.testing.assert_close(encoded(codec, n)[0], fitted_on(codec, n)[0], atol=0.1, rtol=0)


def test_conditioning_is_the_expected_sound_whitened(codec: PianoCodec) -> None:
    expected = torch.cat([fitted_on(codec, n)[1] for n in range(3)], dim=1)
    conditioning = codec.to_conditioning(expected).flatten(0, -2).double()
    n_dims = conditioning.shape[1]
    torch.testing.assert_close(conditioning.mean(0), torch.zeros(n_dims).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(conditioning.T.cov(), torch.eye(n_dims).double(), atol=5e-3, rtol=0)


def test_more_axes_keep_more_and_all_of_them_everything(codec: PianoCodec) -> None:
    recorded = magnitudes_of(waveform(1)).view(1, N_BLOCKS, 25, -1)
    latent, expected = encoded(codec, 1)
    kept = codec.to_magnitudes(latent, expected)
    assert (recorded - kept).square().mean() < 0.35 * (recorded - expected).square().mean()
    whole = PianoCodec(PianoSettings(dims=PATCH_SIZE, expected_dims=1))
    again = whole.to_magnitudes(whole.to_residual(recorded, expected), expected)
    torch.testing.assert_close(again, recorded, atol=1e-4, rtol=0)


def test_the_decoder_sounds_as_the_magnitudes_that_went_in(codec: PianoCodec) -> None:
    """What phase recovery makes of the magnitudes of residual and expected latents, to the bit."""
    latent, expected = encoded(codec, 2)
    notes = melody_notes(2, SECONDS)
    decoder = codec.decoder(codec.profile(waveform(2), notes)[None])
    latents = decoder.expect([notes], N_BLOCKS)
    assert not latents.latent.any()
    torch.testing.assert_close(latents.expected, expected, atol=1e-5, rtol=0)
    decoded = torch.cat([decoder.push(latents._replace(latent=latent)), decoder.finish()], dim=-1)
    assert decoded.shape == (1, N_BLOCKS * BLOCK_SIZE)
    wanted = codec.to_magnitudes(latent, expected)[0]
    again = magnitudes_of(torch.nn.functional.pad(decoded[0], FRAME_PADDING)).view_as(wanted)
    loud = wanted > 2
    assert (again - wanted)[loud].square().mean().sqrt() < 0.25  # nepers; 0.03 is lost in bands, the rest in phases
    assert loud.float().mean() > 0.02


def test_of_a_sampled_residual_less_is_decoded_where_partials_lie_apart(
    codec: PianoCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of magnitudes 0.3 below 500 Hz, all above 1000 Hz and 0.65 half way between; of an encoded one, all."""
    pushed: list[torch.Tensor] = []
    monkeypatch.setattr(PhaseRecovery, "push", lambda _, each: pushed.append(each))
    latent, expected = encoded(codec, 2)
    decoder = codec.decoder(torch.zeros(1, 16))
    latents = Latents(latent, expected, None)
    for each, sampled in ((latents, True), (latents, False), (latents._replace(latent=0 * latent), False)):
        decoder.push(each, sampled=sampled)
    recorded, whole, nothing = (compand(to_bands((2 * each).exp())) for each in pushed)
    shares = ((recorded - nothing) * (whole - nothing)).sum((0, 1)) / (whole - nothing).square().sum((0, 1))
    centres = torch.tensor(CENTRES)
    torch.testing.assert_close(shares[centres < 500], torch.full_like(shares[centres < 500], 0.3), atol=0.02, rtol=0)
    above = (centres > 1000) & (centres < 10_000)
    torch.testing.assert_close(shares[above], torch.ones_like(shares[above]), atol=0.02, rtol=0)
    assert shares[(centres - 707).abs().argmin()].item() == pytest.approx(0.65, abs=0.03)


@pytest.mark.parametrize("sizes", [[1] * N_BLOCKS, [7, 1, 12], [N_BLOCKS]])
def test_expecting_block_by_block_is_expecting_at_once(codec: PianoCodec, sizes: list[int]) -> None:
    """A key is struck again over the border of blocks, one is held for long, and one is in another row."""
    rows = [
        Notes.of([(0.1, 4.9, 60, 90.0), (0.26, 1.0, 64, 50.0), (1.24, 3.0, 64, 60.0), (1.26, 1.3, 64, 70.0)]),
        Notes.of([(0.2, 9.0, 100, 64.0), (2.0, 2.1, 60, 20.0), (2.5, 4.0, 60, 90.0)]),
    ]
    profiles = 0.3 * torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    whole = codec.instrument(table(*rows), profiles[:, None].expand(-1, N_BLOCKS, -1))
    decoder, done, parts = codec.decoder(profiles), 0, []
    for n_blocks in sizes:
        span = done / 4, (done + n_blocks) / 4
        parts.append(decoder.expect([notes.between(*span) for notes in rows], n_blocks))
        done += n_blocks
    magnitudes = torch.cat([part.expected for part in parts if part.expected is not None], dim=1)
    torch.testing.assert_close(magnitudes, whole, atol=2e-3, rtol=0)
    expected = torch.cat([part.conditioning for part in parts if part.conditioning is not None], dim=1)
    torch.testing.assert_close(expected, codec.to_conditioning(whole), atol=2e-2, rtol=0)


def test_a_profile_measures_how_loud_a_recording_is(codec: PianoCodec) -> None:
    """Of one that is turned down by 12 dB, 2.76 nepers of power; to 0.4."""
    notes = melody_notes(4, SECONDS)
    loud, soft = (codec.profile(gain * waveform(4), notes) for gain in (1.0, 0.25))
    recorded = [codec.instrument(table(notes), each.expand(1, N_BLOCKS, -1)).flatten(0, 2) for each in (loud, soft)]
    bands = [expand(magnitudes) for magnitudes in recorded]
    counted = recorded[0] > 3
    assert 2 * (bands[0] - bands[1])[counted].mean().item() == pytest.approx(2 * np.log(4), abs=0.4)


@pytest.mark.parametrize("astray", [100.0, 1e6])
def test_a_residual_that_has_gone_astray_is_held_at_full_scale(codec: PianoCodec, astray: float) -> None:
    """Where bins of a sine at full scale lie, before phases are found."""
    decoder = codec.decoder(torch.zeros(1, 16))
    latents = decoder.expect([Notes.of([])], 4)
    latent = astray * torch.randn(latents.latent.shape, generator=torch.Generator().manual_seed(0))
    decoded = torch.cat([decoder.push(latents._replace(latent=latent)), decoder.finish()], dim=-1)
    recovery = PhaseRecovery()
    loudest = torch.cat([recovery.push(torch.zeros(1, 100, 1025)), recovery.finish()], dim=-1)
    assert decoded.isfinite().all()
    assert decoded.square().mean() <= loudest.square().mean()
