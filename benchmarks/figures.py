"""What was measured and what it is compared with, as a table and as a plot."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

_ROW, _HEAD = 0.27, 1.0  # inches

Of = Literal["value", "ratio", "share"]


@dataclass(frozen=True)
class Reference:
    """What a figure is compared with, in the figure's unit.

    Attributes:
        name: the peer, or what the machine can do at most.
        value: its figure, from the same rounds.
    """

    name: str
    value: float


@dataclass(frozen=True)
class Target:
    """What a figure should reach.

    Attributes:
        of: the figure's value, its ratio to the peer or its share of the limit.
        bound: the least that it should be; for a value of which less is better, the most.
    """

    of: Of
    bound: float


@dataclass(frozen=True)
class Figure:
    """A median of several rounds.

    Attributes:
        group: the table that it belongs to.
        name: what was measured.
        value: the median.
        unit: the unit of the value.
        less_is_better: whether it is a time or a size.
        peer: another implementation of the same.
        limit: what this machine can do at most.
        target: what it should reach.
    """

    group: str
    name: str
    value: float
    unit: str
    less_is_better: bool = False
    peer: Reference | None = None
    limit: Reference | None = None
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better it is than the peer."""
        return self._better_than(self.peer)

    @property
    def share(self) -> float | None:
        """The part of the limit that it reaches; 1 is all of it."""
        return self._better_than(self.limit)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        reached = {"value": self.value, "ratio": self.ratio, "share": self.share}[self.target.of]
        if reached is None:
            return False
        if self.less_is_better and self.target.of == "value":
            return reached <= self.target.bound
        return reached >= self.target.bound

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, with ratio, share and whether the target is met."""
        return asdict(self) | {"ratio": self.ratio, "share": self.share, "is_met": self.is_met}

    def _better_than(self, other: Reference | None) -> float | None:
        if other is None:
            return None
        return other.value / self.value if self.less_is_better else self.value / other.value


HEAD = ("what", "figure", "peer", "limit", "target")


def table(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Make a row of text for each figure, under HEAD."""
    return [
        (
            figure.name,
            f"{number(figure.value)} {figure.unit}",
            f"{number(figure.ratio)}x {_named(figure.peer)}" if figure.peer and figure.ratio is not None else "",
            f"{100 * figure.share:.0f} % of {_named(figure.limit)}"
            if figure.limit and figure.share is not None
            else "",
            _target(figure),
        )
        for figure in figures
    ]


def _named(reference: Reference) -> str:
    return f"{reference.name} ({number(reference.value)})"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    bound = {
        "value": f"{number(figure.target.bound)} {figure.unit}",
        "ratio": f"{number(figure.target.bound)}x",
        "share": f"{100 * figure.target.bound:.0f} %",
    }[figure.target.of]
    return f"{bound}: {'met' if figure.is_met else 'missed'}"


def number(value: float) -> str:
    """Format with three significant figures, and with all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def save_plot(figures: Sequence[Figure], path: Path) -> None:
    """Plot bars: how many times better than its peer each figure is, and which part of its limit it reaches."""
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
