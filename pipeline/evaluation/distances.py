"""How far a system's clips lie from the reference's in each embedding, and how much of the gap it closes.

    vectors of clips -> Frechet distance, kernel distance -> between the anchors' distances -> gap closed

Each replicate of an interval resamples every set's clips, once for all numbers: a gap closed is made of three
distances to one reference, so they must be resampled together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

from pipeline.evaluation.report import Value
from pipeline.evaluation.statistics import with_interval
from pipeline.pretrained.embeddings import NAMES, Vectors

FAR, NEAR = "classic", "real"  # the anchors between which a gap closes
N_REPLICATES = 200

_N_SIZES = 10
_N_SUBSETS = 4  # of each size, whose distances are averaged; the fit's error says what it costs
_SMALLEST = 0.5  # of the set: further down the line bends, the more so the fewer vectors a dimension has
_LEAST_CLIPS = 8  # that can be extrapolated

Doubles = npt.NDArray[np.float64]
VectorSet = Doubles  # (n_clips, n_vectors, dim): clips of one length
Sample = npt.NDArray[np.int64]  # numbers of clips, some of them perhaps more than once


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian fitted to vectors.

    Attributes:
        mean: (dim,).
        root: a root A of the covariance A'A, (min(n_vectors, dim), dim).
    """

    mean: Doubles
    root: Doubles

    @classmethod
    def of(cls, vectors: VectorSet, sample: Sample | None = None) -> Self:
        """Fit a Gaussian to the vectors of a set's clips, or of a sample of them.

        The covariance is the plain one, divided by n - 1, without shrinkage.
        """
        numbers = np.arange(len(vectors)) if sample is None else sample
        clips, counts = np.unique(numbers, return_counts=True)  # a clip that is sampled twice weighs twice
        weights = np.repeat(counts, vectors.shape[1]).astype(np.float64)
        points, n = vectors[clips].reshape(len(weights), -1), weights.sum()
        mean = weights @ points / n
        root = np.sqrt(weights / (n - 1.0))[:, None] * (points - mean)
        if len(root) > root.shape[1]:
            root = np.linalg.qr(root, mode="r")
        return cls(mean, root)


def frechet(one: Gaussian, other: Gaussian) -> float:
    """Compute the Frechet distance of two Gaussians.

        |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1^(1/2) S2 S1^(1/2))^(1/2))

    Dowson & Landau, "The Frechet distance between multivariate normal distributions" (1982). It responds to whatever
    moves mean or covariance, and it is biased: the smaller the sets, the greater it is.

    No root of a covariance is taken, as scipy.linalg.sqrtm would: with S1 = A'A and S2 = B'B the last trace is the sum
    of the singular values of A B', which cannot be negative or complex, whatever the rank. What rounding leaves below
    0 is cut off.
    """
    overlap = np.linalg.svd(one.root @ other.root.T, compute_uv=False).sum()
    variance = np.square(one.root).sum() + np.square(other.root).sum()
    return max(0.0, float(np.square(one.mean - other.mean).sum() + variance - 2.0 * overlap))


def extrapolated_frechet(reference: VectorSet, other: VectorSet, *, seed: int) -> tuple[float, float]:
    """Extrapolate the Frechet distance to infinitely many clips on both sides.

    Chong & Forsyth, "Effectively unbiased FID and Inception Score and where to find them" (CVPR 2020): the bias is
    near enough to c / n, so the distances of subsets of growing size lie on a line in 1 / n. There only the generated
    set shrinks, since its reference is huge; ours is as small as the set itself, so both shrink together, and the
    biases of both are gone at the end of the line. With fewer vectors than dimensions the line is a curve, and the
    distance is still too great.

    Args:
        reference: a set of 8 clips or more.
        other: a set of as many.
        seed: seeds the subsets.

    Returns:
        The distance where the line meets 1 / n_clips = 0, cut off at 0, and the standard error of that point.
    """
    n_all, rng = len(reference), np.random.default_rng(seed)

    def mean_distance(size: int) -> float:
        found = []
        for _ in range(1 if size == n_all else _N_SUBSETS):
            ours, theirs = (rng.choice(n_all, size, replace=False) for _ in range(2))
            found.append(frechet(Gaussian.of(reference, ours), Gaussian.of(other, theirs)))
        return float(np.mean(found))

    inverse = np.linspace(1.0 / n_all, 1.0 / (_SMALLEST * n_all), _N_SIZES)  # even steps along the line
    sizes = np.unique(np.rint(1.0 / inverse).astype(np.int64))
    distances = [mean_distance(int(size)) for size in sizes]
    (_, intercept), covariance = np.polyfit(1.0 / sizes, distances, 1, cov=True)
    return max(0.0, float(intercept)), float(np.sqrt(covariance[1, 1]))


