"""Train the transcriber of `waveforms.notes` on music whose notes are known, on several pianos, in many rooms.

    python tools/train_transcriber.py FOLDER --midi PERFORMANCES --pianos SALAMANDER SPLENDID FLUID

renders the examples into FOLDER (two gigabytes, half an hour on one core; existing ones stay), trains for an hour,
writes `waveforms/notes/transcriber.safetensors`, and reports how well it transcribes held-out works, on the sampled
Steinway and on the pianos that `--unseen` names. `waveforms/notes/transcriber.md` lists the sources of the data.

Augmentation transposes and detunes each excerpt, filters it, changes its loudness, and adds noise.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from transcriber_examples import SampledPiano, held_out_performances, make_examples

from pipeline.distributed import keep_freed_memory
from waveforms.notes import N_KEYS, Notes
from waveforms.notes.events import match
from waveforms.notes.network import CONTEXT, Network
from waveforms.notes.performance import LOWEST_PITCH
from waveforms.notes.spectrogram import (
    BINS_PER_SEMITONE,
    FRAMES_PER_SECOND,
    N_BINS,
    SHORT_PER_FRAME,
    from_magnitudes,
    to_magnitudes,
)
from waveforms.notes.tracking import ONSET_REACH
from waveforms.notes.transcriber import WEIGHTS, transcribe
from waveforms.piano.render import render
from waveforms.piano.steinway import Steinway

BATCH, N_FRAMES = 2, 240  # excerpts of 4.8 s
RATE, DECAY = 2e-3, 0.01
SEMITONES = 4  # the most that an excerpt is transposed by; a third of one is the most that it is out of tune
COLOUR = (0.5, 0.3, 0.2, 0.15)  # nepers: std of the first cosines over the frequency axis
GAIN = 0.7  # nepers, at most
NOISE = (-11.0, -6.0)  # nepers re full scale, in each bin
ONLY_NOISE = 0.03  # share of the excerpts
LOSSES, ONSET_WEIGHT, VELOCITY_WEIGHT = ("onsets", "velocities", "sounding"), 4.0, 200.0
STEPS = 2700


class Examples:
    """The examples of a folder, each sampled in proportion to its length."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        paths = sorted(folder.glob("*.notes.npy"))
        self._notes = [np.load(path) for path in paths]
        self._views = [np.load(str(path).replace(".notes.", ".views."), mmap_mode="r") for path in paths]
        lengths = np.array([len(views) for views in self._views], np.float64)
        self._shares = lengths / lengths.sum()
        self._rng = rng
        print(f"{len(paths)} examples, {lengths.sum() / FRAMES_PER_SECOND / 3600:.2f} h", flush=True)

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sample views, (BATCH, n, SHORT_PER_FRAME + 1, N_BINS) with CONTEXT; targets and weights, see `_targets`."""
        rows = [self._excerpt(int(index)) for index in self._rng.choice(len(self._notes), BATCH, p=self._shares)]
        views, targets, weights = (torch.stack(parts) for parts in zip(*rows, strict=True))
        return views, targets, weights

    def _excerpt(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        source, notes = self._views[index], self._notes[index]
        first = int(self._rng.integers(-CONTEXT, max(1, len(source) - N_FRAMES)))
        n_all = N_FRAMES + 2 * CONTEXT
        views = np.zeros((n_all, *source.shape[1:]), np.float32)
        start, stop = max(0, first - CONTEXT), min(len(source), first - CONTEXT + n_all)
        views[start - first + CONTEXT :][: stop - start] = source[start:stop]
        semitones = int(self._rng.integers(-SEMITONES, SEMITONES + 1))
        bins = BINS_PER_SEMITONE * semitones + self._rng.uniform(-0.5, 0.5)
        moved = varied(torch.from_numpy(views), bins, self._rng)
        if self._rng.random() < ONLY_NOISE:
            return _noise_added(torch.zeros_like(moved), self._rng), *_targets(notes[:0], first, 0)
        return _noise_added(moved, self._rng), *_targets(notes, first, semitones)


def varied(views: Tensor, bins: float, rng: np.random.Generator) -> Tensor:
    """Transpose by some bins and filter; (n, SHORT_PER_FRAME + 1, N_BINS), compressed -> magnitudes."""
    whole = math.floor(bins)
    reach = BINS_PER_SEMITONE * (SEMITONES + 1)
    padded = F.pad(views, (reach, reach))
    near, far = (padded[..., reach - move : reach - move + N_BINS] for move in (whole, whole + 1))
    places = math.pi * torch.arange(N_BINS) / N_BINS
    colour = torch.full((N_BINS,), float(rng.uniform(-GAIN, GAIN)))
    for n, std in enumerate(COLOUR, start=1):
        colour += std * float(rng.standard_normal()) * (n * places + float(rng.uniform(0, math.pi))).cos()
    return to_magnitudes(torch.lerp(near, far, bins - whole)) * colour.exp()


def _noise_added(magnitudes: Tensor, rng: np.random.Generator) -> Tensor:
    """Add coloured noise, whose power in a bin has an exponential distribution; magnitudes -> compressed."""
    level, tilt = rng.uniform(*NOISE), rng.uniform(-2.0, 1.0)
    floor = (level + tilt * torch.linspace(-0.5, 0.5, N_BINS)).exp()
    noise = torch.empty_like(magnitudes).exponential_()
    return from_magnitudes((magnitudes.square() + noise * floor.square()).sqrt())


def _targets(notes: NDArray[np.float64], first: int, semitones: int) -> tuple[Tensor, Tensor]:
    """Make the network's targets for N_FRAMES frames from `first` on.

    Returns:
        (N_FRAMES, N_KEYS, 3) height of the onset, velocity as a share of 127, share of the frame that sounds;
        (N_FRAMES, N_KEYS) weights of the velocities.
    """
    targets = np.zeros((N_FRAMES, N_KEYS, 3), np.float32)
    centres = np.arange(N_FRAMES) + 0.5
    for onset, offset, pitch, velocity in notes:
        start, stop = onset * FRAMES_PER_SECOND - first, offset * FRAMES_PER_SECOND - first
        key = int(pitch) - LOWEST_PITCH + semitones
        if stop < 0 or start > N_FRAMES + ONSET_REACH or not 0 <= key < N_KEYS:
            continue
        low, high = max(0, math.floor(start)), max(0, math.ceil(stop))
        covered = np.clip(np.minimum(stop, centres[low:high] + 0.5) - np.maximum(start, centres[low:high] - 0.5), 0, 1)
        targets[low:high, key, 2] += covered
        low, high = max(0, math.floor(start - ONSET_REACH)), max(0, math.ceil(start + ONSET_REACH))
        height = np.clip(1 - np.abs(centres[low:high] - start) / ONSET_REACH, 0, 1)
        nearer = height > targets[low:high, key, 0]
        targets[low:high, key, 0] = np.where(nearer, height, targets[low:high, key, 0])
        targets[low:high, key, 1] = np.where(nearer, velocity / 127, targets[low:high, key, 1])
    targets[..., 2] = targets[..., 2].clip(0, 1)
    return torch.from_numpy(targets), torch.from_numpy(targets[..., 0].copy())


def loss_of(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the losses of onsets, velocities (weighted squared error) and sounding, in nats a frame."""
    n = logits.shape[0] * logits.shape[1]
    onset = F.binary_cross_entropy_with_logits(logits[..., 0], targets[..., 0], reduction="sum") / n
    velocity = (weights * (logits[..., 1].sigmoid() - targets[..., 1]).square()).sum() / n
    sounding = F.binary_cross_entropy_with_logits(logits[..., 2], targets[..., 2], reduction="sum") / n
    return ONSET_WEIGHT * onset, VELOCITY_WEIGHT * velocity, sounding


