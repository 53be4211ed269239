"""The kernel distance of two sets of vectors (maximum mean discrepancy).

It assumes no Gaussian and is not biased, so it is the one to ask where clips are few.
"""

import numpy as np
import numpy.typing as npt

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.sets import Clips, Doubles, stacked


def kernel(reference: Clips, other: Clips, *, bandwidth: float | None = None) -> float:
    """Tell the kernel distance of two sets: the unbiased estimate of MMD^2, cut off at 0; at most 2.

    Gretton et al., "A kernel two-sample test" (2012), with a Gaussian kernel as wide as the median
    distance within the reference, as in Chung et al., "KAD: no more FAD!" (2025). Unlike there, pairs
    from one clip are left out of the means within a set: they are not independent, and would tell more
    of the clips' evenness than of the set's.

    Args:
        reference: a set of two clips or more.
        other: another one.
        bandwidth: of the kernel; `median_distance(reference)` if none is given.

    Raises:
        EvaluationError: a set has fewer than two clips, or vectors are not as `sets.stacked` wants them.
    """
    return max(0.0, squared_mmd(reference, other, bandwidth=bandwidth))


def squared_mmd(reference: Clips, other: Clips, *, bandwidth: float | None = None) -> float:
    """As `kernel`, but not cut off: around 0, and so below it half of the time, for sets of one distribution."""
    width = median_distance(reference) if bandwidth is None else bandwidth
    within = _mean_similarity(reference, reference, width) + _mean_similarity(other, other, width)
    return within - 2.0 * _mean_similarity(reference, other, width)


def median_distance(clips: Clips) -> float:
    """Tell the median distance of two vectors of different clips; 1 if it is 0, for a set without variance.

    Raises:
        EvaluationError: there are fewer than two clips.
    """
    squares = _squared_distances(stacked(clips), stacked(clips))
    median = float(np.sqrt(np.median(squares[_from_two_clips(clips)])))
    return median or 1.0


def _mean_similarity(clips: Clips, others: Clips, bandwidth: float) -> float:
    vectors, other_vectors = stacked(clips), stacked(others)
    if vectors.shape[1] != other_vectors.shape[1]:
        dims = f"{vectors.shape[1]} and {other_vectors.shape[1]}"
        raise EvaluationError(f"sets must have one dimension to compare, and not {dims}")
    similarity = np.exp(_squared_distances(vectors, other_vectors) / (-2.0 * bandwidth**2))
    return float(similarity[_from_two_clips(clips)].mean() if clips is others else similarity.mean())


def _from_two_clips(clips: Clips) -> npt.NDArray[np.bool_]:
    """Tell which pairs of a set's vectors are from different clips, (n_vectors, n_vectors)."""
    if len(clips) < 2:
        raise EvaluationError(f"a kernel distance needs two clips or more in each set, and not {len(clips)}")
    numbers = np.repeat(np.arange(len(clips)), [len(clip) for clip in clips])
    differ: npt.NDArray[np.bool_] = numbers[:, None] != numbers
    return differ


def _squared_distances(vectors: Doubles, others: Doubles) -> Doubles:
    """(n, dim), (m, dim) -> (n, m)."""
    squares = np.square(vectors).sum(1)[:, None] + np.square(others).sum(1) - 2.0 * vectors @ others.T
    clipped: Doubles = np.maximum(squares, 0.0)  # rounding may leave -1e-16
    return clipped
