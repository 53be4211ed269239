"""The figures as a picture: how many times faster than peers, and which part of the limit."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from benchmarks.figures import Figure, number

_ROW, _HEAD = 0.27, 1.0  # inches


def save_plot(figures: Sequence[Figure], path: Path) -> None:
    """Draw bars for all that have a peer, and for all that have a limit."""
    ratios = [(f, f.ratio) for f in figures if f.ratio is not None]
    shares = [(f, 100 * f.share) for f in figures if f.share is not None]
    heights = [_HEAD + _ROW * len(some) for some in (ratios, shares)]
    canvas = Canvas(figsize=(11, sum(heights)), layout="constrained")
    above, below = canvas.subplots(2, 1, height_ratios=heights)
    _bars(above, ratios, [f"{number(ratio)}x {f.peer.name if f.peer else ''}" for f, ratio in ratios])
    above.set(xscale="log", title="times better than the peer; a line marks what is wanted")
    wanted = {row: f.target.bound for row, (f, _) in enumerate(ratios) if f.target and f.target.of == "ratio"}
    above.set_xlim(0.5, 5 * max([1, *wanted.values(), *(ratio for _, ratio in ratios)]))
    above.vlines(list(wanted.values()), [row - 0.45 for row in wanted], [row + 0.45 for row in wanted], color="tab:red")
    _bars(below, shares, [f"{share:.0f} %" for _, share in shares])
    below.set(
        xlim=(0, 115 * max([1, *(share / 100 for _, share in shares)])), title="per cent of what the machine allows"
    )
    canvas.savefig(path, dpi=110)


def _bars(axes: Axes, rows: Sequence[tuple[Figure, float]], labels: Sequence[str]) -> None:
    bars = axes.barh(range(len(rows)), [length for _, length in rows], color="tab:blue")
    axes.set_yticks(range(len(rows)), [f"{figure.group}: {figure.name}" for figure, _ in rows])
    axes.invert_yaxis()
    axes.bar_label(bars, labels, padding=3, fontsize=8)
