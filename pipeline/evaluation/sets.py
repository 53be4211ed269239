"""Sets of clips, each as the vectors that a network makes of it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.evaluation import EvaluationError

Vectors = npt.NDArray[np.floating]  # (n_vectors, dim)
Clips = Sequence[Vectors]  # one for each clip
Doubles = npt.NDArray[np.float64]


def stacked(clips: Clips) -> Doubles:
    """Put the vectors of all clips into one array, float64 (n_vectors, dim).

    Raises:
        EvaluationError: there is no clip, dimensions differ, or a number is not finite.
    """
    if len({clip.shape[1:] for clip in clips}) != 1:
        raise EvaluationError(f"a set must have clips of one dimension, and not {[clip.shape[1:] for clip in clips]}")
    vectors = np.concatenate([clip.astype(np.float64) for clip in clips])
    if not np.isfinite(vectors).all():
        raise EvaluationError("vectors must be finite to compare, and some are not")
    return vectors
