"""The transcriber's network: spectrograms -> onset, velocity and probability to sound, for each key and frame.

    short view -> 3 semitone bins x 2 hops -> \\
    long view  -> 3 semitone bins          -> / features of each semitone
      -> gather each key's harmonics -> 100 ms of time -> gather related keys -> pool over all keys
      -> 180 ms of time -> a GRU along time, shared by all keys -> three numbers a key

All keys share their weights, moved along the frequency axis, as in "HPPNet: modeling the harmonic
structure and pitch invariance in piano transcription" (Wei, Li, Yu & Li, ISMIR 2022); onsets are triangles whose peaks
lie between frames, as in "High-resolution piano transcription with pedals by regressing onset and offset times" (Kong,
Li, Song, Wan & Wang, TASLP 2021).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from waveforms.notes.performance import N_KEYS
from waveforms.notes.spectrogram import BINS_PER_SEMITONE, SHORT_PER_FRAME

CONTEXT = 7  # frames of context before and after the output's: 140 ms
# Semitones from a key to its harmonics 1 to 10, and to the keys whose second and third harmonic it is.
HARMONICS = (0, 12, 19, 24, 28, 31, 34, 36, 38, 40, -12, -19)
RELATED = (-24, -19, -12, -1, 0, 1, 12, 19, 24)  # keys that share harmonics, and neighbours
FEATURES, WIDTH, SHARED = 24, 40, 20
SCALE = 0.25  # brings compressed magnitudes close to 1


class Network(nn.Module):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        width = 2 * BINS_PER_SEMITONE + 1
        self.short = nn.Conv2d(
            1, FEATURES // 2, (3 * SHORT_PER_FRAME, width), (SHORT_PER_FRAME, BINS_PER_SEMITONE),
            padding=(0, BINS_PER_SEMITONE - 1),
        )  # fmt: skip
        self.long = nn.Conv2d(1, FEATURES // 2, (3, width), (1, BINS_PER_SEMITONE), padding=(0, BINS_PER_SEMITONE - 1))
        self.harmonics = nn.Linear(FEATURES * len(HARMONICS), WIDTH)
        self.register = nn.Parameter(torch.zeros(N_KEYS, WIDTH))
        self.soon = nn.Conv2d(WIDTH, WIDTH, (5, 1))
        self.shared = nn.Linear(WIDTH, SHARED)
        self.related = nn.Linear(SHARED * len(RELATED), WIDTH)
        self.everything = nn.Linear(2 * WIDTH, WIDTH)
        self.later = nn.Conv2d(WIDTH, WIDTH, (5, 1), dilation=(2, 1))
        self.recurrent = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.heads = nn.Linear(2 * WIDTH, 3)

    def forward(self, short: Tensor, long: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute logits of onset, velocity (as a share of 127) and sounding, and the next hidden state.

        Shape:
            short: (batch, SHORT_PER_FRAME * (n_frames + 2 * CONTEXT), N_BINS)
            long: (batch, n_frames + 2 * CONTEXT, N_BINS)
            state: (1, batch * N_KEYS, WIDTH), the hidden state; None at the beginning
                -> (batch, n_frames, N_KEYS, 3), the state
        """
        views = self.short(SCALE * short[:, None]), self.long(SCALE * long[:, None])
        x = F.relu(torch.cat(views, dim=1)).permute(0, 2, 3, 1)  # (batch, time, N_SEMITONES, FEATURES)
        x = F.relu(self.harmonics(_gathered(x, HARMONICS)) + self.register)
        x = x[:, 2:-2] + _along_time(self.soon, x)
        x = x + F.relu(self.related(_gathered(self.shared(x), RELATED)))
        x = x + F.relu(self.everything(torch.cat((x.mean(2, keepdim=True), x.amax(2, keepdim=True)), dim=-1)))
        x = x[:, 4:-4] + _along_time(self.later, x)
        n_batch, n_frames = x.shape[:2]
        by_key = x.transpose(1, 2).reshape(n_batch * N_KEYS, n_frames, WIDTH)
        hidden, state = self.recurrent(by_key, state)
        hidden = hidden.reshape(n_batch, N_KEYS, n_frames, WIDTH).transpose(1, 2)
        return self.heads(torch.cat((x, hidden), dim=-1)), state


class _Gathered(torch.autograd.Function):
    """Views side by side. The backward pass of `torch.cat` would fill and add a whole tensor for each view."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, offsets: Sequence[int]) -> Tensor:
        n_batch, n_frames, n_semitones, width = x.shape
        ctx.offsets, ctx.shape = offsets, x.shape
        gathered = x.new_zeros(n_batch, n_frames, N_KEYS, len(offsets), width)
        for n, (to, at) in enumerate(_overlaps(offsets, n_semitones)):
            gathered[:, :, to, n] = x[:, :, at]
        return gathered.flatten(-2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grads = grad.reshape(*grad.shape[:-1], len(ctx.offsets), -1)
        total = grad.new_zeros(ctx.shape)
        for n, (to, at) in enumerate(_overlaps(ctx.offsets, ctx.shape[2])):
            total[:, :, at] += grads[:, :, to, n]
        return total, None


def _overlaps(offsets: Sequence[int], n_semitones: int) -> Iterator[tuple[slice, slice]]:
    """Yield, for each offset, the keys that have a value there, and where their values are."""
    for offset in offsets:
        first, beyond = max(0, -offset), min(N_KEYS, n_semitones - offset)
        yield slice(first, beyond), slice(first + offset, beyond + offset)


def _gathered(x: Tensor, offsets: Sequence[int]) -> Tensor:
    """Gather the features at some offsets from each key, in semitones; 0 beyond the axis.

    Shape:
        (batch, time, n_semitones or N_KEYS, width) -> (batch, time, N_KEYS, len(offsets) * width)
    """
    gathered: Tensor = _Gathered.apply(x, offsets)  # type: ignore[no-untyped-call]
    return gathered


def _along_time(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve along time: (batch, time, N_KEYS, WIDTH) -> the same with fewer frames; channels stay last in memory."""
    return F.relu(convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