def train(folder: Path, n_steps: int) -> None:
    """Train a network from scratch, and write its weights in float16 every few minutes."""
    torch.manual_seed(0)
    examples = Examples(folder, np.random.default_rng(0))
    network = Network()
    with torch.no_grad():
        network.heads.bias.copy_(torch.tensor([-5.0, 0.0, -3.0]))  # onsets are rare, and few keys sound
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, n_steps, pct_start=0.05)
    means = np.zeros(3)
    for step in range(1, n_steps + 1):
        views, targets, weights = examples.batch()
        short, long = views[:, :, :SHORT_PER_FRAME].flatten(1, 2), views[:, :, SHORT_PER_FRAME]
        logits, _ = network(short, long)
        losses = loss_of(logits, targets, weights)
        sum(losses).backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        means += (np.array([loss.item() for loss in losses]) - means) * max(0.02, 1 / step)
        if step % 20 == 0:
            losses_so_far = ", ".join(f"{name} {mean:.3f}" for name, mean in zip(LOSSES, means, strict=True))
            print(f"\rstep {step} of {n_steps}: {losses_so_far}", end="" if step % 200 else "\n", flush=True)
        if step % 200 == 0 or step == n_steps:
            save_file({name: weight.half().contiguous() for name, weight in network.state_dict().items()}, WEIGHTS)


def report(midi: Path | None, unseen: Sequence[Path]) -> None:
    """Print how well held-out works are transcribed, piano by piano."""
    performances = list(held_out_performances(midi))
    for name, piano in {"steinway": Steinway(), **{path.name: SampledPiano(path) for path in unseen}}.items():
        scores = []
        for performance in performances:
            played = Notes.of_performance(performance)
            found = transcribe(render(performance, piano))
            scores.append(2 * len(match(played, found)) / (len(played) + len(found)))
        print(f"{name}: F1 of onsets {np.mean(scores):.3f}, from {min(scores):.3f} to {max(scores):.3f}")


def main() -> None:
    """Render examples, train, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="for the examples")
    parser.add_argument("--midi", type=Path, help="folder of performances as MIDI files")
    parser.add_argument("--pianos", type=Path, nargs="*", default=[], help="folders of other sampled pianos")
    parser.add_argument("--unseen", type=Path, nargs="*", default=[], help="the same, for the report alone")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps (default: {STEPS})")
    args = parser.parse_args()
    keep_freed_memory()
    make_examples(args.folder, args.midi, args.pianos)
    train(args.folder, args.steps)
    report(args.midi, args.unseen)


if __name__ == "__main__":
    main()
