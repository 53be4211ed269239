"""All distances of an evaluation with joint intervals: each replicate draws every set's clips anew, once for all.

A gap closed is made of three distances to one reference, so they must be resampled together. For that to be quick,
the inner products of all vectors are taken once, and each replicate computes its distances from them alone.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.kernel import median_distance
from pipeline.evaluation.sets import Clips, Doubles, stacked

Draw = npt.NDArray[np.int64]  # numbers of clips, (n_clips,)


class Resampler:
    """Distances between a reference and other sets, for any draw of their clips.

    Args:
        reference: clips of one number of vectors each.
        others: likewise, as many clips in each.
    """

    def __init__(self, reference: Clips, others: Mapping[str, Clips]) -> None:
        self._n_each = len(reference[0])
        self._vectors = {name: stacked(clips) for name, clips in others.items()}
        self._reference = stacked(reference)
        # Distances do not change when all is moved together; near the origin, products keep more digits.
        middle = self._reference.mean(axis=0)
        self._reference = self._reference - middle
        self._vectors = {name: vectors - middle for name, vectors in self._vectors.items()}
        self._within = self._reference @ self._reference.T
        self._own = {name: vectors @ vectors.T for name, vectors in self._vectors.items()}
        self._across = {name: self._reference @ vectors.T for name, vectors in self._vectors.items()}
        width = 2.0 * median_distance(reference) ** 2
        self._similar_within = self._by_clip(_similarity(self._within, self._within, self._within, width))
        self._similar = {
            name: (
                self._by_clip(_similarity(own, own, own, width)),
                self._by_clip(_similarity(self._within, own, self._across[name], width)),
            )
            for name, own in self._own.items()
        }

    def frechet(self, name: str, reference: Draw, other: Draw) -> float:
        """As `frechet.frechet` of the drawn clips."""
        ours, weights = self._weights(reference)
        theirs, other_weights = self._weights(other)
        within, own = self._within[np.ix_(ours, ours)], self._own[name][np.ix_(theirs, theirs)]
        across = self._across[name][np.ix_(ours, theirs)]
        p, q = weights / weights.sum(), other_weights / other_weights.sum()
        mean, other_mean, both = p @ within @ p, q @ own @ q, p @ across @ q
        variance = _variance(within, weights, float(mean)) + _variance(own, other_weights, float(other_mean))
        centred = across - (across @ q)[:, None] - p @ across + both  # (n, m): products of deviations from the means
        roots = np.sqrt(weights / (weights.sum() - 1.0)), np.sqrt(other_weights / (other_weights.sum() - 1.0))
        overlap = np.linalg.svd(roots[0][:, None] * centred * roots[1], compute_uv=False).sum()
        return max(0.0, float(mean + other_mean - 2.0 * both + variance - 2.0 * overlap))

    def squared_mmd(self, name: str, reference: Draw, other: Draw) -> float:
        """As `kernel.squared_mmd` of the drawn clips, with the whole reference's bandwidth.

        A clip that is drawn twice is one clip: pairs of it with itself are left out, too.
        """
        own, across = self._similar[name]
        within = _mean_apart(self._similar_within, reference) + _mean_apart(own, other)
        return within - 2.0 * float(across[np.ix_(reference, other)].mean())

    def _weights(self, draw: Draw) -> tuple[Draw, Doubles]:
        """The vectors of the clips that were drawn, and how often: clips drawn twice need not be looked at twice."""
        clips, counts = np.unique(draw, return_counts=True)
        vectors = (clips[:, None] * self._n_each + np.arange(self._n_each)).ravel()
        return vectors, np.repeat(counts, self._n_each).astype(np.float64)

    def _by_clip(self, similarity: Doubles) -> Doubles:
        """Mean over the vectors of each pair of clips, (n_clips, n_clips)."""
        n, m = (size // self._n_each for size in similarity.shape)
        by_clip: Doubles = similarity.reshape(n, self._n_each, m, self._n_each).mean(axis=(1, 3))
        return by_clip


def replicates(
    statistics: Callable[[Sequence[Draw]], Doubles],
    n_clips: int,
    n_sets: int,
    *,
    seed: int,
    n_replicates: int,
    advanced: Callable[[int], None],
) -> Doubles:
    """Draw all sets anew, again and again.

    Args:
        statistics: of one draw for each set; (n_statistics,).
        n_clips: in each set.
        n_sets: as many draws are made.
        seed: of the draws.
        n_replicates: how often.
        advanced: called with 1 after each.

    Returns:
        (n_replicates, n_statistics).
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_replicates):
        rows.append(statistics(list(rng.integers(n_clips, size=(n_sets, n_clips)))))
        advanced(1)
    return np.array(rows)


def _similarity(own: Doubles, other: Doubles, across: Doubles, width: float) -> Doubles:
    squares = np.diag(own)[:, None] + np.diag(other) - 2.0 * across
    similarity: Doubles = np.exp(-np.maximum(squares, 0.0) / width)
    return similarity


def _variance(products: Doubles, weights: Doubles, squared_mean: float) -> float:
    n = weights.sum()
    return float((weights @ np.diag(products) - n * squared_mean) / (n - 1.0))


def _mean_apart(similarity: Doubles, draw: Draw) -> float:
    """Mean over pairs of two clips."""
    apart = draw[:, None] != draw
    return float(similarity[np.ix_(draw, draw)][apart].mean()) if apart.any() else 1.0
