"""What was measured, and what it is held against."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Of = Literal["value", "ratio", "share"]


@dataclass(frozen=True)
class Reference:
    """What a figure is held against, in the figure's unit.

    Attributes:
        name: of the peer, or of what the machine can do at most.
        value: its figure, from the same rounds.
    """

    name: str
    value: float


@dataclass(frozen=True)
class Target:
    """What we want.

    Attributes:
        of: the figure's value, its ratio to the peer or its share of the limit.
        bound: at least so much; where less is better, a value is at most so much.
    """

    of: Of
    bound: float


@dataclass(frozen=True)
class Figure:
    """A median of several rounds.

    Attributes:
        group: what it belongs to.
        name: what was measured.
        value: how much.
        unit: of what.
        less_is_better: of seconds and bytes.
        peer: somebody else's way to the same.
        limit: what this machine can do.
        target: what we want of it.
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
        """How many times better than the peer."""
        return self._better_than(self.peer)

    @property
    def share(self) -> float | None:
        """The part of the limit that is reached, 1 being all."""
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
        """As plain dictionaries, with what follows from them."""
        return asdict(self) | {"ratio": self.ratio, "share": self.share, "is_met": self.is_met}

    def _better_than(self, other: Reference | None) -> float | None:
        if other is None:
            return None
        return other.value / self.value if self.less_is_better else self.value / other.value


HEAD = ("what", "figure", "peer", "limit", "target")


def table(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """A row of text for each figure, under HEAD."""
    return [
        (
            figure.name,
            f"{number(figure.value)} {figure.unit}",
            f"{number(figure.ratio)}x {_told(figure.peer)}" if figure.peer and figure.ratio is not None else "",
            f"{100 * figure.share:.0f} % of {_told(figure.limit)}" if figure.limit and figure.share is not None else "",
            _target(figure),
        )
        for figure in figures
    ]


def _told(reference: Reference) -> str:
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
    """Three figures, and all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
