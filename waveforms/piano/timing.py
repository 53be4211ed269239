"""Quarter notes -> seconds: the expressive tempo curve of a performance.

Sources of the rules:
    Todd, "A model of expressive timing in tonal music", Music Perception 3 (1985): phrases speed up towards their
        middle and slow down at their ends, on several levels at once.
    Repp, "Diversity and commonality in music performance", JASA 92 (1992): the arcs are parabolas.
    Friberg and Sundberg, "Does music performance allude to locomotion?", JASA 105 (1999): the final ritard
        follows v(x) = (1 + (w**q - 1) x)**(1/q), as a runner comes to a stop; q = 3 is liked best.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from waveforms.piano.score import Score, Style

Floats = NDArray[np.float64]

GRID = 1 / 16  # quarter notes; finer than any note that matters to tempo
FINAL_SPEED, RITARD_CURVATURE = 0.5, 3.0  # w and q of Friberg and Sundberg
FERMATA_SPEED = 0.7
DRIFT = 0.012  # std of slow tempo drift, as a share
SLOWEST, FASTEST = 0.4, 1.4  # bounds of all rules together, as shares of the tempo


def phrases(score: Score, style: Style) -> list[tuple[float, float]]:
    """Return (start, end) of every phrase in quarter notes: by fermatas in a chorale, else every few bars."""
    end = score.measures[-1].end
    fermatas = sorted({note.end for note in score.notes if note.fermata and note.end < end})
    if len(fermatas) >= 3:
        bounds = [0.0, *fermatas, end]
    else:
        upbeat = int(len(score.measures) > 1 and score.measures[0].length < score.measures[1].length)
        starts = [bar.start for bar in score.measures[upbeat :: style.phrase]]
        bounds = [0.0, *starts[1:], end]
    return list(pairwise(bounds))


def arc(position: Floats, start: float, end: float) -> Floats:
    """Compute a parabola over [start, end]: 1/3 in the middle, -2/3 at the ends, 0 on average.

    Shape:
        position: (n,) in quarter notes, inside the span -> (n,)
    """
    x = (position - start) / (end - start)
    return 4 * x * (1 - x) - 2 / 3


def final_ritard(x: Floats) -> Floats:
    """Compute the relative tempo along the final ritard, x from 0 (its beginning) to 1 (the last note).

    Shape:
        (n,) -> (n,)
    """
    speed: Floats = (1 + (FINAL_SPEED**RITARD_CURVATURE - 1) * x) ** (1 / RITARD_CURVATURE)
    return speed


class Clock:
    """A score's time map: a call with quarter notes returns seconds."""

    def __init__(self, score: Score, style: Style, rng: np.random.Generator) -> None:
        self._quarters = np.arange(0.0, score.quarters + GRID, GRID)
        middle = self._quarters[:-1] + GRID / 2
        speed = np.clip(self._expression(score, style, middle, rng), SLOWEST, FASTEST)
        seconds = GRID * 60 / (written_tempo(score, middle) * speed)
        self._seconds = np.concatenate([[0.0], np.cumsum(seconds)])

    def __call__(self, quarters: Floats) -> Floats:
        """Convert quarter notes to seconds, strictly increasing.

        Shape:
            (n,) -> (n,)
        """
        seconds: Floats = np.interp(quarters, self._quarters, self._seconds)
        return seconds

    @staticmethod
    def _expression(score: Score, style: Style, at: Floats, rng: np.random.Generator) -> Floats:
        """Compute the relative tempo at each point of the grid, 1 on average except for fermatas and the end."""
        speed = np.ones_like(at)
        levels = [(style.rubato, phrases(score, style)), (style.rubato / 2, [(0.0, score.quarters)])]
        for depth, spans in levels:
            for start, end in spans:
                inside = (at >= start) & (at < end)
                speed[inside] += depth * arc(at[inside], start, end)
        speed += _drift(len(at), rng)
        last = max(note.onset for note in score.notes)
        for start, end in _fermatas(score):
            if start < last:  # the last chord is not held by tempo
                speed[(at >= start) & (at < end)] *= FERMATA_SPEED
        begin = last - min(1.25 * score.measures[-1].length, 0.25 * score.quarters)
        ending = (at >= max(begin, 0.0)) & (at < last)
        speed[ending] *= final_ritard((at[ending] - begin) / (last - begin))
        return speed


def written_tempo(score: Score, at: Floats) -> Floats:
    """Look up the written tempo at each point, in quarter notes a minute.

    Shape:
        (n,) in quarter notes -> (n,)
    """
    bar = np.searchsorted([bar.start for bar in score.measures], at, side="right") - 1
    return np.array([bar.tempo for bar in score.measures])[bar]


def _drift(n_points: int, rng: np.random.Generator) -> Floats:
    """Make slow drift: white noise smoothed over two quarter notes, of std DRIFT."""
    width = round(2 / GRID)
    noise = rng.standard_normal(n_points + width)
    smooth = np.convolve(noise, np.hanning(width + 2)[1:-1], mode="same")[:n_points]
    drift: Floats = DRIFT * smooth / np.sqrt(np.sum(np.hanning(width + 2) ** 2))
    return drift


def _fermatas(score: Score) -> Iterator[tuple[float, float]]:
    """Yield the spans of fermatas, in quarter notes; one that several voices hold counts once."""
    longest: dict[float, float] = {}
    for note in score.notes:
        if note.fermata:
            longest[note.onset] = max(note.end, longest.get(note.onset, 0.0))
    reached = 0.0
    for onset, end in sorted(longest.items()):
        if end > reached:
            yield max(onset, reached), end
            reached = end
