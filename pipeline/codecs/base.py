"""The interface of codecs.

codec.fit(examples)                                 on the training split
codec.encode(waveforms, notes, profiles) -> Latents
codec.decoder(profiles).push(latents) -> waveforms  the inverse, as a stream
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from pipeline.codecs.note_table import NoteTable
from pipeline.errors import SettingsError
from waveforms import SAMPLE_RATE
from waveforms.notes.events import Notes

Report = Callable[[int, int], None]  # receives the steps done and the steps in all


def no_report(done: int, total: int) -> None:
    """Report to nobody."""


class Example(NamedTuple):
    """Whole blocks of a recording, to fit a codec on.

    Attributes:
        waveform: with the codec's padding, (n_blocks * block_size + sum(padding),).
        notes: in seconds from the first block; None where the codec reads none.
        recording: the recording's number.
        transcribed: whether a transcriber found the notes, so that velocities and offsets are estimates.
    """

    waveform: Tensor
    notes: Notes | None
    recording: int
    transcribed: bool = False


class Latents(NamedTuple):
    """What a codec makes of blocks.

    Attributes:
        latent: what a model predicts, (n_rows, n_blocks, n_frames, dims). Over the training split each dimension has
            a mean of 0.
        expected: the sound that the codec expects of the notes, in its own units; None where it reads none. The piano's
            are companded log magnitudes, (n_rows, n_blocks, FRAMES_PER_BLOCK, N_BANDS).
        conditioning: the expected sound as a model reads it, (n_rows, n_blocks, n_frames, conditioning_dims).
    """

    latent: Tensor
    expected: Tensor | None = None
    conditioning: Tensor | None = None

    def rows(self, rows: slice) -> "Latents":
        """Select rows."""
        return Latents(*(None if tensor is None else tensor[rows] for tensor in self))  # type: ignore[arg-type]

    def blocks(self, blocks: slice) -> "Latents":
        """Select blocks of every row."""
        return Latents(*(None if tensor is None else tensor[:, blocks] for tensor in self))  # type: ignore[arg-type]


class Decoder(ABC):
    """Decodes a stream of blocks in constant memory: the inverse of `Codec.encode`."""

    @abstractmethod
    def expect(self, notes: Sequence[Notes], n_blocks: int = 1) -> Latents:
        """Return the latents of the next blocks for a residual of zero.

        Args:
            notes: of each row, those that begin in these blocks, in seconds from the first block of the stream.
            n_blocks: how many blocks.
        """

    @abstractmethod
    def push(self, latents: Latents, *, sampled: bool = False) -> Tensor:
        """Decode the next blocks, and return the samples that they complete, (n_rows, n_samples).

        Args:
            latents: of the blocks.
            sampled: whether a model sampled them; otherwise they were encoded.
        """

    @abstractmethod
    def finish(self) -> Tensor:
        """Return the remaining samples up to the end of the last block, (n_rows, n_samples)."""


class Codec(nn.Module, ABC):
    """A fitted, invertible map. What is fitted lies in buffers, so it moves and is saved with the module.

    Attributes:
        block_size: samples in a block.
        channels: of a waveform.
        n_frames: latent frames in a block.
        dims: of a frame's latent.
        conditioning_dims: of a frame's conditioning vector; 0 without notes.
        padding: samples of context that `encode` needs before the first and after the last block.
        reads_notes: whether `encode` needs the notes.
    """

    block_size: int
    channels: int = 1
    n_frames: int
    dims: int
    conditioning_dims: int
    padding: tuple[int, int]
    reads_notes: bool

    @property
    def block_seconds(self) -> float:
        """The duration of a block."""
        return self.block_size / SAMPLE_RATE

    @property
    def frame_rate(self) -> float:
        """Latent frames in a second."""
        return self.n_frames / self.block_seconds

    def n_blocks_of(self, n_samples: int) -> int:
        """Count the blocks that hold `n_samples`; zeros complete the last one."""
        return -(-n_samples // self.block_size)

    def n_blocks_in(self, seconds: float) -> int:
        """Count the blocks of a clip of that length.

        Raises:
            SettingsError: the length is not a whole number of blocks, at least one.
        """
        n_blocks = round(seconds / self.block_seconds)
        if n_blocks < 1 or abs(n_blocks * self.block_seconds - seconds) > 1e-6:
            raise SettingsError(f"a length must be a multiple of {self.block_seconds:g} s (one block), not {seconds} s")
        return n_blocks

    @abstractmethod
    def fit(self, examples: Iterable[Example], report: Report = no_report) -> None:
        """Fit the codec to examples of the training split."""

    @abstractmethod
    def encode(self, waveforms: Tensor, notes: NoteTable | None, profiles: Tensor | None) -> Latents:
        """Encode waveforms.

        Args:
            waveforms: (n_rows, n_blocks * block_size + sum(padding)).
            notes: of the rows, where the codec reads them.
            profiles: of the recording that each block is from, see `profile`, (n_rows, n_blocks, size).
        """

    @abstractmethod
    def profile(self, waveform: Tensor, notes: Notes | None) -> Tensor:
        """Estimate what distinguishes a recording from another one of the same notes: gain, colour, noise.

        Args:
            waveform: an excerpt of it, (n_blocks * block_size + sum(padding),).
            notes: of the excerpt, in seconds from its first block.

        Returns:
            (size,); empty where the codec reads no notes
        """

    def refine(self, waveform: Tensor, notes: Notes, profile: Tensor) -> Notes:
        """Fit the velocities and offsets of transcribed notes to the sound.

        Args:
            waveform: whole blocks with padding.
            notes: in seconds from the first block.
            profile: of the recording.
        """
        return notes

    @abstractmethod
    def decoder(self, profiles: Tensor) -> Decoder:
        """Return a decoder for rows of these profiles, (n_rows, size)."""
