"""Scores of a listening test: mean opinions and preference shares, each with an interval.

Answers of one listener are alike, and so are answers to one item. Counted as independent they would promise more
certainty than there is, so the variance of a mean is clustered by listener and by item at once (Cameron, Gelbach &
Miller, "Robust inference with multiway clustering", 2011), and holds for other listeners and other clips than these.
"""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from pipeline.listening import ListeningError
from pipeline.listening.answer_key import AnswerKey
from pipeline.listening.answers import Answers, read

CONFIDENCE = 0.95  # the share of intervals that hold the truth


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        listener: who gave it.
        item: the clip or pair that it is about.
        value: the rating; or 1 for preferred, 0 for not.
    """

    listener: str
    item: str
    value: float


@dataclass(frozen=True)
class Estimate:
    """A mean of answers with its interval.

    Attributes:
        value: the mean.
        low: the interval's lower end. A mean opinion has none unless its answers differ, and are about two items or
            by two listeners.
        high: the interval's upper end, likewise.
        n_answers: the number of answers.
    """

    value: float
    low: float | None
    high: float | None
    n_answers: int


@dataclass(frozen=True)
class SystemScore:
    """The judgements of all listeners on one system.

    Attributes:
        system: its name.
        opinion: mean opinion score, 1 (bad) to 5 (excellent); None if none of its clips was rated.
        preferred: the share of its pairs, against whichever system, in which it was preferred; None without any.
            Every two systems meet equally often, so this ranks them as a Bradley-Terry model would. Its certainty
            depends on the opponents, so each `Preference` has an interval instead.
        n_choices: the number of choices behind that share.
    """

    system: str
    opinion: Estimate | None
    preferred: float | None
    n_choices: int


@dataclass(frozen=True)
class Preference:
    """The share of choices in which listeners preferred one system to another; None if they never chose."""

    system: str
    to: str
    share: Estimate | None


@dataclass(frozen=True)
class Remark:
    """A listener's remark beside an answer; `systems` names the clip's system, or the pair's A and B."""

    item: str
    systems: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Score:
    """The result of a listening test.

    Attributes:
        test: the test's id.
        n_listeners: the number of listeners who answered anything.
        n_ratings: the number of clips rated by all listeners together.
        n_choices: the number of pairs chosen from, likewise.
        n_blank: the number of answers that those listeners left out.
        systems: in the answer key's order.
        preferences: every two systems once.
        remarks: all of them.
        notes: sentences on files that were not counted.
    """

    test: str
    n_listeners: int
    n_ratings: int
    n_choices: int
    n_blank: int
    systems: tuple[SystemScore, ...]
    preferences: tuple[Preference, ...]
    remarks: tuple[Remark, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as numbers, text and lists."""
        return {"quarterwave": "score", "format": 1, "interval": CONFIDENCE} | asdict(self)


def score(paths: Sequence[Path], key: AnswerKey) -> Score:
    """Score what listeners handed in.

    Args:
        paths: results files of the page, filled sheets, and folders of such.
        key: the answer key that `make_test` wrote.

    Raises:
        ListeningError: a file cannot be read, belongs to another test, or holds an answer that is not legal; or nobody
            answered anything.
    """
    handed_in, notes = _once_each([read(path, key) for path in _files(paths)])
    if not handed_in:
        raise ListeningError("answers are needed, and " + ("; ".join(notes) or "no file was given"))
    n_ratings = sum(len(answers.ratings) for answers in handed_in)
    n_choices = sum(len(answers.preferred) for answers in handed_in)
    n_items = len(key.clips) + len(key.pairs)
    return Score(
        test=key.test,
        n_listeners=len(handed_in),
        n_ratings=n_ratings,
        n_choices=n_choices,
        n_blank=n_items * len(handed_in) - n_ratings - n_choices,
        systems=tuple(_system_score(system, handed_in, key) for system in key.systems),
        preferences=tuple(_preference(a, b, handed_in, key) for a, b in combinations(key.systems, 2)),
        remarks=tuple(_remarks(handed_in, key)),
        notes=tuple(notes),
    )


# ---- files ----


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(file for file in path.glob("*") if _may_hold_answers(file)) if path.is_dir() else [path]
        if not inside:
            raise ListeningError(f"{path}: results (.json) or filled sheets (.csv) are needed, and the folder has none")
        found += inside
    return list({path.resolve(): path for path in found}.values())


def _may_hold_answers(file: Path) -> bool:
    """Report whether to read a file of a folder: a sheet, or JSON that is neither an answer key nor scores."""
    if file.suffix.lower() != ".json":
        return file.suffix.lower() == ".csv"
    with suppress(ValueError, OSError, TypeError, KeyError):
        return json.loads(file.read_bytes())["quarterwave"] not in ("key", "score")
    return True  # `read` then refuses it by name


def _once_each(handed_in: Sequence[Answers]) -> tuple[list[Answers], list[str]]:
    """Keep what each listener saved last, leave out what is blank, and say so.

    Sheets carry no listener's name, and two listeners may well agree: sheets that are alike count, and a note says so.
    """
    kept: dict[str, Answers] = {}
    notes = []
    for answers in handed_in:
        other = kept.get(answers.listener)
        twin = next((k for k in kept.values() if k is not other and k.same_as(answers)), None)
        if answers and twin:
            notes.append(f"{answers.path}: the same answers as {twin.path}; counted as two listeners")
        if not answers:
            notes.append(f"{answers.path}: holds no answer")
        elif other is None:
            kept[answers.listener] = answers
        else:
            older, newer = sorted((other, answers), key=lambda each: each.saved)
            kept[answers.listener] = newer
            notes.append(f"{older.path}: not counted, {newer.path} is by the same listener")
    return list(kept.values()), notes


# ---- systems ----


def _system_score(system: str, handed_in: Sequence[Answers], key: AnswerKey) -> SystemScore:
    ratings = [
        Answer(answers.listener, clip, rating)
        for answers in handed_in
        for clip, rating in answers.ratings.items()
        if key.system_of[clip] == system
    ]
    choices = [c for other in key.systems if other != system for c in _choices(system, other, handed_in, key)]
    preferred = sum(choice.value for choice in choices) / len(choices) if choices else None
    return SystemScore(system, mean_opinion(ratings) if ratings else None, preferred, len(choices))


def _preference(system: str, to: str, handed_in: Sequence[Answers], key: AnswerKey) -> Preference:
    choices = _choices(system, to, handed_in, key)
    return Preference(system, to, share(choices) if choices else None)


def _choices(system: str, other: str, handed_in: Sequence[Answers], key: AnswerKey) -> list[Answer]:
    """Return every choice between two systems: 1 for the first, 0 for the other."""
    choices = []
    for pair in key.pairs:
        sides = {"A": key.system_of[pair.a], "B": key.system_of[pair.b]}
        if set(sides.values()) == {system, other}:
            choices += [
                Answer(answers.listener, pair.name, float(sides[answers.preferred[pair.name]] == system))
                for answers in handed_in
                if pair.name in answers.preferred
            ]
    return choices


def _remarks(handed_in: Sequence[Answers], key: AnswerKey) -> list[Remark]:
    systems: dict[str, tuple[str, ...]] = {clip.name: (clip.system,) for clip in key.clips}
    systems |= {pair.name: (key.system_of[pair.a], key.system_of[pair.b]) for pair in key.pairs}
    return [Remark(item, systems[item], text) for answers in handed_in for item, text in answers.remarks.items()]


# ---- intervals ----


def mean_opinion(answers: Sequence[Answer]) -> Estimate:
    """Estimate the mean rating with a t interval, limited to the scale of 1 to 5."""
    mean, variance, freedom = _clustered(answers)
    if variance == 0.0:
        return Estimate(mean, None, None, len(answers))
    low, high = stats.t.interval(CONFIDENCE, freedom, mean, math.sqrt(variance))
    return Estimate(mean, max(1.0, float(low)), min(5.0, float(high)), len(answers))


def share(answers: Sequence[Answer]) -> Estimate:
    """Estimate a share of choices with Wilson's interval (1927).

    The interval is that of as many independent choices as would be equally certain: the clustered variance says how
    many, corrected for the few clusters that it is known from (Korn & Graubard, "Confidence intervals for proportions
    with small expected number of positive counts estimated from survey data", 1998), but never more than there are.
    That is rarely a whole number, which SciPy's Wilson interval would need.
    """
    mean, variance, freedom = _clustered(answers)
    n = len(answers)
    n_effective = float(n)
    if variance > 0.0:
        independent = mean * (1 - mean) / (n - 1)
        ratio = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) / stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
        n_effective *= min(1.0, independent / variance * float(ratio) ** 2)
    squared = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) ** 2
    centre = mean + squared / (2 * n_effective)
    half_width = math.sqrt(squared * (mean * (1 - mean) / n_effective + squared / (4 * n_effective**2)))
    scale = 1 + squared / n_effective
    return Estimate(mean, max(0.0, (centre - half_width) / scale), min(1.0, (centre + half_width) / scale), n)


def _clustered(answers: Sequence[Answer]) -> tuple[float, float, float]:
    """Return the mean, its variance, and the variance's degrees of freedom after Satterthwaite (1946).

    The latter two are 0 if nothing is known: there is one listener and one item, or all answers are alike.
    """
    values = np.array([answer.value for answer in answers])
    mean, residuals = float(values.mean()), values - values.mean()
    known = []  # [(variance, degrees of freedom)] of the mean with answers in clusters
    for names in ([answer.listener for answer in answers], [answer.item for answer in answers]):
        sums = np.bincount(np.unique(names, return_inverse=True)[1], weights=residuals)
        if (n := len(sums)) > 1:
            known.append((n / (n - 1) * float(np.square(sums).sum()) / len(values) ** 2, n - 1.0))
    # What scatters with neither listener nor item is in both: it is subtracted once, but never goes below either.
    both = float(np.square(residuals).sum()) / len(values) ** 2 if len(known) == 2 else 0.0
    variances = [variance for variance, _ in known]
    variance = max([*variances, sum(variances) - both], default=0.0)
    if variance == 0.0:
        return mean, 0.0, 0.0
    return mean, variance, variance**2 / sum(part**2 / freedom for part, freedom in known)
