"""Listeners' answers and the key become mean opinion scores and preference shares, with intervals."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from pipeline.listening import ListeningError
from pipeline.listening import key as keys
from pipeline.listening.intervals import LEVEL, Answer, Estimate, mean_opinion, share
from pipeline.listening.key import Key
from pipeline.listening.sheets import Answers, read


@dataclass(frozen=True)
class SystemScore:
    """How one system fared.

    Attributes:
        system: its name.
        opinion: mean opinion score, 1 (bad) to 5 (excellent); None if none of its clips was rated.
        preferred: the share of its pairs, against whichever system, in which it was preferred; None without any.
            Every two systems meet equally often, so this ranks them as a Bradley-Terry model would. How sure it is
            depends on the opponents, so `Preference` tells that for each.
        n_choices: behind it.
    """

    system: str
    opinion: Estimate | None
    preferred: float | None
    n_choices: int


@dataclass(frozen=True)
class Preference:
    """How often listeners preferred one system to another; None if they never chose."""

    system: str
    to: str
    share: Estimate | None


@dataclass(frozen=True)
class Remark:
    """What a listener wrote beside an answer; `systems` names the clip's system, or the pair's A and B."""

    item: str
    systems: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Score:
    """The result of a listening test.

    Attributes:
        test: its id.
        n_listeners: who answered anything.
        n_ratings: clips rated, by all together.
        n_choices: pairs chosen from, likewise.
        n_blank: answers that those listeners left out.
        systems: in the key's order.
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
        """Everything in numbers, text and lists."""
        return {"quarterwave": "score", "format": 1, "interval": LEVEL} | asdict(self)


def score(paths: Sequence[Path], key: Path | Key) -> Score:
    """Score what listeners handed in.

    Args:
        paths: results files of the page, filled sheets, and folders of such.
        key: that `make_test` wrote.

    Raises:
        ListeningError: a file cannot be read, is of another test, or holds an answer that is not legal; or nobody
            answered anything.
    """
    key = key if isinstance(key, Key) else keys.load(key)
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


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(file for file in path.glob("*") if _may_hold_answers(file)) if path.is_dir() else [path]
        if not inside:
            raise ListeningError(f"{path}: results (.json) or filled sheets (.csv) are needed, and the folder has none")
        found += inside
    return list({path.resolve(): path for path in found}.values())


def _may_hold_answers(file: Path) -> bool:
    """Whether a file in a folder is to be read: a sheet, or JSON that is not our own key or score."""
    if file.suffix.lower() != ".json":
        return file.suffix.lower() == ".csv"
    with suppress(ValueError, OSError, TypeError, KeyError):
        return json.loads(file.read_bytes())["quarterwave"] not in ("key", "score")
    return True  # and refused by name when it is read


def _once_each(handed_in: Sequence[Answers]) -> tuple[list[Answers], list[str]]:
    """Keep what each listener saved last, leave out what is blank, and say so.

    Sheets carry no listener's name, and two listeners may well agree: sheets that are alike are counted, and said.
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


def _system_score(system: str, handed_in: Sequence[Answers], key: Key) -> SystemScore:
    ratings = [
        Answer(answers.listener, clip, rating)
        for answers in handed_in
        for clip, rating in answers.ratings.items()
        if key.system_of[clip] == system
    ]
    choices = _choices(system, [other for other in key.systems if other != system], handed_in, key)
    preferred = sum(choice.value for choice in choices) / len(choices) if choices else None
    return SystemScore(system, mean_opinion(ratings) if ratings else None, preferred, len(choices))


def _preference(system: str, to: str, handed_in: Sequence[Answers], key: Key) -> Preference:
    choices = _choices(system, [to], handed_in, key)
    return Preference(system, to, share(choices) if choices else None)


def _choices(system: str, others: Sequence[str], handed_in: Sequence[Answers], key: Key) -> list[Answer]:
    """Every choice between a system and one of others: 1 for the system, 0 for the other."""
    choices = []
    for pair in key.pairs:
        sides = {"A": key.system_of[pair.a], "B": key.system_of[pair.b]}
        if system in sides.values() and any(other in sides.values() for other in others):
            choices += [
                Answer(answers.listener, pair.name, float(sides[answers.preferred[pair.name]] == system))
                for answers in handed_in
                if pair.name in answers.preferred
            ]
    return choices


def _remarks(handed_in: Sequence[Answers], key: Key) -> list[Remark]:
    systems: dict[str, tuple[str, ...]] = {clip.name: (clip.system,) for clip in key.clips}
    systems |= {pair.name: (key.system_of[pair.a], key.system_of[pair.b]) for pair in key.pairs}
    return [Remark(item, systems[item], text) for answers in handed_in for item, text in answers.remarks.items()]
