"""The Frechet distance of two sets of vectors: how far apart the Gaussians are that are fitted to them.

It is in everybody's papers, it feels whatever moves mean or covariance, and it is biased: the smaller the sets, the
greater it is.
"""

import numpy as np

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.sets import Clips, Doubles, stacked


def frechet(reference: Clips, other: Clips) -> float:
    """Tell the Frechet distance of the Gaussians fitted to two sets.

        |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1^(1/2) S2 S1^(1/2))^(1/2))

    Dowson & Landau, "The Frechet distance between multivariate normal distributions" (1982). The
    covariances are the plain ones, divided by n - 1, without shrinkage. No root of a covariance is
    taken: with S1 = A'A and S2 = B'B the last trace is the sum of the singular values of A B', which
    cannot be negative or complex, whatever the rank. What rounding leaves below 0 is cut off.

    Args:
        reference: a set of clips, vectors of shape (n_vectors, dim).
        other: another one, of the same dimension.

    Raises:
        EvaluationError: a set has fewer than two vectors, dimensions differ, or a number is not finite.
    """
    (mean, root), (other_mean, other_root) = _gaussian(reference), _gaussian(other)
    if len(mean) != len(other_mean):
        raise EvaluationError(f"sets must have one dimension to compare, and not {len(mean)} and {len(other_mean)}")
    overlap = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    spread = np.square(root).sum() + np.square(other_root).sum()
    return max(0.0, float(np.square(mean - other_mean).sum() + spread - 2.0 * overlap))


def _gaussian(clips: Clips) -> tuple[Doubles, Doubles]:
    """Fit a Gaussian: its mean (dim,), and a root A of its covariance A'A, (min(n_vectors, dim), dim)."""
    vectors = stacked(clips)
    if len(vectors) < 2:
        raise EvaluationError(f"a covariance needs two vectors or more, and not {len(vectors)}")
    mean = vectors.mean(axis=0)
    root = (vectors - mean) / np.sqrt(len(vectors) - 1)
    if len(root) > root.shape[1]:
        root = np.linalg.qr(root, mode="r")
    return mean, root
