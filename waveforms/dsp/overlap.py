r"""Waveform <-> blocks that overlap and cross-fade.

With an *overlap* of L samples every block also reaches L/2 samples past each of its edges, and neighbours
cross-fade there:

    gain
     1 |    ______________    ______________
       |   /              \  /              \
       |  /                \/                \
       | /                 /\                 \
     0 |/_________________/  \_________________\___ time
          |<- block_size ->|
         |<->| overlap (centred on the edge)

The window is applied twice, when cutting and when joining, so it is *power-complementary*: its squares, and not
its values, add to one (Princen & Bradley 1986). Joining the blocks of a waveform restores it exactly; joining
blocks that a model made cross-fades them. An overlap of 0 is the hard join.
"""

import math

import torch
from torch import Tensor


def context_padding(overlap: int) -> tuple[int, int]:
    """Count the samples that overlapping blocks need before the first and after the last of them.

    >>> context_padding(601)
    (300, 301)
    """
    return overlap // 2, overlap - overlap // 2


def window(block_size: int, overlap: int, like: Tensor) -> Tensor:
    """Make the gain of an overlapping block: a quarter sine up, ones, a quarter cosine down.

    Args:
        block_size: the distance from block to block.
        overlap: the samples that neighbours share, 0 to block_size.
        like: a tensor whose type and device the window gets.

    Shape:
        -> (block_size + overlap,)
    """
    angle = (torch.arange(overlap, dtype=torch.float64) + 0.5) * (math.pi / 2 / max(overlap, 1))
    flat = torch.ones(block_size - overlap, dtype=torch.float64)
    return torch.cat([angle.sin(), flat, angle.cos()]).to(like)


def to_blocks(padded: Tensor, block_size: int, overlap: int = 0) -> Tensor:
    """Cut a waveform into windowed blocks. The inverse is `Joiner`.

    Args:
        padded: whole blocks with `context_padding(overlap)` around them. An excerpt from the middle of a recording
            brings its own neighbours; zeros surround a whole recording.
        block_size: the distance from block to block.
        overlap: the samples that neighbours share, 0 to block_size.

    Shape:
        (..., n_blocks * block_size + overlap) -> (..., n_blocks, block_size + overlap)

    >>> to_blocks(torch.arange(6), block_size=2)
    tensor([[0, 1],
            [2, 3],
            [4, 5]])
    """
    blocks = padded.unfold(-1, block_size + overlap, block_size)
    return blocks * window(block_size, overlap, padded) if overlap else blocks


class Joiner:
    """Cross-fades blocks into a waveform, a few blocks at a time, in constant memory. The inverse of `to_blocks`.

    The first and the last half of an overlap have no neighbour to fade with. Only the squared window is left there,
    at least 1/2, and is divided out, so these samples too come back exactly.

    >>> joiner = Joiner(overlap=2)
    >>> blocks = to_blocks(torch.tensor([0.0, 1, 2, 3, 4, 0]), block_size=2, overlap=2)
    >>> torch.cat([joiner.push(blocks), joiner.finish()]).round(decimals=4)
    tensor([1., 2., 3., 4.])
    """

    def __init__(self, overlap: int = 0) -> None:
        self.overlap = overlap
        self._tail: Tensor | None = None  # (..., overlap): the end of the last block, which the next one shares
        self._gain = torch.zeros(0)  # the window of a block

    def push(self, blocks: Tensor) -> Tensor:
        """Take the next blocks and return the samples that they complete.

        Shape:
            (..., n_blocks, block_size + overlap) -> (..., n_blocks * block_size), overlap // 2 fewer at the first call
        """
        block_size = blocks.shape[-1] - self.overlap
        if not self.overlap:  # the loop below would return the same, block by block
            self._tail = blocks[..., -1, block_size:]
            return blocks.flatten(-2)
        self._gain = window(block_size, self.overlap, blocks)
        before, _ = context_padding(self.overlap)
        pieces = []
        for block in (blocks * self._gain).unbind(-2):
            if self._tail is None:
                start = block[..., before : self.overlap] / self._gain[before : self.overlap].square()
            else:
                start = self._tail + block[..., : self.overlap]
            pieces += [start, block[..., self.overlap : block_size]]
            self._tail = block[..., block_size:]
        return torch.cat(pieces, dim=-1)

    def finish(self) -> Tensor:
        """Return the last samples, up to the edge of the last block: overlap // 2 of them."""
        if self._tail is None:
            return torch.zeros(0)
        before, _ = context_padding(self.overlap)
        falling = self._gain[len(self._gain) - self.overlap :]
        return self._tail[..., :before] / falling[:before].square()