class KernelDistance:
    """The kernel distance of two sets (squared maximum mean discrepancy), whole or sampled.

    Gretton et al., "A kernel two-sample test" (2012), with a Gaussian kernel as wide as the median distance within the
    reference, as in Chung et al., "KAD: no more FAD!" (2025). It assumes no Gaussian and is not biased, so it is the
    one to trust where clips are few. Unlike in the papers, pairs from one clip are left out of the means within a set:
    they are not independent, and would say more about the clips' evenness than about the set's.

    Args:
        reference: a set of two clips or more.
        other: another one.
    """

    def __init__(self, reference: VectorSet, other: VectorSet) -> None:
        gamma = 0.5 / median_distance(reference) ** 2
        self._within = _similarity(reference, reference, gamma)
        self._own = _similarity(other, other, gamma)
        self._across = _similarity(reference, other, gamma)

    def squared_mmd(self, ours: Sample | None = None, theirs: Sample | None = None) -> float:
        """Return the unbiased estimate: at most 2; around 0, and so below it half of the time, if the sets are alike.

        A clip that is sampled twice is one clip: pairs of it with itself are left out, too.
        """
        ours, theirs = (
            np.arange(n) if s is None else s for n, s in zip(self._across.shape, (ours, theirs), strict=True)
        )
        within = _mean_apart(self._within, ours) + _mean_apart(self._own, theirs)
        return within - 2.0 * float(self._across[np.ix_(ours, theirs)].mean())


def median_distance(vectors: VectorSet) -> float:
    """Return the median distance of two vectors of different clips; 1 if it is 0, for a set without variance."""
    n_clips, n_vectors, dim = vectors.shape
    numbers = np.repeat(np.arange(n_clips), n_vectors)
    distances = euclidean_distances(vectors.reshape(-1, dim))
    return float(np.median(distances[numbers[:, None] != numbers])) or 1.0


def _similarity(one: VectorSet, other: VectorSet, gamma: float) -> Doubles:
    """Average the kernel over the vectors of each pair of clips, (n_clips, m_clips)."""
    similarity = rbf_kernel(one.reshape(-1, one.shape[2]), other.reshape(-1, other.shape[2]), gamma)
    by_clip: Doubles = similarity.reshape(*one.shape[:2], *other.shape[:2]).mean(axis=(1, 3))
    return by_clip


def _mean_apart(similarity: Doubles, sample: Sample) -> float:
    """Average over pairs of two different clips."""
    apart = sample[:, None] != sample
    return float(similarity[np.ix_(sample, sample)][apart].mean()) if apart.any() else 1.0


