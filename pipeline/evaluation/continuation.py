"""Real continuations of prompts, as recorded and as a checkpoint's codec encodes and decodes them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline.checkpoint import Checkpoint, Excerpt
from pipeline.codecs import Codec
from pipeline.evaluation.reading import read_clips
from pipeline.evaluation.rendered import PROMPT_SECONDS, make_folder
from pipeline.evaluation.request import Entrant, Stage
from pipeline.evaluation.segments import Cut, Source, stretch
from pipeline.prompts import Prompt, held_out
from pipeline.session import Session
from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter, Waveform
from waveforms.audio.gain import to_int16
from waveforms.corpus import Corpus

CONTINUATION, RESYNTHESIS = "continuation", "resynthesis"  # the names of the first checkpoint's anchors
_ALIKE = 2  # 16-bit steps: another decoder's rounding, and not another recording


@dataclass(frozen=True)
class Opening:
    """An excerpt that prompts are chosen from, and as much of its recording as is at hand.

    Attributes:
        excerpt: see there.
        source: the recording; or the excerpt alone.
        start: the sample of the source with which the excerpt begins.
        path: the source's file.
        block_size: samples in a block of the codec.
    """

    excerpt: Excerpt
    source: Source
    start: int
    path: Path
    block_size: int

    @property
    def n_prompt_blocks(self) -> int:
        """Blocks in a prompt."""
        return round(PROMPT_SECONDS * SAMPLE_RATE / self.block_size)

    def n_places(self, n_samples: int) -> int:
        """Count the blocks of the excerpt at which a prompt may begin and be followed by n_samples of the source."""
        n_in_source = (self.source.n_samples - self.start - n_samples) // self.block_size
        n_in_excerpt = len(self.excerpt.samples) // self.block_size
        return max(min(n_in_source, n_in_excerpt) - self.n_prompt_blocks + 1, 0)


@dataclass(frozen=True)
class Begun:
    """A prompt, and where it ends in its recording: what comes then is its continuation.

    Attributes:
        prompt: see there.
        opening: that it is drawn from.
        stop: the sample of the opening's source right after it.
    """

    prompt: Prompt
    opening: Opening
    stop: int

    def cut(self, name: str, n_samples: int) -> Cut:
        """The continuation, as a clip."""
        source = f"{self.opening.path} @ {self.stop / SAMPLE_RATE:g} s"
        return Cut(name, source, n_samples, partial(stretch, self.opening.source, self.stop))


def openings(excerpts: Sequence[Excerpt], corpus: Corpus | None, path: Path, block_size: int) -> list[Opening]:
    """Find the recordings of excerpts.

    Args:
        excerpts: of a checkpoint, or of a corpus.
        corpus: where the recordings are, if that is at hand; one of another sound is not the excerpt's.
        path: of the checkpoint, which holds excerpts whose recordings are not found.
        block_size: samples in a block of the codec.
    """
    recordings = {recording.name: recording for recording in corpus or ()}
    found = []
    for excerpt in excerpts:
        recording, start = recordings.get(excerpt.source), round(excerpt.seconds * SAMPLE_RATE)
        if recording and _is_in(excerpt, recording, start):
            found.append(Opening(excerpt, recording, start, recording.path, block_size))
        else:
            found.append(Opening(excerpt, _Alone(excerpt), 0, path, block_size))
    return found


def choose(openings: Sequence[Opening], n_samples: int, n_clips: int, *, seed: int) -> list[Begun]:
    """Choose prompts that n_samples of their recordings follow.

    Args:
        openings: of which one or more has a place, see `Opening.n_places`; the others are passed over.
        n_samples: of a continuation.
        n_clips: how many.
        seed: with the same openings it gives the same prompts.
    """
    possible = [opening for opening in openings if opening.n_places(n_samples)]
    return [_begun(possible, n_samples, np.random.default_rng([seed, n])) for n in range(n_clips)]


def resynthesise(
    checkpoint: Checkpoint, begun: Sequence[Begun], folder: Path, n_samples: int, advanced: Callable[[int], None]
) -> Iterator[Path]:
    """Encode and decode the continuations, each behind its prompt, as clips are rolled out behind theirs.

    Args:
        checkpoint: whose codec does it.
        begun: what to continue.
        folder: that exists.
        n_samples: of a clip.
        advanced: called with how many more samples are decoded.

    Yields:
        the path of each clip.

    Raises:
        AudioError: there is no room.
    """
    width = len(str(len(begun)))
    for n, each in enumerate(begun, start=1):
        path = folder / f"clip-{n:0{width}}.wav"
        n_to_skip = len(each.prompt.waveform)
        with ClipWriter(path, encoding="FLOAT", metadata={"title": path.stem, "comment": each.prompt.source}) as writer:
            for piece in _resynthesised(checkpoint, each, n_samples):
                writer.write(piece[n_to_skip:])
                advanced(max(len(piece) - n_to_skip, 0))
                n_to_skip = max(n_to_skip - len(piece), 0)
        yield path


@dataclass(frozen=True)
class Continued:
    """Prompts, a codec, and the names of their anchors.

    Attributes:
        begun: the prompts.
        codec: a checkpoint's.
        continuation: the anchor of the prompts.
        resynthesis: the anchor of both.
    """

    begun: Sequence[Begun]
    codec: Codec
    continuation: str
    resynthesis: str

    def has_prompts(self, begun: Sequence[Begun]) -> bool:
        """Whether these are the same prompts."""
        pairs = zip(self.begun, begun, strict=True)
        return all(np.array_equal(ours.prompt.waveform, theirs.prompt.waveform) for ours, theirs in pairs)

    def has_codec(self, other: Codec) -> bool:
        """Whether another codec is fitted to the same numbers."""
        ours, theirs = self.codec.state_dict(), other.state_dict()
        return ours.keys() == theirs.keys() and all(torch.equal(ours[name].cpu(), theirs[name].cpu()) for name in ours)


class Continuations:
    """The anchors of all checkpoints, each once: checkpoints may share prompts, and a codec, too.

    Args:
        folder: that gets a folder for each resynthesis.
        n_samples: of a clip.
        stage: called with the name of each resynthesis; gives what is called with its progress.

    Attributes:
        anchors: by name, in the order made: "continuation", "resynthesis", and those of other prompts or
            codecs, "resynthesis of NAME".
    """

    def __init__(self, folder: Path, n_samples: int, stage: Stage) -> None:
        self.anchors: dict[str, Entrant] = {}
        self._folder = folder
        self._n_samples = n_samples
        self._stage = stage
        self._known: list[Continued] = []

    def add(self, name: str, checkpoint: Checkpoint, begun: Sequence[Begun]) -> Continued:
        """Find the anchors of a checkpoint's prompts, or make them.

        Args:
            name: of the system.
            checkpoint: the system.
            begun: its prompts.

        Raises:
            OutputError: the folder cannot be made.
            AudioError: there is no room.
        """
        alike = [each for each in self._known if each.has_prompts(begun)]
        for each in alike:
            if each.has_codec(checkpoint.codec):
                return each
        of = f" of {name}" if self._known else ""
        continuation = alike[0].continuation if alike else f"{CONTINUATION}{of}"
        new = Continued(begun, checkpoint.codec, continuation, f"{RESYNTHESIS}{of}")
        about = f"what recordings do after the prompts of {name}"
        if not alike:
            cuts = [each.cut(f"continuation {n}", self._n_samples) for n, each in enumerate(begun, start=1)]
            self.anchors[continuation] = Entrant(continuation, "anchor", about, cuts, resynthesis=new.resynthesis)
        folder = self._folder / new.resynthesis
        make_folder(folder)
        advanced = self._stage(new.resynthesis, len(begun) * self._n_samples)
        cuts = read_clips(list(resynthesise(checkpoint, begun, folder, self._n_samples, advanced)))
        about = f"{about}, encoded and decoded as it does"
        self.anchors[new.resynthesis] = Entrant(new.resynthesis, "anchor", about, cuts, continuation=continuation)
        self._known.append(new)
        return new


def _resynthesised(checkpoint: Checkpoint, begun: Begun, n_samples: int) -> Iterator[Waveform]:
    """Yield a prompt and the n_samples behind it, encoded and decoded."""
    first, stop = begun.stop - len(begun.prompt.waveform), begun.stop + n_samples
    session = Session(checkpoint.model, checkpoint.codec)
    session.prime([Prompt(begun.opening.source.read(first, stop), "files")], seed=0)
    for chunk in session.stream(0, with_prompt=True):
        yield chunk.samples[0].numpy()


def _begun(openings: Sequence[Opening], n_samples: int, rng: np.random.Generator) -> Begun:
    opening = openings[int(rng.integers(len(openings)))]
    first = int(rng.integers(opening.n_places(n_samples))) * opening.block_size
    stop = first + opening.n_prompt_blocks * opening.block_size
    prompt = held_out([opening.excerpt.part(first, stop)], opening.n_prompt_blocks, opening.block_size, rng)
    return Begun(prompt, opening, opening.start + stop)


@dataclass(frozen=True)
class _Alone:
    """An excerpt, read as a recording is."""

    excerpt: Excerpt

    @property
    def name(self) -> str:
        return self.excerpt.source

    @property
    def n_samples(self) -> int:
        return len(self.excerpt.samples)

    def read(self, start: int, stop: int) -> Waveform:
        """Samples [start, stop); outside the excerpt there are zeros."""
        waveform = np.zeros(stop - start, np.float32)
        inside = self.excerpt.samples[max(start, 0) : max(stop, 0)].numpy()
        waveform[max(-start, 0) :][: len(inside)] = inside / np.float32(32768)
        return waveform


def _is_in(excerpt: Excerpt, recording: Source, start: int) -> bool:
    samples = to_int16(recording.read(start, start + len(excerpt.samples))).astype(np.int32)
    return bool(np.abs(samples - excerpt.samples.numpy()).max() <= _ALIKE)
