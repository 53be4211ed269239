"""The principal axes against scikit-learn; what a listener would miss against a mel spectrum; transposing by ear."""

import threading
from itertools import pairwise

import librosa
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

from pipeline.representations.tiles import N_SLICES, SLICE_SIZE, Tiles
from pipeline.settings import TileSettings
from tests.pipeline.conftest import melody
from waveforms import BLOCK_SIZE, SAMPLE_RATE
from waveforms.bands import CENTRES, from_levels, to_bands, to_levels
from waveforms.notes.performance import Note, Performance
from waveforms.phase import from_tiles
from waveforms.piano.render import render
from waveforms.spectra import TILE_MARGINS, to_frames, to_tiles

N_BLOCKS = (12, 17, 3, 28, 22)
MARGINS = tuple(margin + BLOCK_SIZE // 5 for margin in TILE_MARGINS)  # keys are heard with a slice more at either end


def tone(frequency: float, n_blocks: int = 4, n_partials: int = 6) -> torch.Tensor:
    """A note as a string gives it: partials that fade, the high ones sooner; with the margins of tiles."""
    time = np.arange(n_blocks * BLOCK_SIZE + sum(MARGINS)) / SAMPLE_RATE
    partials = [
        np.sin(2 * np.pi * frequency * n * time) * np.exp(-1.5 * n * time) / n for n in range(1, n_partials + 1)
    ]
    return torch.from_numpy(0.3 * sum(partials)).float()


def slices(waveform: torch.Tensor) -> torch.Tensor:
    """Slices of five frames each, a row a slice: written anew from the description."""
    bands = to_bands(to_frames(waveform).abs().square())[5:-5].double()  # (n_frames, n_bands)
    levels = torch.log(1 + torch.exp(0.3 * (bands + 5))) / 0.3
    return torch.stack([part.flatten() for part in levels.float().split(5)])


def sound(tiles: Tiles, waveforms: list[torch.Tensor]) -> torch.Tensor:
    """(n_slices, dims)."""
    elements = torch.cat([tiles.transform(waveform) for waveform in waveforms])
    assert elements.shape[-1] == N_SLICES * (tiles.settings.dims + 88)
    return tiles.shape.sound(tiles.shape.slices(elements)).flatten(0, 1)


def weights() -> np.ndarray:
    """The root of each band's share of an octave, in 36ths, at most 9 of them; 1 below 27.5 Hz; written anew."""
    found = []
    for n, centre in enumerate(CENTRES):
        lower = (CENTRES[max(n - 1, 0)] + centre) / 2
        upper = (CENTRES[min(n + 1, len(CENTRES) - 1)] + centre) / 2
        found.append(1 if centre < 27.5 else min(36 * np.log2(upper / lower), 9))
    return np.tile(np.sqrt(found), 5)


@pytest.fixture(scope="module")
def melodies() -> list[torch.Tensor]:
    """Five recordings of 3 to 28 blocks."""
    return [F.pad(torch.from_numpy(melody(n, n_blocks / 4)), MARGINS) for n, n_blocks in enumerate(N_BLOCKS)]


def fitted(waveforms: list[torch.Tensor], **settings: object) -> Tiles:
    tiles = Tiles(TileSettings(**settings))  # type: ignore[arg-type]
    tiles.fit(waveforms)
    return tiles


@pytest.fixture(scope="module")
def tiles(melodies: list[torch.Tensor]) -> Tiles:
    return fitted(melodies, dims=24)


def test_the_axes_are_the_principal_ones_in_order(tiles: Tiles, melodies: list[torch.Tensor]) -> None:
    rows = torch.cat([slices(waveform) for waveform in melodies]).double().numpy() * weights()
    oracle = PCA(24, svd_solver="full").fit(rows)
    np.testing.assert_allclose(tiles.mean_.numpy() * weights(), oracle.mean_, atol=3e-4)
    cosines = np.abs((tiles.axes_.double().numpy() * oracle.components_.T).sum(0))
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    deviations = np.sqrt(rows.shape[0] - 1) * np.sqrt(oracle.explained_variance_ / rows.shape[0])
    assert all(a >= b for a, b in pairwise(deviations))
    elements = sound(tiles, melodies)
    shares = elements.std(0, correction=0) / elements.std(0, correction=0)[0]
    np.testing.assert_allclose(shares, np.sqrt(deviations / deviations[0]), rtol=1e-2)


def test_elements_of_what_was_fitted_have_mean_zero_and_mean_square_one(
    tiles: Tiles, melodies: list[torch.Tensor]
) -> None:
    elements = sound(tiles, melodies)
    assert elements.shape == (sum(N_BLOCKS) * N_SLICES, 24)
    assert elements.mean(0).abs().max() < 1e-3
    assert elements.square().mean() == pytest.approx(1, abs=1e-3)


def test_with_all_axes_nothing_is_lost(melodies: list[torch.Tensor]) -> None:
    tiles = fitted(melodies, dims=SLICE_SIZE)
    waveform = melodies[0]
    again = tiles.inverse_transform(tiles.transform(waveform))
    wanted = slices(waveform)
    levels = to_levels(to_bands((2 * again.flatten(0, 1)).exp()))[:, :61].reshape(-1, 5, 61)  # bins that stand alone
    torch.testing.assert_close(levels, wanted.reshape(-1, 5, len(CENTRES))[..., :61], atol=2e-3, rtol=0)


def test_no_bin_comes_out_louder_than_full_scale(tiles: Tiles) -> None:
    assert tiles.inverse_transform(50 * torch.randn(3, tiles.shape.dim)).max() == 0


def test_a_tone_comes_back_as_it_was_heard() -> None:
    """Log-mel spectra, -60 dB and up, of tones that the axes were fitted on: within 3 dB on average."""
    tones = [tone(frequency) for frequency in (110, 220, 261.6, 329.6, 440, 880)]
    tiles = fitted(tones, dims=64)
    waveform = tones[2]
    decoder = tiles.decoder()
    again = torch.cat([decoder.push(tiles.transform(waveform)[None]), decoder.finish()], dim=-1)[0]
    assert again.shape == (4 * BLOCK_SIZE,)

    def heard(samples: torch.Tensor) -> np.ndarray:
        inner = samples[BLOCK_SIZE // 4 : -BLOCK_SIZE // 4].numpy()
        mel = librosa.feature.melspectrogram(y=inner, sr=SAMPLE_RATE, n_fft=4096, hop_length=1024, n_mels=64, fmin=60)
        levels: np.ndarray = librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None)
        return levels

    truth = heard(waveform[MARGINS[0] : -MARGINS[1]])
    floor = truth.max() - 60
    assert np.abs(np.maximum(heard(again), floor) - np.maximum(truth, floor)).mean() < 3


def test_blocks_pushed_one_by_one_run_on_without_a_seam(tiles: Tiles, melodies: list[torch.Tensor]) -> None:
    """Two clips, to show that they do not mix; magnitudes as close as in one push, to 1.5 dB."""
    waveforms = torch.stack([melodies[0][: 6 * BLOCK_SIZE + sum(MARGINS)]] * 2)
    waveforms[1] = tone(330, 6)
    elements = tiles.transform(waveforms)
    wanted = tiles.inverse_transform(elements)
    stream = tiles.decoder()
    pieces = [stream.push(elements[:, n : n + 1]) for n in range(6)] + [stream.finish()]
    again = torch.cat(pieces, dim=-1)
    assert again.shape == (2, 6 * BLOCK_SIZE)
    assert all(piece.shape[-1] <= BLOCK_SIZE + 10 * 441 for piece in pieces)

    def convergence(waveform: torch.Tensor) -> torch.Tensor:
        magnitude = to_tiles(F.pad(waveform, TILE_MARGINS)).exp()
        off = (magnitude - wanted.exp()).flatten(1).norm(dim=1) / wanted.exp().flatten(1).norm(dim=1)
        return 20 * off.log10()

    assert (convergence(again) < convergence(from_tiles(wanted)) + 1.5).all()
    steps = again.diff().abs()
    assert (steps[:, BLOCK_SIZE - 1 :: BLOCK_SIZE].mean(1) < 2 * steps.mean(1)).all()


def test_a_decoder_does_not_grow(tiles: Tiles) -> None:
    """What it holds after 3 blocks and after 12 is as large."""
    decoder = tiles.decoder()

    def held() -> int:
        return sum(t.numel() for t in vars(decoder._recovery).values() if isinstance(t, torch.Tensor))  # type: ignore[attr-defined]

    sizes = []
    for _ in range(12):
        decoder.push(torch.zeros(1, 1, tiles.shape.dim))
        sizes.append(held())
    assert sizes[2] == sizes[-1] > 0


def bands_of(tiles: Tiles, elements: torch.Tensor) -> torch.Tensor:
    """(..., n_blocks, dim) -> (..., n_blocks * 25, N_BANDS), straight from the axes."""
    sound = tiles.shape.sound(tiles.shape.slices(elements))
    slices = (sound * tiles.scale_) @ tiles.axes_.T / tiles.weights + tiles.mean_
    return from_levels(slices.reshape(*elements.shape[:-2], -1, len(CENTRES)))


def whole() -> Tiles:
    """Axes that keep every number: what comes out is what went in."""
    return Tiles(TileSettings(dims=SLICE_SIZE, transpose=12, gain=0.0))


@pytest.mark.parametrize("semitones", [-12, -5, 1, 7, 12])
def test_varying_moves_a_tone_by_semitones(semitones: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([semitones, 0]))
    tiles = whole()
    frequency = 2000.0  # where bands lie a third of a semitone apart
    moved, kept = bands_of(tiles, tiles.vary(tone(frequency, 2, 1).expand(2, -1)))
    centres = np.array(CENTRES)
    wanted = frequency * 2 ** (semitones / 12)
    width = max(SAMPLE_RATE / 2048, wanted / 36)
    assert np.all(np.abs(centres[moved.argmax(-1)] - wanted) <= width)
    assert np.all(np.abs(centres[kept.argmax(-1)] - frequency) <= frequency / 36)
    torch.testing.assert_close(moved.amax(-1), kept.amax(-1), atol=0.25, rtol=0)  # 2 dB: bands of some bins and of one


def test_varying_is_by_all_semitones_and_gains_by_decibels(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []
    drawn = torch.randint
    monkeypatch.setattr(torch, "randint", lambda *a, **k: (asked.append(a[:2]), drawn(*a, **k))[1])
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: torch.tensor([[-1.0], [0.0], [2.0]]))
    tiles = Tiles(TileSettings(dims=SLICE_SIZE, transpose=0, gain=3.0))
    quiet, plain, loud = bands_of(tiles, tiles.vary(tone(440, 2).expand(3, -1)))
    heard = plain > np.log(1e-4)
    nepers = np.log(10) / 20
    torch.testing.assert_close((quiet - plain)[heard], torch.full((int(heard.sum()),), -3 * nepers), atol=1e-3, rtol=0)
    torch.testing.assert_close((loud - plain)[heard], torch.full((int(heard.sum()),), 6 * nepers), atol=1e-3, rtol=0)
    tiles.settings = TileSettings(dims=SLICE_SIZE, transpose=2)
    tiles.vary(tone(440, 1).expand(3, -1))
    assert asked == [(0, 1), (-2, 3)]  # the upper end is left out


def test_keys_are_heard_where_the_piano_is_struck_and_as_it_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two keys of the sampled piano, a second apart; all that is heard is what is played, in the very slice."""
    steinway = pytest.importorskip("waveforms.piano.steinway").Steinway()
    notes = (Note(0.52, 0.9, 60, 80), Note(1.52, 0.9, 67, 80))
    waveform = F.pad(torch.from_numpy(render(Performance("two", notes), steinway)[: 12 * BLOCK_SIZE]), MARGINS)
    tiles = whole()

    def struck(elements: torch.Tensor) -> list[list[int]]:
        """In the first two seconds: (slice, key)."""
        return tiles.shape.keys(tiles.shape.slices(elements[:8])).flatten(0, 1).nonzero().tolist()

    assert struck(tiles.transform(waveform)) == [[10, 60 - 21], [30, 67 - 21]]
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([-2]))
    assert struck(tiles.vary(waveform[None])[0]) == [[10, 58 - 21], [30, 65 - 21]]


def test_without_variation_varying_is_transforming(melodies: list[torch.Tensor]) -> None:
    tiles = fitted(melodies, dims=24, transpose=0, gain=0.0)
    waveforms = melodies[0][None]
    torch.testing.assert_close(tiles.vary(waveforms), tiles.transform(waveforms), atol=1e-4, rtol=0)


def test_statistics_of_two_processes_are_those_of_one(tiles: Tiles, melodies: list[torch.Tensor]) -> None:
    barrier = threading.Barrier(2)
    parts: dict[int, torch.Tensor] = {}
    both = [Tiles(TileSettings(dims=24)) for _ in range(2)]

    def fit(rank: int) -> None:
        def total(part: torch.Tensor) -> torch.Tensor:
            parts[rank] = part
            barrier.wait()
            summed = parts[0] + parts[1]
            barrier.wait()
            return summed

        both[rank].fit(melodies[rank::2], total)

    threads = [threading.Thread(target=fit, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, buffer in both[0].state_dict().items():
        assert torch.equal(buffer, both[1].state_dict()[name])
        torch.testing.assert_close(buffer, tiles.state_dict()[name], atol=1e-4, rtol=1e-4)
