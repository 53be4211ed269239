"""`quarterwave evaluate`: how good clips are, held against real music and the ancestor's model."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import CLIP_SECONDS

if TYPE_CHECKING:
    from pipeline.evaluation import EvaluationRequest
    from waveforms.corpus import Corpus

HELP = "measure clips against real music"
DESCRIPTION = """\
Measure clips: how near they come to real music, what notes they have, whether they copy, click, loop or fall silent.

  quarterwave evaluate clips/ --reference recordings/        a folder of clips of any system
  quarterwave evaluate checkpoints/recordings-classic        renders clips and measures them
  quarterwave evaluate checkpoints/piano.safetensors --prompts mine/ --reference mine/      on music of yours
  quarterwave evaluate before=old/ after=new/ --reference recordings/ --trained-on recordings/

Beside what you name, anchors are measured: real (other clips of the reference's recordings), continuation (what
recordings do after a checkpoint's prompts), resynthesis (the same, encoded and decoded), classic (the ancestor's
model, trained once on the reference and kept), shuffled, noise and silence. The gap closed says how far clips are on
the way from classic to real. OUT gets report.html, report.json (see docs/report.md) and the rendered clips.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `evaluate`."""
    parser.add_argument(
        "what",
        nargs="+",
        metavar="[NAME=]WHAT",
        help="a folder of clips, a clip, a checkpoint, or a run's folder",
    )
    add_flags(parser)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `compare` has as well."""
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FOLDER",
        help="real recordings (default: what the first checkpoint was trained on)",
    )
    parser.add_argument(
        "--trained-on",
        type=Path,
        metavar="FOLDER",
        help="where to look for copies (default: what each checkpoint was trained on)",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FOLDER",
        help="recordings, not learned from, that clips begin from (default: what each checkpoint held out)",
    )
    parser.add_argument(
        "--classic",
        type=Path,
        metavar="PATH",
        help="a checkpoint or clips for the anchor classic (default: trained once on the reference)",
    )
    parser.add_argument("--clips", type=int, default=32, metavar="N", help="of each system (default: 32)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=float(CLIP_SECONDS),
        metavar="S",
        help=f"length of a clip, in steps of 0.25 (default: {CLIP_SECONDS})",
    )
    parser.add_argument("--thorough", action="store_true", help="transcribe with transkun, too: it takes long")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of every random choice (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("evaluation"), metavar="DIR", help="default: evaluation")
    parser.add_argument("--force", action="store_true", help="overwrite a report")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print a table, and say what was written."""
    evaluate_and_write(args, request_of(args, args.what))
    return 0


def check_no_report(args: argparse.Namespace) -> None:
    """Refuse to overwrite a report.

    Raises:
        OutputError: there is one, and --force was not given.
    """
    from waveforms.files import check_free

    for name in ("report.json", "report.html"):
        check_free(args.out / name, force=args.force)


def request_of(args: argparse.Namespace, systems: Sequence[str], corpus: "Corpus | None" = None) -> "EvaluationRequest":
    """The request that the flags of `add_flags` make.

    Args:
        args: the flags.
        systems: see `EvaluationRequest`.
        corpus: that all checkpoints among them were trained on, where it is open.

    Raises:
        QuarterwaveError: see `EvaluationRequest`.
    """
    from pipeline.evaluation import EvaluationRequest

    return EvaluationRequest(
        systems,
        out=args.out,
        corpus=corpus,
        reference=args.reference,
        trained_on=args.trained_on,
        prompts=args.prompts,
        classic=args.classic,
        n_clips=args.clips,
        seconds=args.seconds,
        seed=args.seed,
        thorough=args.thorough,
    )


def evaluate_and_write(args: argparse.Namespace, request: "EvaluationRequest") -> None:
    """Evaluate under a progress bar, and write and print the report.

    Raises:
        QuarterwaveError: see `evaluation.evaluate`.
    """
    from pipeline.cli.console import progress_bar
    from pipeline.cli.report import print_report
    from pipeline.evaluation import evaluate

    check_no_report(args)
    with progress_bar() as bar:

        def start(description: str, n_parts: int) -> Callable[[int], None]:
            task = bar.add_task(description, total=n_parts, note="")
            return lambda n_done: bar.advance(task, n_done)

        evaluation = evaluate(request, start)
    evaluation.write(args.out)
    print_report(evaluation.report, args.out)
