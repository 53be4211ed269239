"""What every codec offers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from pipeline.codecs.instrument import NoteTable
from waveforms.notes.events import Notes

Fitting = Callable[[int, int], None]  # is called with how much of a fit is done, and how much there is


def unwatched(done: int, total: int) -> None:
    """Nobody looks on."""


class Excerpt(NamedTuple):
    """Whole blocks of a recording, to fit a codec on.

    Attributes:
        waveform: with the codec's margins, (n_blocks * BLOCK_SIZE + sum(margins),).
        notes: in seconds from the first block; None where the codec reads none.
        recording: a number for the recording.
        heard: whether the notes were heard, so that velocities and offsets are guesses.
    """

    waveform: Tensor
    notes: Notes | None
    recording: int
    heard: bool = False


class Sound(NamedTuple):
    """Blocks as a model has them, but for their notes.

    Attributes:
        latent: (n_rows, n_blocks, n_slices, dims). Over the training split each of its numbers has a mean of 0.
        levels: expected of the notes, where the codec reads notes: companded log magnitudes of bands,
            (n_rows, n_blocks, n_frames, n_bands).
        expected: the same as the model reads it, (n_rows, n_blocks, n_slices, expected_dims).
    """

    latent: Tensor
    levels: Tensor | None = None
    expected: Tensor | None = None

    def rows(self, rows: slice, blocks: slice = slice(None)) -> "Sound":
        """Some rows, and some blocks of them."""
        return Sound(
            self.latent[rows, blocks],
            None if self.levels is None else self.levels[rows, blocks],
            None if self.expected is None else self.expected[rows, blocks],
        )


class Player(ABC):
    """Decodes blocks as they come, in constant memory: the inverse of `Codec.encode`, as a stream."""

    @abstractmethod
    def expect(self, notes: Sequence[Notes], n_blocks: int = 1) -> Sound:
        """The sound to be expected of the next blocks; its latent is that of nothing left over.

        Args:
            notes: that begin in these blocks, of each row, in seconds from the first block of all.
            n_blocks: how many blocks.
        """

    @abstractmethod
    def push(self, sound: Sound, *, sampled: bool = False) -> Tensor:
        """Take the next blocks, give the samples that they complete; -> (n_rows, n_samples).

        Args:
            sound: of the blocks.
            sampled: whether its latent was sampled, and not encoded.
        """

    @abstractmethod
    def finish(self) -> Tensor:
        """Give the rest, up to the edge of the last block; -> (n_rows, n_samples)."""


class Codec(nn.Module, ABC):
    """A fitted, invertible map. What was fitted lies in buffers, so it moves and is saved with the module.

    Attributes:
        reads_notes: whether blocks are notes and what their sound leaves over, or sound alone.
        margins: samples that `encode` needs before the first and after the last block.
        n_slices: in a block.
        dims: of a slice's latent.
        expected_dims: of a slice's expected sound; 0 without notes.
    """

    reads_notes: bool
    margins: tuple[int, int]
    n_slices: int
    dims: int
    expected_dims: int

    @abstractmethod
    def fit(self, excerpts: Iterable[Excerpt], fitting: Fitting = unwatched) -> None:
        """Learn what is to be learned from excerpts of the training split."""

    @abstractmethod
    def encode(self, waveforms: Tensor, notes: NoteTable | None, profiles: Tensor | None) -> Sound:
        """Waveforms to latents.

        Args:
            waveforms: (n_rows, n_blocks * BLOCK_SIZE + sum(margins)).
            notes: of the rows, where the codec reads them.
            profiles: of the recordings that blocks are from, see `profile`, (n_rows, n_blocks, size).
        """

    @abstractmethod
    def profile(self, waveform: Tensor, notes: Notes | None) -> Tensor:
        """What tells a recording from another one with the same notes: gain, colour, noise.

        Args:
            waveform: an excerpt of it, (n_blocks * BLOCK_SIZE + sum(margins),).
            notes: of the excerpt, in seconds from its first block.

        Returns:
            (size,); nothing where the codec reads no notes
        """

    def refined(self, waveform: Tensor, notes: Notes, profile: Tensor) -> Notes:
        """Notes that were heard, their velocities and offsets fitted to the sound.

        Args:
            waveform: whole blocks with margins.
            notes: in seconds from the first block.
            profile: of the recording.
        """
        return notes

    @abstractmethod
    def player(self, profiles: Tensor) -> Player:
        """A decoder for rows of these profiles, (n_rows, size)."""
