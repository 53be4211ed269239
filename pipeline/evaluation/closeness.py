"""How close each system is to the reference: distances, and the gap closed between two anchors, with intervals."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.embeddings import NAMES
from pipeline.evaluation.extrapolation import frechet_without_end
from pipeline.evaluation.frechet import frechet
from pipeline.evaluation.intervals import around
from pipeline.evaluation.kernel import squared_mmd
from pipeline.evaluation.report import Value
from pipeline.evaluation.resampling import Draw, Resampler, replicates
from pipeline.evaluation.sets import Clips, Doubles

FAR, NEAR = "classic", "real"  # the anchors between which a gap closes
N_REPLICATES = 200
_LEAST_CLIPS = 8  # that can be extrapolated
_N_DRAWS = 4  # subsets of each size that are averaged; the fit's error tells what it costs

Embedded = Mapping[str, Clips]  # by embedding


def distances_of(
    reference: Embedded, systems: Mapping[str, Embedded], *, seed: int, advanced: Callable[[int], None]
) -> dict[str, dict[str, Value]]:
    """Every distance of every system.

    Args:
        reference: its clips in each embedding of NAMES.
        systems: as many clips of each, the anchors FAR and NEAR among them.
        seed: of what is drawn.
        advanced: called N_REPLICATES times with 1, and once more for each system.

    Returns:
        {system: {measure: value}}.
    """
    resamplers = {e: Resampler(reference[e], {name: clips[e] for name, clips in systems.items()}) for e in NAMES}
    n_clips = len(reference[NAMES[0]])
    names = list(systems)

    def statistics(draws: Sequence[Draw]) -> Doubles:
        ours, theirs = draws[0], dict(zip(names, draws[1:], strict=True))
        pairs = list(itertools.product(NAMES, names))
        found = [resamplers[e].frechet(name, ours, theirs[name]) for e, name in pairs]
        found += [resamplers[e].squared_mmd(name, ours, theirs[name]) for e, name in pairs]
        return np.array(found)

    rows = replicates(
        statistics, n_clips, 1 + len(names), seed=seed, n_replicates=N_REPLICATES, advanced=advanced
    ).reshape(N_REPLICATES, 2, len(NAMES), len(names))
    exact = {e: {name: frechet(reference[e], clips[e]) for name, clips in systems.items()} for e in NAMES}
    values: dict[str, dict[str, Value]] = {}
    for k, (name, clips) in enumerate(systems.items()):
        found = _gaps(exact, rows[:, 0], names, name)
        for m, e in enumerate(NAMES):
            found[f"fd_{e}"] = _value(exact[e][name], rows[:, 0, m, k], least=0.0)
            found[f"fd_{e}_without_end"] = _without_end(reference[e], clips[e], seed)
            found[f"mmd_{e}"] = _value(squared_mmd(reference[e], clips[e]), rows[:, 1, m, k], least=0.0)
        values[name] = found
        advanced(1)
    return values


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


def _gaps(exact: Mapping[str, Mapping[str, float]], rows: Doubles, names: Sequence[str], name: str) -> dict[str, Value]:
    """The gap closed in each embedding and in the mean, in per cent; none where there is no gap.

    Args:
        exact: {embedding: {system: distance}}.
        rows: replicates of them, (n_replicates, n_embeddings, n_systems).
        names: of the systems.
        name: whose gap it is.
    """
    far, near, own = (rows[:, :, names.index(each)] for each in (FAR, NEAR, name))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.where(far > near, 100 * (far - own) / (far - near), np.nan)  # (n_replicates, n_embeddings)
    try:
        closed = [100 * gap_closed(exact[e][FAR], exact[e][name], exact[e][NEAR]) for e in NAMES]
    except EvaluationError:
        return {"gap_closed": Value(None)} | {f"gap_{e}": Value(None) for e in NAMES}
    return {"gap_closed": _value(float(np.mean(closed)), drawn.mean(axis=1))} | {
        f"gap_{e}": _value(closed[m], drawn[:, m]) for m, e in enumerate(NAMES)
    }


def _without_end(reference: Clips, clips: Clips, seed: int) -> Value:
    if len(reference) < _LEAST_CLIPS:
        return Value(None)
    line = frechet_without_end(reference, clips, seed=seed, n_draws=_N_DRAWS)
    return Value(line.distance, max(0.0, line.distance - 1.96 * line.error), line.distance + 1.96 * line.error)


def _value(value: float, drawn: Doubles, least: float = -np.inf) -> Value:
    """A value with its interval; what lies below the least there can be is cut off there."""
    interval = around(value, drawn[np.isfinite(drawn)])
    return Value(max(least, value), max(least, interval.low), max(least, interval.high))
