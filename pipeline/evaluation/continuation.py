"""The anchors of a checkpoint's prompts: what the prompts' recordings do next, as they are and resynthesised."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline.checkpoint import Checkpoint, Excerpt
from pipeline.codecs import Codec
from pipeline.evaluation.clips import Segment, Source, System, read_from
from pipeline.evaluation.rendering import PROMPT_SECONDS, resynthesise
from pipeline.evaluation.request import StartTask
from pipeline.prompts import Prompt, held_out
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.audio.gain import to_int16
from waveforms.corpus import Corpus

CONTINUATION, RESYNTHESIS = "continuation", "resynthesis"  # the names of the first checkpoint's anchors
_ALIKE = 2  # 16-bit steps: another decoder's rounding, and not another recording


@dataclass(frozen=True)
class PromptSource:
    """An excerpt that prompts are chosen from, and as much of its recording as is at hand.

    Attributes:
        excerpt: carried by the checkpoint.
        source: the recording; or the excerpt alone.
        start: the sample of the source at which the excerpt begins.
        path: the file of the source.
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

    def choose(self, n_samples: int, rng: np.random.Generator) -> "ContinuedPrompt":
        """Choose a prompt that is followed by n_samples."""
        first = int(rng.integers(self.n_places(n_samples))) * self.block_size
        stop = first + self.n_prompt_blocks * self.block_size
        prompt = held_out([self.excerpt.part(first, stop)], self.n_prompt_blocks, self.block_size, rng)
        return ContinuedPrompt(prompt, self, self.start + stop)


@dataclass(frozen=True)
class ContinuedPrompt:
    """A prompt, and where it ends in its recording: what comes then is its continuation.

    Attributes:
        prompt: the prompt.
        origin: what it is chosen from.
        stop: the sample of the origin's source right after the prompt.
    """

    prompt: Prompt
    origin: PromptSource
    stop: int

    def continuation(self, name: str, n_samples: int) -> Segment:
        """The continuation, as a clip."""
        return self._segment(name, self.stop, n_samples)

    def with_continuation(self, n_samples: int) -> Segment:
        """The prompt as it is in its recording, and n_samples more."""
        n_prompt = len(self.prompt.waveform)
        return self._segment(self.prompt.source, self.stop - n_prompt, n_prompt + n_samples)

    def _segment(self, name: str, start: int, n_samples: int) -> Segment:
        source = f"{self.origin.path} @ {start / SAMPLE_RATE:g} s"
        return Segment(name, source, n_samples, partial(read_from, self.origin.source, start))


def prompt_sources(
    excerpts: Sequence[Excerpt], corpus: Corpus | None, path: Path, block_size: int
) -> list[PromptSource]:
    """Find the recordings of excerpts.

    Args:
        excerpts: of a checkpoint, or of a corpus.
        corpus: the recordings, if they are at hand; one of the same name and another sound is not the excerpt's.
        path: of the checkpoint, which stands in for recordings that are not found.
        block_size: samples in a block of the codec.
    """
    recordings = {recording.name: recording for recording in corpus or ()}
    found = []
    for excerpt in excerpts:
        recording, start = recordings.get(excerpt.source), round(excerpt.seconds * SAMPLE_RATE)
        if recording and _is_in(excerpt, recording, start):
            found.append(PromptSource(excerpt, recording, start, recording.path, block_size))
        else:
            found.append(PromptSource(excerpt, _ExcerptSource(excerpt), 0, path, block_size))
    return found


def choose_continued(
    sources: Sequence[PromptSource], n_samples: int, n_clips: int, *, seed: int
) -> list[ContinuedPrompt]:
    """Choose prompts that are followed by n_samples of their recordings.

    Args:
        sources: one or more has a place, see `PromptSource.n_places`; the others are passed over.
        n_samples: the length of a continuation.
        n_clips: how many prompts.
        seed: gives the same prompts of the same sources.
    """
    possible = [source for source in sources if source.n_places(n_samples)]
    generators = [np.random.default_rng([seed, n]) for n in range(n_clips)]
    return [possible[int(rng.integers(len(possible)))].choose(n_samples, rng) for rng in generators]


@dataclass(frozen=True)
class AnchorNames:
    """The names of the anchors of some prompts and a codec.

    Attributes:
        prompts: the prompts.
        codec: the codec of a checkpoint.
        continuation: the name of the anchor of the prompts.
        resynthesis: the name of the anchor of the prompts and the codec.
    """

    prompts: Sequence[ContinuedPrompt]
    codec: Codec
    continuation: str
    resynthesis: str

    def has_prompts(self, prompts: Sequence[ContinuedPrompt]) -> bool:
        """Whether these are the same prompts."""
        pairs = zip(self.prompts, prompts, strict=True)
        return all(np.array_equal(ours.prompt.waveform, theirs.prompt.waveform) for ours, theirs in pairs)

    def has_codec(self, other: Codec) -> bool:
        """Whether another codec is fitted to the same numbers."""
        ours, theirs = self.codec.state_dict(), other.state_dict()
        return ours.keys() == theirs.keys() and all(torch.equal(ours[name].cpu(), theirs[name].cpu()) for name in ours)


class ContinuationAnchors:
    """The anchors of all checkpoints, each once: checkpoints may share prompts, and a codec, too.

    Args:
        folder: gets a folder for each resynthesis.
        n_samples: the length of a clip.
        start: see `request.StartTask`.

    Attributes:
        systems: the anchors by name, in the order made: "continuation", "resynthesis", and those of other prompts or
            codecs, "resynthesis of NAME".
    """

    def __init__(self, folder: Path, n_samples: int, start: StartTask) -> None:
        self.systems: dict[str, System] = {}
        self._folder = folder
        self._n_samples = n_samples
        self._start = start
        self._known: list[AnchorNames] = []

    def add(self, name: str, checkpoint: Checkpoint, prompts: Sequence[ContinuedPrompt]) -> AnchorNames:
        """Find the anchors of a checkpoint's prompts, or make them.

        Args:
            name: of the system.
            checkpoint: of the system.
            prompts: of the system's clips.

        Raises:
            OutputError: the folder cannot be made.
            AudioError: there is no room.
        """
        alike = [each for each in self._known if each.has_prompts(prompts)]
        for each in alike:
            if each.has_codec(checkpoint.codec):
                return each
        of = f" of {name}" if self._known else ""
        continuation = alike[0].continuation if alike else f"{CONTINUATION}{of}"
        new = AnchorNames(prompts, checkpoint.codec, continuation, f"{RESYNTHESIS}{of}")
        description = f"what recordings do after the prompts of {name}"
        if not alike:
            segments = [p.continuation(f"continuation {n}", self._n_samples) for n, p in enumerate(prompts, start=1)]
            self.systems[continuation] = System(
                continuation, "anchor", description, segments, resynthesis=new.resynthesis
            )
        advanced = self._start(new.resynthesis, len(prompts) * self._n_samples)
        recordings = [each.with_continuation(self._n_samples) for each in prompts]
        segments = resynthesise(checkpoint, recordings, self._folder / new.resynthesis, advanced)
        description = f"{description}, encoded and decoded as it does"
        self.systems[new.resynthesis] = System(
            new.resynthesis, "anchor", description, segments, continuation=continuation
        )
        self._known.append(new)
        return new


@dataclass(frozen=True)
class _ExcerptSource:
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
