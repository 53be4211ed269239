"""Teach the listener of `waveforms.keys` which keys are struck: pieces played by the sampled piano, every note known.

    python tools/teach_listener.py [--midi FOLDER]     about ten minutes on one core

writes `waveforms/keys.safetensors` and says how well it hears pieces that it was not taught with. Works that the
checkpoint which comes along holds out are held out here, too.

So that it hears other pianos in other rooms, each piece comes as if higher or lower, out of tune, through a microphone
that colours, and with noise under it.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from waveforms import SAMPLE_RATE
from waveforms.bands import CENTRES, to_bands, transposition
from waveforms.keys import (
    FRAMES_PER_SLICE,
    LIKELY,
    LOWEST_KEY,
    N_KEYS,
    SLICE_SAMPLES,
    WEIGHTS,
    Listener,
    with_neighbours,
)
from waveforms.notes.midi import find_midi_files, read_midi
from waveforms.notes.performance import Performance
from waveforms.piano.performer import perform
from waveforms.piano.pieces import first_pieces
from waveforms.piano.render import render
from waveforms.piano.steinway import Steinway
from waveforms.spectra import TILE_MARGINS, to_frames

N_PIECES, LONGEST = 400, 180  # of the demo corpus, every third is played; seconds of each that are listened to
HELD_OUT = (
    *("johnson_lift", "handel_lascia", "dichterliebe_2", "bwv244_54"),
    *("chopin_etudes_op10", "scarlatti_keyboard_sonata_in_f_minor", "debussy_suite_bergamasque_xakeiyjjtkk_cut_no_4"),
)
STEPS, BATCH, RATE = 12_000, 512, 1e-3
SEMITONES, TENTHS = 4, 2  # moved by at most so many; out of tune by at most so many tenths of one
COLOUR = (0.5, 0.3, 0.2, 0.15)  # nepers: deviations of the first cosines over the logarithm of frequency
FLOOR = (4.0, 10.0)  # nepers below the loudest band, where noise lies
GRAIN = 0.2  # nepers, noise on every band, at most


def main() -> None:
    """Play, teach, test, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--midi", type=Path, help="a folder of MIDI files to be played, too")
    torch.manual_seed(0)
    taught: list[tuple[Tensor, Tensor]] = []
    tested: list[tuple[Tensor, Tensor]] = []
    steinway = Steinway()
    for performance in _performances(parser.parse_args().midi):
        (tested if any(name in performance.name for name in HELD_OUT) else taught).append(_heard(performance, steinway))
        print(f"\r{len(taught) + len(tested)} pieces played", end="", flush=True)
    listener = _teach(taught)
    keys = torch.cat([struck for _, struck in tested])
    with torch.no_grad():
        logits = torch.cat([listener.eval()(with_neighbours(bands.float())) for bands, _ in tested])
    found = logits > math.log(LIKELY / (1 - LIKELY))
    right = (found & keys).sum()
    print(f"\nheld out: precision {right / found.sum():.3f}, recall {right / keys.sum():.3f}, in the very slice")
    save_file({name: weight.half().contiguous() for name, weight in listener.state_dict().items()}, WEIGHTS)


def _performances(midi: Path | None) -> Iterator[Performance]:
    for piece in first_pieces(N_PIECES)[::3]:
        yield perform(piece.score, piece.work.style, name=piece.name, seed=0)
    for path in find_midi_files(midi)[0] if midi else ():
        yield read_midi(path)


def _heard(performance: Performance, steinway: Steinway) -> tuple[Tensor, Tensor]:
    """Bands of all slices and of one more at either end, and the keys struck in each.

    Returns:
        (n_slices + 2, FRAMES_PER_SLICE, N_BANDS) float16, (n_slices, N_KEYS) bool
    """
    waveform = torch.from_numpy(render(performance, steinway))
    n_slices = min(len(waveform), LONGEST * SAMPLE_RATE) // SLICE_SAMPLES
    struck = torch.zeros(n_slices, N_KEYS, dtype=torch.bool)
    for note in performance.notes:
        if (at := int(note.onset * SAMPLE_RATE) // SLICE_SAMPLES) < n_slices:
            struck[at, note.pitch - LOWEST_KEY] = True
    margins = [margin + SLICE_SAMPLES for margin in TILE_MARGINS]
    frames = to_frames(F.pad(waveform[: n_slices * SLICE_SAMPLES], margins))
    bands = to_bands(frames.real.square() + frames.imag.square())
    return bands.reshape(n_slices + 2, FRAMES_PER_SLICE, -1).half(), struck


def _teach(taught: list[tuple[Tensor, Tensor]]) -> Listener:
    bands = torch.cat([with_neighbours(bands) for bands, _ in taught])
    struck = torch.cat([keys for _, keys in taught])
    listener = Listener()
    torch.nn.init.constant_(listener.leave.bias, -4.0)  # few keys are struck in 50 ms
    optimiser = torch.optim.AdamW(listener.parameters(), RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS, pct_start=0.01)
    for step in range(1, STEPS + 1):
        chosen = torch.randint(len(bands), (BATCH,))
        around, keys = _varied(bands[chosen].float(), struck[chosen].float())
        with torch.autocast("cpu", torch.bfloat16):
            logits = listener(around)
        loss = F.binary_cross_entropy_with_logits(logits.float(), keys, reduction="sum") / BATCH
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if step % 100 == 0:
            print(f"\rstep {step} of {STEPS}: {loss.item():.3f} nats a slice", end="", flush=True)
    return listener


def _varied(around: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """As another piano might sound elsewhere; (BATCH, CONTEXT * FRAMES_PER_SLICE, N_BANDS), (BATCH, N_KEYS)."""
    semitones = int(torch.randint(-SEMITONES, SEMITONES + 1, ()))
    tenths = int(torch.randint(-TENTHS, TENTHS + 1, ()))
    around = around @ transposition(semitones + tenths / 10, around.device)
    keys = F.pad(keys, (SEMITONES, SEMITONES))[:, SEMITONES - semitones :][:, :N_KEYS]
    places = torch.tensor(CENTRES).clamp(min=20).log2()
    places = math.pi * (places - places[0]) / (places[-1] - places[0])
    colours = torch.stack([deviation * (n * places).cos() for n, deviation in enumerate(COLOUR, start=1)])
    around = around + (torch.randn(len(around), len(colours)) @ colours)[:, None]
    lowest, highest = FLOOR
    below = lowest + (highest - lowest) * torch.rand(len(around), 1, 1)
    around = torch.logaddexp(2 * around, 2 * (around.amax((1, 2), keepdim=True) - below)) / 2
    return around + GRAIN * torch.rand(len(around), 1, 1) * torch.randn_like(around), keys


if __name__ == "__main__":
    main()
