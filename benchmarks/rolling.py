"""Speed of roll-outs: one clip, against Keras; a block late in a long clip; the first samples; many clips at once."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.figures import Figure, Reference, Target
from benchmarks.machine import read
from benchmarks.peers.keras_process import Keras
from benchmarks.timing import Work, median_seconds, timed
from benchmarks.training import GPU_PRESETS
from pipeline.checkpoint import Checkpoint
from pipeline.config import CLIP_SECONDS, DEFAULT_PRESET, MAX_SEQ_LEN, PianoSettings, preset_named
from pipeline.models.backends.int8 import quantised
from pipeline.prompts import Prompt, held_out
from pipeline.rendering import RenderRequest
from pipeline.rendering import render as render_to_files
from pipeline.session import Session, arithmetic
from pipeline.training.begin import begin
from pipeline.training.request import TrainRequest
from waveforms.corpus import Corpus

TARGETS = {40: 40, 120: 100, 400: 300}  # {blocks in the clip: times faster than Keras}
REAL_TIME = 20  # times real time, many clips at once
MOST_SECONDS = 0.5  # until the first samples are there
MOST_GROWTH = 1.2  # cost of a block in a long clip over its cost in a short one
FIT_STEPS = 50  # of the default preset's instrument: a rough one costs as much to play


def measure(keras: Keras | None, corpus: Corpus, clips: Mapping[int, int], n_clips: int, n_rounds: int) -> list[Figure]:
    """Measure roll-outs on the CPU.

    Args:
        keras: the peer, if it is there.
        corpus: the recordings to fit models on.
        clips: {blocks in a clip: of how many blocks the peer predicts one}.
        n_clips: clips that are rendered together.
        n_rounds: rounds that count.
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
    clip = float(CLIP_SECONDS)
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


def measure_gpu(corpus: Corpus, n_clips: int, n_rounds: int) -> list[Figure]:
    """Measure one clip and many clips of two presets on a GPU."""
    works: dict[tuple[str, int], Work] = {}
    for preset in GPU_PRESETS:
        run = fresh(preset, corpus)
        session = Session(run.model, run.codec, "cuda")
        for n in (1, n_clips):
            prompts = prompts_of(run, n)
            works[preset, n] = timed(lambda s=session, p=prompts: render(s, p, MAX_SEQ_LEN))  # type: ignore[misc]
    return [
        Figure(
            torch.cuda.get_device_name(),
            f"roll-out of {preset}, {n} clips",
            n * CLIP_SECONDS / seconds,
            "times real time",
        )
        for (preset, n), seconds in median_seconds(works, n_rounds).items()
    ]


def fresh(preset: str, corpus: Corpus) -> Checkpoint:
    """Make an untrained checkpoint: a preset fitted on a corpus, which plays as many notes as the corpus does."""
    settings = preset_named(preset)
    if isinstance(settings.codec, PianoSettings):
        settings = settings.with_values({"fit_steps": FIT_STEPS})
    with tempfile.TemporaryDirectory() as folder:
        return begin(TrainRequest(corpus.places, folder, settings), corpus=corpus).checkpoint


def prompts_of(checkpoint: Checkpoint, n_clips: int) -> list[Prompt]:
    """Choose prompts of 10 s, as long as GRUV's, whose notes are known."""
    rng = np.random.default_rng(0)
    return [held_out(checkpoint.excerpts, MAX_SEQ_LEN, checkpoint.codec.block_size, rng) for _ in range(n_clips)]


def render(session: Session, prompts: list[Prompt], n_blocks: int) -> None:
    """Render clips of n_blocks, and drop their samples."""
    session.prime(prompts, seed=0)
    for _ in session.stream(n_blocks):
        pass


def first_samples(session: Session, prompts: list[Prompt]) -> None:
    """Read the prompts, and render until the first samples are there."""
    session.prime(prompts, seed=0)
    next(part for part in session.stream(None) if part.samples.shape[1])


def _bytes_read(checkpoint: Checkpoint) -> int:
    """Count the bytes of the weights in a roll-out on a CPU; each block reads them all."""
    model = quantised(checkpoint.model) if arithmetic("cpu") == "int8" else checkpoint.model
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def _to_files(checkpoint: Checkpoint, prompts: list[Prompt]) -> None:
    """Render clips to files as the command line does, on a GPU if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in render_to_files(checkpoint, RenderRequest(seed=0), Path(folder), prompts=prompts):
            pass


def _growth(seconds: Mapping[int, float]) -> float:
    """Divide the cost of a block between the two longest clips by that of a block in the shortest."""
    *_, second, longest = sorted(seconds)
    shortest = min(seconds)
    late = (seconds[longest] - seconds[second]) / (longest - second)
    return late / (seconds[shortest] / shortest)
