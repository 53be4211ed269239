"""`python -m benchmarks`: measure speed and memory against peers and the machine, print tables, and save the figures.

Every figure is the median of several rounds after a warm-up. What is compared is run alternately, A B A B ..., because
the speed of a shared machine drifts. `results/bench.json` holds the figures, and `results/bench.png` shows them.

Everything but `gpu` is measured on the CPU, where the peers run. Only iterations and clips to files, which are measured
as a person gets them, use a GPU if there is one.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import command_line, ingest, iterations, machine, rolling, training
from benchmarks.figures import HEAD, Figure, save_plot, table
from benchmarks.peers.keras_process import PYTHON, Keras, has_keras
from benchmarks.recordings import make_recordings
from benchmarks.timing import FULL, QUICK, Effort
from waveforms.corpus import Corpus

RESULTS = Path(__file__).parent / "results"
WIDTH = 130  # columns at least, so that rows stay on a line where the output goes to a file
PARTS = ("machine", "start", "ingest", "notes", "training", "iterations", "roll-out", "memory", "gpu")


def measure(effort: Effort, parts: Sequence[str], console: Console) -> list[Figure]:
    """Measure some parts, in the order of PARTS."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["QUARTERWAVE_CACHE"] = str(home / "cache")  # the user's cache learns nothing of these recordings
        folder = home / "recordings"
        folder.mkdir()
        paths = make_recordings(folder, effort.n_recordings)
        keras = stack.enter_context(Keras()) if has_keras() else None
        if keras is None:
            console.print(f"left out: Keras, which is not in {PYTHON.parents[1]}; `make bench` puts it there")
        measures: dict[str, Callable[[], list[Figure]]] = {
            "machine": lambda: machine.measure(home, effort.n_rounds),
            "start": lambda: command_line.measure_start(effort.n_rounds),
            "ingest": lambda: ingest.measure(folder, paths, effort.n_rounds),
            "notes": lambda: ingest.measure_notes(paths[0], effort.n_rounds),
            "training": lambda: training.measure(keras, effort.batches, effort.n_rounds),
            "iterations": lambda: iterations.measure(Corpus.open(folder), home, effort.steps, effort.n_rounds),
            "roll-out": lambda: rolling.measure(
                keras, Corpus.open(folder), effort.clips, effort.n_clips, effort.n_rounds
            ),
            "memory": lambda: command_line.measure_memory(paths[0], effort.hours),
            "gpu": lambda: (
                training.measure_gpu(effort.batches, effort.n_rounds)
                + rolling.measure_gpu(Corpus.open(folder), effort.n_clips, effort.n_rounds)
            ),
        }
        if not torch.cuda.is_available():
            del measures["gpu"]
        figures = []
        for part, figures_of in measures.items():
            if part in parts:
                with console.status(f"measuring: {part}"):
                    figures += figures_of()
        return figures


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print a table for each group."""
    for group, members in groupby(figures, lambda figure: figure.group):
        grid = Table(*HEAD, title=group, title_justify="left", box=None)
        for row in table(list(members)):
            grid.add_row(*row)
        console.print(grid, "")


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short look: one round, fewer sizes")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; default: all")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"a part must be one of {', '.join(PARTS)} and not {', '.join(unknown)}")
    console = Console(width=max(Console().width, WIDTH))
    where = machine.describe()
    console.print(", ".join(f"{name} {value}" for name, value in where.items()))
    figures = measure(QUICK if args.quick else FULL, args.parts or PARTS, console)
    show(figures, console)
    RESULTS.mkdir(exist_ok=True)
    document = {"machine": where, "quick": args.quick, "figures": [figure.to_json() for figure in figures]}
    (RESULTS / "bench.json").write_text(json.dumps(document, indent=2) + "\n")
    save_plot(figures, RESULTS / "bench.png")
    console.print(f"wrote {RESULTS / 'bench.json'} and {RESULTS / 'bench.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
