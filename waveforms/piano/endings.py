"""First and second endings in MusicXML."""

from collections.abc import Iterator
from itertools import pairwise
from xml.etree.ElementTree import Element


def measures_of_first_endings(measures: list[Element]) -> set[int]:
    """Indices of bars under an ending that a later ending replaces."""
    endings = list(_endings(measures))
    skipped: set[int] = set()
    for (first, stop, _), (later_first, _, later_number) in pairwise(endings):
        if later_first == stop and not later_number.startswith("1"):
            skipped.update(range(first, stop))
    return skipped


def _endings(measures: list[Element]) -> Iterator[tuple[int, int, str]]:
    """(first bar, bar after the last, number) of every ending."""
    first = 0
    for index, measure in enumerate(measures):
        for ending in measure.iterfind("barline/ending"):
            if ending.get("type") == "start":
                first = index
            else:
                yield first, index + 1, ending.get("number", "")
