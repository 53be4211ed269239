"""Roll-outs: one clip against Keras, the cost of a block in a long clip, the first samples, many clips at once."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.clock import Work, median_seconds, timed
from benchmarks.figures import Figure, Reference, Target
from benchmarks.limits import read
from benchmarks.peers.keras_process import Keras
from pipeline.checkpoint import Checkpoint
from pipeline.clips import Rendering, render_clips
from pipeline.config import DEFAULT_PRESET, MAX_SEQ_LEN, PianoSettings, preset_named
from pipeline.models.backends.int8 import quantised
from pipeline.prompts import Prompt, held_out
from pipeline.session import Session, arithmetic
from pipeline.training.begin import begin
from pipeline.training.progress import Unwatched
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE

TARGETS = {40: 40, 120: 100, 400: 300}  # by blocks in the clip: so many times faster than Keras
REAL_TIME = 20  # seconds of sound in a second, many clips at once
MOST_SECONDS = 0.5  # to the first samples
MOST_GROWTH = 1.2  # of a block's cost in a long clip over that in a short one
FIT_STEPS = 50  # of the default preset's instrument: a rough one costs as much to play


def measure(keras: Keras | None, corpus: Corpus, clips: Mapping[int, int], n_clips: int, n_rounds: int) -> list[Figure]:
    """Speed of roll-outs.

    Args:
        keras: the peer, if it is there.
        corpus: to fit models on.
        clips: blocks in a clip, and each so many-th that the peer predicts.
        n_clips: rendered together.
        n_rounds: counted ones.
    """
    classic, default = fresh("classic", corpus), fresh(DEFAULT_PRESET, corpus)
    session_of_classic, session = (Session(run.model, run.codec) for run in (classic, default))
    one, many = prompts_of(default, 1), prompts_of(default, n_clips)
    works: dict[object, Work] = {
        "read": read(_bytes_read(classic), MAX_SEQ_LEN),
        "first": timed(lambda: first_samples(session, one)),
        "one": timed(lambda: render(session, one, MAX_SEQ_LEN)),
        "many": timed(lambda: render(session, many, MAX_SEQ_LEN)),
        "files": timed(lambda: _to_files(default, many)),
    }
    works |= {n: timed(lambda n=n: render(session_of_classic, prompts_of(classic, 1), n)) for n in clips}  # type: ignore[misc]
    if keras:
        works |= {("Keras", n): keras.roll_out(n, every) for n, every in clips.items()}
    seconds = median_seconds(works, n_rounds)
    figures = []
    for n in clips:
        peer = seconds.get(("Keras", n))
        figures.append(
            Figure(
                "roll-out",
                f"classic, a clip of {n} blocks",
                seconds[n],
                "s",
                less_is_better=True,
                peer=Reference("Keras", peer) if peer else None,
                limit=Reference("weights read", n / MAX_SEQ_LEN * seconds["read"]),
                target=Target("ratio", TARGETS[n]) if peer else None,
            )
        )
    growth = _growth({n: seconds[n] for n in clips})
    constant = Target("value", MOST_GROWTH)
    clip = MAX_SEQ_LEN * BLOCK_SIZE / SAMPLE_RATE
    return [
        *figures,
        Figure("roll-out", "a block late in a clip", growth, "of an early one", less_is_better=True, target=constant),
        Figure(
            "roll-out",
            "default preset, first samples",
            seconds["first"],
            "s",
            less_is_better=True,
            target=Target("value", MOST_SECONDS),
        ),
        Figure(
            "roll-out",
            f"default preset, {n_clips} clips at once",
            n_clips * clip / seconds["many"],
            "times real time",
            peer=Reference("one clip", clip / seconds["one"]),
            target=Target("value", REAL_TIME),
        ),
        Figure("roll-out", f"default preset, {n_clips} to files", n_clips * clip / seconds["files"], "times real time"),
    ]


def fresh(preset: str, corpus: Corpus) -> Checkpoint:
    """A preset fitted on a corpus, its weights as training begins; it plays as many notes as the corpus does."""
    settings = preset_named(preset)
    if isinstance(settings.codec, PianoSettings):
        settings = settings.with_values({"fit_steps": FIT_STEPS})
    return begin(corpus, settings, None, Unwatched())


def prompts_of(checkpoint: Checkpoint, n_clips: int) -> list[Prompt]:
    """Prompts of 10 s, as the ancestor's, their notes known."""
    rng = np.random.default_rng(0)
    return [held_out(checkpoint.passages, MAX_SEQ_LEN, rng) for _ in range(n_clips)]


def render(session: Session, prompts: list[Prompt], n_blocks: int) -> None:
    """Roll out."""
    session.prime(prompts, seed=0)
    for _ in session.stream(n_blocks):
        pass


def first_samples(session: Session, prompts: list[Prompt]) -> None:
    """Read the prompts and render until there is something to hear."""
    session.prime(prompts, seed=0)
    next(part for part in session.stream(None) if part.samples.shape[1])


def _bytes_read(checkpoint: Checkpoint) -> int:
    """Of the weights as a roll-out on a CPU has them; each block reads them all."""
    model = quantised(checkpoint.model) if arithmetic("cpu") == "int8" else checkpoint.model
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def _to_files(checkpoint: Checkpoint, prompts: list[Prompt]) -> None:
    """As a person gets them, which moves the model to a GPU if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{n}.wav" for n in range(len(prompts))]
        rendering = Rendering(n_blocks=MAX_SEQ_LEN, seed=0)
        ignored: Callable[[int], None] = lambda _: None  # noqa: E731 - a name for its type
        for _ in render_clips(checkpoint, "", prompts, paths, rendering, ignored):
            pass


def _growth(seconds: Mapping[int, float]) -> float:
    """What a block costs between the two longest clips, over what one costs in the shortest."""
    *_, second, longest = sorted(seconds)
    shortest = min(seconds)
    late = (seconds[longest] - seconds[second]) / (longest - second)
    return late / (seconds[shortest] / shortest)
