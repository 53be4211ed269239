"""`quarterwave listen`: make a listening test, and score what listeners answered."""

import argparse
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.listening import ListeningError

if TYPE_CHECKING:
    from pipeline.listening.make import Made
    from pipeline.listening.scores import Estimate, Score

HELP = "make a blind listening test, and score it"
DESCRIPTION = """\
Make a listening test: nameless clips of equal length and loudness, in random order, to be rated and compared.

  quarterwave listen test/ --system ours=clips/ --system real=recordings/
  quarterwave listen --score results-*.json sheet.csv --key test-key.json

The first writes a folder to give to listeners: page.html for a browser (one file, offline), all.wav with labels and a
sheet for an audio editor. The key goes beside it, to test-key.json: keep it. The second reads what listeners hand back.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `listen`."""
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT", help="a new folder, for listeners")
    parser.add_argument("--key", type=Path, metavar="FILE", help="default: OUT-key.json, beside OUT")
    parser.add_argument("--force", action="store_true", help="overwrite files of the same names")
    test = parser.add_argument_group("make a test")
    test.add_argument(
        "--system",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="what is compared, and a folder of its recordings or clips; once for each",
    )
    test.add_argument("--clips", type=int, metavar="N", help="of each system (default: as many as all have, up to 12)")
    test.add_argument("--seconds", type=float, default=10.0, metavar="S", help="length of a clip (default: 10)")
    test.add_argument(
        "--loudness",
        type=float,
        default=-23.0,
        metavar="LUFS",
        help="of every clip, if all can reach it (default: -23)",
    )
    test.add_argument("--seed", type=int, metavar="N", help="of every random choice (default: a new one, in the key)")
    scoring = parser.add_argument_group("score a test")
    scoring.add_argument(
        "--score", nargs="+", type=Path, metavar="PATH", help="results files, filled sheets, or folders of such"
    )
    scoring.add_argument("--save", type=Path, metavar="FILE", help="write the scores as JSON, too")


def run(args: argparse.Namespace) -> int:
    """Make or score."""
    if args.score:
        return _score(args)
    if args.out is None:
        raise ListeningError("a folder to write to is needed: quarterwave listen OUT --system NAME=FOLDER ...")
    return _make(args)


def _make(args: argparse.Namespace) -> int:
    from pipeline.cli.console import console, progress_bar
    from pipeline.listening.make import make_test

    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    with progress_bar() as bar:
        task = bar.add_task("reading recordings", total=None, note="")
        made = make_test(
            _systems(args.system),
            args.out,
            seed=seed,
            n_clips=args.clips,
            seconds=args.seconds,
            loudness=args.loudness,
            key_path=args.key,
            force=args.force,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for line in _report(made, args.out):
        console.print(line, markup=False)
    return 0


def _systems(given: list[str]) -> dict[str, Path]:
    """Read NAME=FOLDER, NAME=FOLDER, ..."""
    systems: dict[str, Path] = {}
    for text in given:
        name, _, folder = text.partition("=")
        if not name.strip() or not folder:
            raise ListeningError(f"system must be NAME=FOLDER and not {text!r}")
        if name in systems:
            raise ListeningError(f"systems must have names of their own, and {name!r} comes twice")
        systems[name] = Path(folder)
    if not systems:
        raise ListeningError("a system or more is needed: --system NAME=FOLDER, once for each")
    return systems


def _report(made: "Made", out: Path) -> list[str]:
    from pipeline.cli.console import duration

    key = made.key
    lines = [f"left out: {problem}" for problem in made.left_out]
    if made.held_down:
        of = f"{made.held_down.recording} of {made.held_down.system}"
        lines.append(f"all clips are at {key.loudness:.1f} LUFS: the peaks of {of} allow no more")
    n_each = len(key.clips) // len(key.systems)
    takes = duration((len(key.clips) + 2 * len(key.pairs)) * key.seconds)
    lines += [
        f"test {key.test}, seed {key.seed}: {n_each} clips of each system and {len(key.pairs)} pairs; "
        f"all of it plays {takes}",
        f"wrote {out}/: page.html for a browser; all.wav, all.txt and sheet.csv for an audio editor",
        f"wrote {made.key_path}: keep it from listeners; it turns their answers into scores",
    ]
    return lines


def _score(args: argparse.Namespace) -> int:
    from pipeline.cli.console import console
    from pipeline.listening.answer_key import key_path_for, load
    from pipeline.listening.scores import score
    from waveforms.files import check_free, write_whole

    if args.key is None and args.out is None:
        raise ListeningError("the answer key is needed to score answers: --key FILE")
    if args.save:
        check_free(args.save, force=args.force)
    result = score(args.score, load(args.key or key_path_for(args.out)))
    _print(result)
    if args.save:
        write_whole(args.save, json.dumps(result.to_json(), indent=2, ensure_ascii=False) + "\n")
        console.print(f"wrote {args.save}", markup=False)
    return 0


def _print(result: "Score") -> None:
    from rich.table import Table
    from rich.text import Text

    from pipeline.cli.console import console

    for note in result.notes:
        console.print(note, markup=False)
    table = Table("system", "opinion (1 to 5)", "ratings", "preferred", "choices", box=None)
    for row in result.systems:
        opinion, n_ratings = _cells(row.opinion, 1, ".2f")
        preferred = "-" if row.preferred is None else f"{100 * row.preferred:.0f} %"
        table.add_row(
            *map(Text, (row.system, opinion, n_ratings, preferred, str(row.n_choices)))
        )  # brackets are no markup
    console.print(table)
    for pair in result.preferences:
        preferred, n_choices = _cells(pair.share, 100, ".0f", " %")
        console.print(f"{pair.system} preferred to {pair.to}: {preferred} of {n_choices} choices", markup=False)
    listeners = "1 listener" if result.n_listeners == 1 else f"{result.n_listeners} listeners"
    console.print(
        f"test {result.test}: {listeners}, {result.n_ratings} ratings, {result.n_choices} choices, "
        f"{result.n_blank} left blank; in brackets: 95 % intervals"
    )


def _cells(estimate: "Estimate | None", scale: float, form: str, unit: str = "") -> tuple[str, str]:
    if estimate is None:
        return "-", "0"
    text = f"{scale * estimate.value:{form}}{unit}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{scale * estimate.low:{form}}, {scale * estimate.high:{form}}]"
    return text, str(estimate.n_answers)
