r"""Waveform <-> blocks, and the lapped joins between blocks.

A block is BLOCK_SIZE samples. With a *lap* of L samples every block also reaches L/2 samples past each of its
edges, and neighbours cross-fade there:

    gain
     1 |    ______________    ______________
       |   /              \  /              \
       |  /                \/                \
       | /                 /\                 \
     0 |/_________________/  \_________________\___ time
          |<- BLOCK_SIZE ->|
         |<->| lap (centred on the edge)

The window is applied twice, when cutting and when joining, so it is *power-complementary*: its squares, and not
its values, add to one (Princen & Bradley 1986). Joining what was cut gives the waveform back exactly; joining
blocks that a model made cross-fades them. A lap of 0 is the hard join.
"""

import math

import torch
from torch import Tensor

from waveforms import BLOCK_SIZE, n_blocks_of


def margins(lap: int) -> tuple[int, int]:
    """Samples that blocks of this lap need before the first and after the last of them."""
    return lap // 2, lap - lap // 2


def extend(waveform: Tensor, *, lap: int = 0) -> Tensor:
    """Complete a whole waveform with zeros to whole blocks and their margins.

    Shape:
        (..., n_samples) -> (..., n_blocks * BLOCK_SIZE + lap), n_blocks = ceil(n_samples / BLOCK_SIZE)
    """
    missing = n_blocks_of(waveform.shape[-1]) * BLOCK_SIZE - waveform.shape[-1]
    before, after = margins(lap)
    return torch.nn.functional.pad(waveform, (before, missing + after))


def window(lap: int, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
    """The gain of a lapped block: a quarter sine up, ones, a quarter sine down.

    Shape:
        (BLOCK_SIZE + lap,)
    """
    angle = (torch.arange(lap, dtype=torch.float64) + 0.5) * (math.pi / 2 / max(lap, 1))
    flat = torch.ones(BLOCK_SIZE - lap, dtype=torch.float64)
    return torch.cat([angle.sin(), flat, angle.cos()]).to(device=device, dtype=dtype)


def cut(extended: Tensor, *, lap: int = 0) -> Tensor:
    """Cut an extended waveform into windowed blocks. The inverse is `join`.

    Args:
        extended: whole blocks with the lap's margins around them: see `extend` for a whole waveform; a stretch from
            the middle of a recording brings its own neighbours.
        lap: samples by which neighbouring blocks share, 0 to BLOCK_SIZE.

    Shape:
        (..., n_blocks * BLOCK_SIZE + lap) -> (..., n_blocks, BLOCK_SIZE + lap)
    """
    blocks = extended.unfold(-1, BLOCK_SIZE + lap, BLOCK_SIZE)
    return blocks * window(lap, dtype=extended.dtype, device=extended.device) if lap else blocks


def join(blocks: Tensor, *, lap: int = 0) -> Tensor:
    """Cross-fade blocks into a waveform. The inverse of `cut`, the margins left off.

    Shape:
        (..., n_blocks, BLOCK_SIZE + lap) -> (..., n_blocks * BLOCK_SIZE)
    """
    joiner = Joiner(lap)
    return torch.cat([joiner.push(blocks), joiner.finish()], dim=-1)


class Joiner:
    """`join` for blocks that arrive a few at a time: constant memory, whatever the length.

    The half-laps at the very beginning and end have no neighbour to fade with. There the squared window alone is
    left, at least 1/2, and is divided out, so they too come back exactly.
    """

    def __init__(self, lap: int = 0) -> None:
        self.lap = lap
        self._tail: Tensor | None = None  # (..., lap): the end of the last block, still to be shared

    def push(self, blocks: Tensor) -> Tensor:
        """Take the next blocks, give the samples that they complete.

        Shape:
            (..., n_blocks, BLOCK_SIZE + lap) -> (..., n_blocks * BLOCK_SIZE), half a lap fewer at the first call
        """
        if not self.lap:  # nothing to share: what follows would come to the same, block by block
            self._tail = blocks[..., -1, BLOCK_SIZE:]
            return blocks.flatten(-2)
        gain = window(self.lap, dtype=blocks.dtype, device=blocks.device)
        before, _ = margins(self.lap)
        faded = blocks * gain
        pieces = []
        for block in faded.unbind(-2):
            if self._tail is None:
                start = block[..., before : self.lap] / gain[before : self.lap].square()
            else:
                start = self._tail + block[..., : self.lap]
            pieces += [start, block[..., self.lap : BLOCK_SIZE]]
            self._tail = block[..., BLOCK_SIZE:]
        return torch.cat(pieces, dim=-1)

    def finish(self) -> Tensor:
        """Give the last samples, up to the edge of the last block: half a lap of them."""
        if self._tail is None:
            return torch.zeros(0)
        before, _ = margins(self.lap)
        gain = window(self.lap, dtype=self._tail.dtype, device=self._tail.device)
        return self._tail[..., :before] / gain[BLOCK_SIZE : BLOCK_SIZE + before].square()
