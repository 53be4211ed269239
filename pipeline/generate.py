"""One roll-out for every predictor: a prompt goes in, each predicted element is fed back, sound streams out."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from pipeline.predictors import Predictor
from pipeline.predictors.quantised import is_faster, quantised
from pipeline.representations import Representation
from pipeline.settings import Sampling

PROMPT_CHUNK = 64  # blocks of the prompt decoded at a time


def arithmetic(device: str) -> str:
    """In which roll-outs are computed on a device: "int8" where that is faster, or "float32".

    Either way clips are equally near to real music (docs/experiments.md, section 12).
    """
    return "int8" if device == "cpu" and is_faster() else "float32"


def ready(predictor: Predictor, device: str) -> Predictor:
    """A predictor to roll out with on a device; in 8 bits it cannot be trained any more."""
    predictor = predictor.eval().to(device)
    return quantised(predictor) if arithmetic(device) == "int8" else predictor


@torch.inference_mode()
def roll_out(
    predictor: Predictor,
    representation: Representation,
    prompt: Tensor,
    n_blocks: int,
    generator: Generator,
    sampling: Sampling = Sampling(),  # noqa: B008 - immutable
) -> Iterator[Tensor]:
    """Render the prompt and `n_blocks` after it.

    The prompt goes through the representation like everything else, so nothing changes where it ends. Memory does
    not grow with `n_blocks`, and time grows linearly.

    Args:
        predictor: as `ready` gives it, or any other in eval mode.
        representation: that it was trained with.
        prompt: whole blocks of waveform, one row a clip.
        n_blocks: to predict.
        generator: of every random draw.
        sampling: how daring they are.

    Yields:
        Pieces of waveform, (n_clips, n_samples) each, prompt first; all together
        (n_clips, n_prompt_samples + n_blocks * BLOCK_SIZE).

    Shape:
        prompt (n_clips, n_prompt_blocks * BLOCK_SIZE)
    """
    elements = representation.transform(torch.nn.functional.pad(prompt, representation.margins))
    decoder = representation.decoder()
    for chunk in torch.split(elements, PROMPT_CHUNK, dim=1):
        yield decoder.push(chunk)
    state = predictor.start(elements)
    for _ in range(n_blocks):
        element, state = predictor.step(state, generator, sampling)
        yield decoder.push(element[:, None])
    yield decoder.finish()
