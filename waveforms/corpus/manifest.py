"""A manifest: a list of recordings as JSON lines, one object a line.

    {"path": "takes/one.flac", "sha256": "9f86...", "seconds": 61.2, "split": "validation", "group": "op. 9 no. 2"}

Only `path` is required: relative to the manifest, absolute, or a URL. `sha256` and `seconds` are promises, and a file
that does not keep them is left out. `split` says on which side of the split the recording is. `group`, any text, names
the work that it belongs to, if the file's name does not (see `works`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waveforms.errors import CorpusError

SUFFIX = ".jsonl"
SPLITS = ("training", "validation")
_TYPES: dict[str, tuple[type, ...]] = {
    "path": (str,),
    "sha256": (str,),
    "seconds": (int, float),
    "split": (str,),
    "group": (str,),
}


@dataclass(frozen=True)
class Line:
    """One line of a manifest; None stands for a key that it lacks."""

    path: str
    sha256: str | None = None
    seconds: float | None = None
    split: str | None = None
    group: str | None = None


def parse(text: str, *, source: str | Path) -> list[Line]:
    """Read a manifest's lines and skip empty ones.

    >>> parse('{"path": "a.wav", "split": "training"}', source="list.jsonl")
    [Line(path='a.wav', sha256=None, seconds=None, split='training', group=None)]

    Args:
        text: the manifest's content.
        source: the manifest's name, for messages.

    Raises:
        CorpusError: a line is not as above, or two have one path; the message says which.
    """
    lines: list[Line] = []
    numbers: dict[str, int] = {}
    for number, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        line = _line(content, f"{source}, line {number}")
        if line.path in numbers:
            raise CorpusError(
                f"{source}, line {number}: each path stands once, and {line.path} stood in line {numbers[line.path]}"
            )
        numbers[line.path] = number
        lines.append(line)
    return lines


def _line(content: str, where: str) -> Line:
    try:
        values: Any = json.loads(content)
    except ValueError as error:
        raise CorpusError(f"{where}: a JSON object is needed, and this is none ({error})") from error
    if not isinstance(values, dict) or "path" not in values:
        raise CorpusError(f'{where}: a JSON object with "path" is needed, and this is {content.strip()[:60]}')
    if unknown := sorted(values.keys() - _TYPES.keys()):
        raise CorpusError(f"{where}: the keys are {', '.join(_TYPES)}, and not {', '.join(unknown)}")
    for key, value in values.items():
        if not isinstance(value, _TYPES[key]) or isinstance(value, bool):
            raise CorpusError(f"{where}: {key} must be {'a number' if key == 'seconds' else 'text'} and not {value!r}")
    line = Line(**values)
    if line.split not in (None, *SPLITS):
        raise CorpusError(f"{where}: split must be {' or '.join(SPLITS)} and not {line.split}")
    return line
