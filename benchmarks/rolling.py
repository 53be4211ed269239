"""Roll-outs: one clip against Keras, the cost of a block in a long clip, many clips at once."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.clock import Work, median_seconds, timed
from benchmarks.figures import Figure, Reference, Target
from benchmarks.limits import read
from benchmarks.peers.keras_process import Keras
from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.clips import Rendering, render_clips
from pipeline.commands.generate import SHIPPED
from pipeline.generate import ready, roll_out
from pipeline.predictors import make_predictor
from pipeline.prompts import Prompt
from pipeline.representations import make_representation
from pipeline.settings import MAX_SEQ_LEN, preset_named
from waveforms import BLOCK_SIZE, SAMPLE_RATE

TARGETS = {40: 40, 120: 100, 400: 300}  # by blocks in the clip: so many times faster than Keras
REAL_TIME = 20  # seconds of sound in a second, many clips at once
MOST_GROWTH = 1.2  # of a block's cost in a long clip over that in a short one


def measure(keras: Keras | None, clips: Mapping[int, int], n_clips: int, n_rounds: int) -> list[Figure]:
    """Speed of roll-outs.

    Args:
        keras: the peer, if it is there.
        clips: blocks in a clip, and each so many-th that the peer predicts.
        n_clips: rendered together.
        n_rounds: counted ones.
    """
    model, shipped = classic(), checkpoint.load(SHIPPED)
    default = replace(shipped, predictor=ready(shipped.predictor, "cpu"))
    weights = sum(tensor.nbytes for tensor in model.predictor.state_dict().values())
    works: dict[object, Work] = {
        "read": read(weights, MAX_SEQ_LEN),
        "at once": timed(lambda: render(default, n_clips, MAX_SEQ_LEN)),
    }
    works |= {n: timed(lambda n=n: render(model, 1, n)) for n in clips}  # type: ignore[misc]
    works["files"] = timed(lambda: _to_files(shipped, n_clips))
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
    real_time = n_clips * MAX_SEQ_LEN * BLOCK_SIZE / SAMPLE_RATE
    return [
        *figures,
        Figure("roll-out", "a block late in a clip", growth, "of an early one", less_is_better=True, target=constant),
        Figure(
            "roll-out",
            f"default preset, {n_clips} clips at once",
            real_time / seconds["at once"],
            "times real time",
            target=Target("value", REAL_TIME),
        ),
        Figure("roll-out", f"default preset, {n_clips} to files", real_time / seconds["files"], "times real time"),
    ]


def classic(device: str = "cpu") -> Checkpoint:
    """The preset with weights that let something sound, ready to roll out."""
    settings = preset_named("classic")
    representation = make_representation(settings.representation)
    predictor = make_predictor(settings, representation.shape)
    for parameter in predictor.parameters():
        torch.nn.init.normal_(parameter, std=0.01)
    return Checkpoint(settings, ready(predictor, device), representation.to(device), split={})


def render(model: Checkpoint, n_clips: int, n_blocks: int, device: str = "cpu") -> None:
    """Roll out after a prompt of 10 s, as the ancestor did."""
    prompt = 0.1 * torch.randn(n_clips, MAX_SEQ_LEN * BLOCK_SIZE, device=device)
    for _ in roll_out(model.predictor, model.representation, prompt, n_blocks, torch.Generator(device)):
        pass


def _to_files(model: Checkpoint, n_clips: int) -> None:
    """As a person gets them, which moves the model to a GPU if there is one."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(MAX_SEQ_LEN * BLOCK_SIZE).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{n}.wav" for n in range(n_clips)]
        rendering = Rendering(n_blocks=MAX_SEQ_LEN, seed=0)
        ignored: Callable[[int], None] = lambda _: None  # noqa: E731 - a name for its type
        for _ in render_clips(model, "", [Prompt(noise, "noise")] * n_clips, paths, rendering, ignored):
            pass


def _growth(seconds: Mapping[int, float]) -> float:
    """What a block costs between the two longest clips, over what one costs in the shortest."""
    *_, second, longest = sorted(seconds)
    shortest = min(seconds)
    late = (seconds[longest] - seconds[second]) / (longest - second)
    return late / (seconds[shortest] / shortest)
