"""`quarterwave notes`: the notes of recordings, as MIDI files."""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from waveforms.corpus import Corpus
    from waveforms.corpus.recording import Recording

HELP = "write down the notes of recordings, as MIDI files"
DESCRIPTION = """\
Transcribe each recording: onset, offset, pitch and velocity of every note.

  quarterwave notes recordings/                    writes notes/NAME.mid for each; also: lists NAME.jsonl, URLs
  quarterwave notes recordings/ more/ --out midi/
  quarterwave notes recordings/ --json | jq '.recordings[] | [.name, .n_notes, .source]'

Where a MIDI file of the same name lies beside a recording, as in MAESTRO, its notes are taken if they fit the sound; up
to a second early or late, they are moved. A file that does not fit is named with the reason, and left aside. A piano
transcriber reads all other recordings, a minute of music in a few seconds. The cache keeps its notes, so a second run
takes no time.

Training takes the MIDI file beside a recording for what the recording plays. Therefore transcribed notes go to a folder
of their own: look through them, and put the right ones beside the recordings.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `notes`."""
    parser.add_argument("places", nargs="+", metavar="FOLDER", help="recordings, as for `quarterwave train`")
    parser.add_argument(
        "--out", type=Path, default=Path("notes"), metavar="DIR", help="folder for the MIDI files (default: notes/)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--force", action="store_true", help="overwrite MIDI files of the same names")


def run(args: argparse.Namespace) -> int:
    """Write a MIDI file for each recording, and print how many notes it has and their source."""
    from pipeline.cli.console import console, open_corpus, progress_bar
    from waveforms.corpus import Corpus
    from waveforms.errors import AudioError

    corpus = Corpus.open(*args.places) if args.json else open_corpus(*args.places)
    targets = _targets(corpus, args.out, force=args.force)
    rows, problems, seconds = [], list(corpus.problems), 0.0
    with nullcontext() if args.json else progress_bar() as shown:
        bar = _Bar(shown, corpus.seconds)
        for recording, target in zip(corpus, targets, strict=True):
            try:
                rows.append(_write(recording, target, bar.transcribed))
                line = _line(rows[-1])
            except AudioError as error:
                problems.append(error)
                line = f"left out: {error}"
            bar.reached(seconds := seconds + recording.seconds)
            if not args.json:
                console.print(line, markup=False)
    if args.json:
        left_out = [{"path": str(problem.path), "reason": problem.reason} for problem in problems]
        print(json.dumps({"folder": str(args.out), "recordings": rows, "problems": left_out}, indent=2))
    else:
        n_notes = sum(row["n_notes"] for row in rows)
        console.print(f"wrote {n_notes} notes of {len(rows)} recordings to {args.out}/")
    return 0 if rows else 1


def _targets(corpus: "Corpus", out: Path, *, force: bool) -> list[Path]:
    """A MIDI file for each recording; where `a.wav` and `a.mp3` would meet, the later keeps its suffix.

    Raises:
        OutputError: one is there already, and force was not given.
    """
    from waveforms.files import check_free

    targets: list[Path] = []
    for recording in corpus:
        target = (out / recording.name).with_suffix(".mid")
        targets.append(target if target not in targets else out / f"{recording.name}.mid")
    for target in targets:
        check_free(target, force=force)
    return targets


def _write(recording: "Recording", target: Path, advanced: Callable[[float], object]) -> dict[str, Any]:
    """Find a recording's notes and write them: return a row of the report.

    Raises:
        AudioError: the recording cannot be read any more, or the MIDI file not be written.
        OutputError: its folder cannot be made.
    """
    from waveforms.corpus.notes import notes_of
    from waveforms.files import make_folder
    from waveforms.notes.midi import write_midi

    found = notes_of(recording, advanced)
    make_folder(target.parent)
    write_midi(target, found.notes.to_performance(target.stem))
    return {
        "name": recording.name,
        "seconds": recording.seconds,
        "n_notes": len(found.notes),
        "source": "MIDI beside it" if found.midi else "transcribed",
        "moved_by_seconds": found.offset,
        "left_aside": str(found.problem) if found.problem else None,
        "midi": str(target),
    }


def _line(row: dict[str, Any]) -> str:
    moved = f", moved by {row['moved_by_seconds']:+.2f} s" if row["moved_by_seconds"] else ""
    aside = f"; left aside: {row['left_aside']}" if row["left_aside"] else ""
    rate = row["n_notes"] / row["seconds"]
    return f"{row['name']}: {row['n_notes']} notes, {rate:.1f} a second, {row['source']}{moved}{aside}"


class _Bar:
    """Shows the progress of transcription, and its speed against real time.

    Args:
        bar: the console's; None shows nothing.
        seconds: of all recordings.
    """

    def __init__(self, bar: "Progress | None", seconds: float) -> None:
        self._bar = bar
        self._task = bar.add_task("transcribing", total=seconds, note="") if bar else None
        self._since = time.perf_counter()
        self._seconds = 0.0

    def transcribed(self, seconds: float) -> None:
        """Advance by transcribed seconds."""
        self._seconds += seconds
        if self._bar and self._task is not None:
            speed = self._seconds / (time.perf_counter() - self._since)
            self._bar.update(self._task, advance=seconds, note=f"{speed:.0f} times real time")

    def reached(self, seconds: float) -> None:
        """Set the bar to the duration of the recordings so far, of which the cache may have held some."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=seconds)
