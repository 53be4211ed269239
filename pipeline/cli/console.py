"""What the commands share in talking to a person: the console, progress bars, durations and sizes in words."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from waveforms.corpus import Corpus

PIPE_WIDTH = 160  # columns where nobody can tell us: a log file, a pipe

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar with a share, free text (the task's field `note`), time gone and time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield progress


def open_corpus(*places: str) -> Corpus:
    """Open a folder, or several places, as a corpus under a progress bar, and name each file that is left out.

    Raises:
        CorpusError: there is no such place, or nothing in it is usable.
    """
    with progress_bar() as bar:
        task = bar.add_task("reading recordings", total=None, note="")
        corpus = Corpus.open(*places, progress=lambda done, total: bar.update(task, completed=done, total=total))
    for notice in corpus.notices:
        console.print(notice, markup=False)
    return corpus


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