def distances_of(
    reference: Mapping[str, Sequence[Vectors]],
    systems: Mapping[str, Mapping[str, Sequence[Vectors]]],
    *,
    seed: int,
    advanced: Callable[[int], None],
) -> dict[str, dict[str, Value]]:
    """Compute every distance of every system.

    Args:
        reference: the vectors of its clips in each embedding of NAMES.
        systems: as many clips of each, the anchors FAR and NEAR among them.
        seed: of the replicates.
        advanced: called N_REPLICATES times with 1, and once more for each system.

    Returns:
        {system: {measure: value}}.
    """
    real = {e: _stacked(reference[e]) for e in NAMES}
    sets = {name: {e: _stacked(vectors[e]) for e in NAMES} for name, vectors in systems.items()}
    kernels = {name: {e: KernelDistance(real[e], sets[name][e]) for e in NAMES} for name in sets}
    n_clips = len(real[NAMES[0]])

    def both(ours: Sample, theirs: Sequence[Sample]) -> Doubles:
        """Both distances of one sample of each set, (2, n_embeddings, n_systems)."""
        found = np.empty((2, len(NAMES), len(sets)))
        for m, e in enumerate(NAMES):
            gaussian = Gaussian.of(real[e], ours)
            for k, (name, sample) in enumerate(zip(sets, theirs, strict=True)):
                found[0, m, k] = frechet(gaussian, Gaussian.of(sets[name][e], sample))
                found[1, m, k] = kernels[name][e].squared_mmd(ours, sample)
        return found

    rng, replicates = np.random.default_rng(seed), []
    exact = both(np.arange(n_clips), [np.arange(n_clips)] * len(sets))
    for _ in range(N_REPLICATES):
        ours, *theirs = rng.integers(n_clips, size=(1 + len(sets), n_clips))
        replicates.append(both(ours, theirs))
        advanced(1)
    rows = np.array(replicates)  # (n_replicates, 2, n_embeddings, n_systems)
    anchors = list(sets).index(FAR), list(sets).index(NEAR)
    gaps, gap_rows = gap_closed(exact[0], *anchors), gap_closed(rows[:, 0], *anchors)
    values: dict[str, dict[str, Value]] = {}
    for k, name in enumerate(sets):
        values[name] = _gaps(gaps, gap_rows, k)
        for m, e in enumerate(NAMES):
            values[name][f"fd_{e}"] = with_interval(exact[0, m, k], rows[:, 0, m, k], least=0.0)
            values[name][f"fd_{e}_extrapolated"] = _extrapolated(real[e], sets[name][e], seed)
            values[name][f"mmd_{e}"] = with_interval(exact[1, m, k], rows[:, 1, m, k], least=0.0)
        advanced(1)
    return values


def _stacked(clips: Sequence[Vectors]) -> VectorSet:
    return np.stack(clips).astype(np.float64)


def gap_closed(distances: Doubles, far: int, near: int) -> Doubles:
    """Return how much of the way from one anchor to another each system has gone, in per cent.

        100 (FD(far) - FD(x)) / (FD(far) - FD(near))

    Below 0, x is worse than the far anchor; above 100, it is nearer to the reference than the near one is.

    Args:
        distances: Frechet distances, (..., n_systems).
        far: which system is the far anchor.
        near: which is the near one.

    Returns:
        (..., n_systems); NaN where the far anchor is no further away than the near one, so that there is no gap.
    """
    gap = distances[..., [far]] - distances[..., [near]]
    closed: Doubles = 100.0 * (distances[..., [far]] - distances) / np.where(gap > 0.0, gap, np.nan)
    return closed


def _gaps(exact: Doubles, rows: Doubles, k: int) -> dict[str, Value]:
    """One system's gap closed in each embedding and in the mean; no numbers if there is no gap in one of them.

    Args:
        exact: gaps closed, (n_embeddings, n_systems).
        rows: replicates of them, (n_replicates, n_embeddings, n_systems).
        k: which system.
    """
    if np.isnan(exact).any():
        return {name: Value(None) for name in ("gap_closed", *(f"gap_{e}" for e in NAMES))}

    def value(closed: float, replicates: Doubles) -> Value:
        return with_interval(closed, replicates[np.isfinite(replicates)])

    return {"gap_closed": value(exact[:, k].mean(), rows[:, :, k].mean(axis=1))} | {
        f"gap_{e}": value(exact[m, k], rows[:, m, k]) for m, e in enumerate(NAMES)
    }


def _extrapolated(reference: VectorSet, vectors: VectorSet, seed: int) -> Value:
    if len(reference) < _LEAST_CLIPS:
        return Value(None)
    distance, error = extrapolated_frechet(reference, vectors, seed=seed)
    return Value(distance, max(0.0, distance - 1.96 * error), distance + 1.96 * error)
