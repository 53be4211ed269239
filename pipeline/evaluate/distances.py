"""Distances between two sets of vectors: Frechet, and kernel (maximum mean discrepancy).

The Frechet distance compares Gaussians fitted to the sets. It is in everybody's papers, it feels
whatever moves mean or covariance, and it is biased: the smaller the sets, the greater it is. The kernel
distance assumes no Gaussian and is not biased, so it is the one to ask where clips are few.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.evaluate import EvaluationError

Vectors = npt.NDArray[np.floating]  # (n_vectors, dim)
Clips = Sequence[Vectors]  # one for each clip

_Doubles = npt.NDArray[np.float64]


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


def _gaussian(clips: Clips) -> tuple[_Doubles, _Doubles]:
    """Fit a Gaussian: its mean (dim,), and a root A of its covariance A'A, (min(n_vectors, dim), dim)."""
    vectors = stacked(clips)
    if len(vectors) < 2:
        raise EvaluationError(f"a covariance needs two vectors or more, and not {len(vectors)}")
    mean = vectors.mean(axis=0)
    root = (vectors - mean) / np.sqrt(len(vectors) - 1)
    if len(root) > root.shape[1]:
        root = np.linalg.qr(root, mode="r")
    return mean, root


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
        EvaluationError: a set has fewer than two clips, or vectors are not as `frechet` wants them.
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


def _squared_distances(vectors: _Doubles, others: _Doubles) -> _Doubles:
    """(n, dim), (m, dim) -> (n, m)."""
    squares = np.square(vectors).sum(1)[:, None] + np.square(others).sum(1) - 2.0 * vectors @ others.T
    clipped: _Doubles = np.maximum(squares, 0.0)  # rounding may leave -1e-16
    return clipped


def stacked(clips: Clips) -> _Doubles:
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


def gap_closed(fd_classic: float, fd_x: float, fd_real: float) -> float:
    """Tell how much of the way from the classic preset to real sound x has gone: 0 none, 1 all.

        (FD(classic) - FD(x)) / (FD(classic) - FD(real))

    Below 0, x is worse than classic; above 1, it is nearer than held-out real sound is.

    Raises:
        EvaluationError: classic is no further away than real sound, so there is no gap.
    """
    gap = fd_classic - fd_real
    if not gap > 0.0:
        raise EvaluationError(
            f"classic must be further away than real sound, and not {fd_classic:.3g} and {fd_real:.3g}"
        )
    return (fd_classic - fd_x) / gap
