"""The answers that listeners hand in: a filled sheet (CSV) or the page's results file (JSON).

test,item,A,B,rating,preferred,remarks
5f3a…,clip-001,,,4,,
5f3a…,pair-001,clip-007,clip-002,,B,the left hand drags
"""

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.listening import ListeningError
from pipeline.listening.answer_key import AnswerKey

FORMAT = 1
COLUMNS = ("test", "item", "A", "B", "rating", "preferred", "remarks")
RATINGS = ("1", "2", "3", "4", "5")
SIDES = ("A", "B")


@dataclass
class Answers:
    """The answers of one listener.

    Attributes:
        path: the file.
        listener: an identifier, different for each listener.
        saved: the time at which the page saved them, as text that sorts.
        ratings: {clip: 1 to 5}.
        preferred: {pair: "A" or "B"}.
        remarks: {clip or pair: text}.
    """

    path: Path
    listener: str
    saved: str = ""
    ratings: dict[str, int] = field(default_factory=dict)
    preferred: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ratings) + len(self.preferred)

    def same_as(self, other: "Answers") -> bool:
        """Report whether every answer and remark is the same."""
        return (self.ratings, self.preferred, self.remarks) == (other.ratings, other.preferred, other.remarks)


def blank_sheet(key: AnswerKey) -> str:
    """Make the sheet that a listener fills in. The inverse is `read`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # as RFC 4180 has it
    writer.writerow(COLUMNS)
    writer.writerows((key.test, clip.name, "", "", "", "", "") for clip in key.clips)
    writer.writerows((key.test, pair.name, pair.a, pair.b, "", "", "") for pair in key.pairs)
    return text.getvalue()


def read(path: Path, key: AnswerKey) -> Answers:
    """Read what one listener handed in: a page's results if the file's name ends in .json, else a sheet.

    Raises:
        ListeningError: the file cannot be read, belongs to another test, names a clip or pair that the test does not
            have, or holds an answer that is not legal.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ListeningError(f"{path}: answers cannot be read: {(error.strerror or '').lower()}") from error
    return _results(path, content, key) if path.suffix.lower() == ".json" else _sheet(path, content, key)


def _sheet(path: Path, content: bytes, key: AnswerKey) -> Answers:
    # Only remarks can be other than ASCII: if a program saves them in another code page, no answer is lost.
    text = content.decode("utf-8-sig", errors="replace")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)  # spreadsheets write what their language has
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    if tuple(next(rows, [])) != COLUMNS:
        raise ListeningError(f"{path}: row 1: a sheet begins with {','.join(COLUMNS)} and not with {first.strip()!r}")
    answers = Answers(path, f"sheet {path.resolve()}")  # sheets carry no name
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        cells = dict(zip(COLUMNS, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        place = f"{path}: row {number}"
        if len(row) < len(COLUMNS):
            raise ListeningError(f"{place}: a row has {len(COLUMNS)} cells, and this has {len(row)}")
        _check_test(place, cells["test"], key)
        if cells["item"] in seen:
            raise ListeningError(f"{place}: an item stands once in a sheet, and {cells['item']} stands here again")
        seen.add(cells["item"])
        _take(answers, place, cells["item"], cells, key)
    return answers


def _results(path: Path, content: bytes, key: AnswerKey) -> Answers:
    try:
        document: dict[str, Any] = json.loads(content)
        if document["quarterwave"] != "results":
            raise ValueError
        if document["format"] > FORMAT:
            newer = f"format {FORMAT} can be read, and this is {document['format']}"
            raise ListeningError(f"{path}: results of a newer quarterwave: {newer}")
        _check_test(str(path), document["test"], key)
        answers = Answers(path, f"page {document['listener']}", str(document["saved"]))
        for item, given in document["answers"].items():
            cells = {name: str(given.get(name, "")).strip() for name in ("rating", "preferred", "remarks")}
            _take(answers, f"{path}: {item}", item, cells, key)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ListeningError(f"{path}: a results file that the page saved is needed, and this is not one") from error
    return answers


def _check_test(place: str, test: str, key: AnswerKey) -> None:
    if test != key.test:
        raise ListeningError(f"{place}: the answer key is of test {key.test}, and this is of test {test}")


def _take(answers: Answers, place: str, item: str, cells: dict[str, str], key: AnswerKey) -> None:
    """Check the answer to one item and add it, unless it is blank."""
    rating, preferred = cells["rating"], cells["preferred"].upper()
    if item in key.system_of:
        if preferred:
            raise ListeningError(f"{place}: {item} is a clip to rate, and cannot be preferred ({preferred!r})")
        if rating:
            answers.ratings[item] = int(_legal(place, "a rating", RATINGS, rating))
    elif any(pair.name == item for pair in key.pairs):
        if rating:
            raise ListeningError(f"{place}: {item} is a pair to choose from, and cannot be rated ({rating!r})")
        if preferred:
            answers.preferred[item] = _legal(place, "what is preferred", SIDES, preferred)
    else:
        legal = f"{key.clips[0].name} to {key.clips[-1].name}"
        legal += f" or {key.pairs[0].name} to {key.pairs[-1].name}" if key.pairs else ""
        raise ListeningError(f"{place}: an item must be {legal} and not {item!r}")
    if cells["remarks"]:
        answers.remarks[item] = cells["remarks"]


def _legal(place: str, what: str, legal: tuple[str, ...], given: str) -> str:
    if given not in legal:
        raise ListeningError(f"{place}: {what} must be {', '.join(legal[:-1])} or {legal[-1]} and not {given!r}")
    return given
