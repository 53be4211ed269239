"""`quarterwave generate`: render clips from a checkpoint."""

import argparse
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.flags import add_sampling_flags, sampling_of
from pipeline.config import BEST, CLIP_SECONDS
from pipeline.errors import CheckpointError, SettingsError
from waveforms import SAMPLE_RATE

if TYPE_CHECKING:
    from pipeline.clips import Clip
    from pipeline.rendering import RenderRequest
    from waveforms.notes.events import Notes

HELP = "render clips from a checkpoint"
DESCRIPTION = """\
Render clips: read a prompt, predict the next block, feed it back, again and again.

  quarterwave generate                                  4 clips of 10 s from held-out prompts
  quarterwave generate --prompt mine.wav@12.5           begin from your own recording, 12.5 s into it
  quarterwave generate --prompt-mix a.wav*0.7 b.wav@3*0.3
  quarterwave generate --variation --temperature 0.9    four continuations of one prompt, more careful ones
  quarterwave generate --seconds 3600 --clips 1         an hour, in the same memory
  quarterwave generate --seed 7                         the same clips again, to the bit

  quarterwave generate --notes score.mid                play your MIDI file with the trained sound

Each clip is a WAV with cue marks and its provenance inside, an Audacity label file (.txt), its notes as MIDI (.mid) and
a picture (.png).
"""
ENCODINGS = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
CHECKPOINTS = Path("checkpoints")
SHIPPED = CHECKPOINTS / "piano.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `generate`."""
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="default: the newest best.safetensors under checkpoints/",
    )
    parser.add_argument("--out", type=Path, default=Path("clips"), metavar="DIR", help="default: clips")
    parser.add_argument("--clips", type=int, default=4, metavar="N", help="how many (default: 4)")
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help=f"length after the prompt, in steps of 0.25 (default: {CLIP_SECONDS}, or as long as --notes sound)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seed of every random number (default: a new one, printed)"
    )
    add_sampling_flags(parser)
    prompt = parser.add_argument_group("prompt")
    source = prompt.add_mutually_exclusive_group()
    source.add_argument(
        "--prompt",
        metavar="FILE[@S]|held-out|noise|silence",
        default="held-out",
        help="what clips begin from: your recording, S seconds into it; an excerpt that was held out from "
        "training; uniform noise; or silence (default: held-out)",
    )
    source.add_argument(
        "--prompt-mix",
        nargs="+",
        metavar="FILE[@S][*W]",
        help="a linear combination of recordings with weights W",
    )
    prompt.add_argument(
        "--prompt-seconds", type=float, default=5.0, metavar="S", help="length, in steps of 0.25 (default: 5)"
    )
    prompt.add_argument(
        "--variation", action="store_true", help="begin all clips from one prompt, to compare its continuations"
    )
    prompt.add_argument(
        "--notes",
        type=Path,
        metavar="FILE.mid",
        help="play these notes with the trained sound, from the prompt's end",
    )
    prompt.add_argument("--keep-prompt", action="store_true", help="begin the clip with its prompt")
    output = parser.add_argument_group("files")
    output.add_argument(
        "--level",
        default="peak",
        metavar="peak|clip|LUFS",
        help="peak: turn down what would pass -1 dBFS; clip: leave the level, cut what passes full scale; a number: "
        "bring each clip to that loudness in LUFS, but not past -1 dBFS (default: peak)",
    )
    output.add_argument("--encoding", choices=list(ENCODINGS), default="16", help="bits of a sample (default: 16)")
    output.add_argument("--mark-blocks", action="store_true", help="put a mark at every block")
    output.add_argument("--no-pictures", action="store_true", help="leave the pictures out")
    output.add_argument("--force", action="store_true", help="overwrite clips of the same names")


def run(args: argparse.Namespace) -> int:
    """Render, and print what was written, where, and what it cost."""
    sampling_of(args)  # refuses what is not legal before slow imports

    import time

    from pipeline import checkpoint
    from pipeline.cli.console import console, duration, progress_bar
    from pipeline.distributed import connect_to_render
    from pipeline.rendering import render

    since = time.perf_counter()
    fabric = connect_to_render()
    console.quiet = not fabric.is_global_zero
    request = _request(args, fabric.broadcast(secrets.randbelow(2**31) if args.seed is None else args.seed))
    path = args.checkpoint or _newest_checkpoint()
    loaded = checkpoint.load(path)
    n_samples = request.n_clips * request.n_samples(loaded)
    clips = render(
        loaded,
        request,
        args.out,
        source=str(path),
        advanced=lambda n: bar.advance(task, n * fabric.world_size),  # other processes are about as far
        fabric=fabric,
    )
    console.print(f"checkpoint {path}, seed {request.seed}", markup=False)
    with progress_bar() as bar:
        task = bar.add_task("rendering", total=n_samples, note="")
        for clip in clips:
            bar.console.print(_line(clip), markup=False)
    fabric.barrier()
    took = time.perf_counter() - since
    speed = n_samples / SAMPLE_RATE / took
    console.print(f"wrote {args.clips} clips to {args.out}/ in {duration(took)}, {speed:.1f} times real time")
    return 0


def _request(args: argparse.Namespace, seed: int) -> "RenderRequest":
    from pipeline.clips import ClipFormat
    from pipeline.prompts import PromptRequest
    from pipeline.rendering import RenderRequest
    from waveforms.audio.gain import GainPolicy

    try:
        level = GainPolicy.parse(args.level)
    except ValueError as error:
        raise SettingsError(f"level must be peak, clip or a loudness in LUFS and not {args.level}") from error
    return RenderRequest(
        seed=seed,
        n_clips=args.clips,
        seconds=args.seconds,
        prompt=PromptRequest(args.prompt, tuple(args.prompt_mix or ()), args.prompt_seconds, args.variation),
        notes=_given_notes(args.notes) if args.notes else None,
        sampling=sampling_of(args),
        keep_prompt=args.keep_prompt,
        format=ClipFormat(level, ENCODINGS[args.encoding], args.mark_blocks, not args.no_pictures),
        overwrite=args.force,
    )


def _newest_checkpoint() -> Path:
    found = sorted(CHECKPOINTS.glob(f"*/{BEST}"), key=lambda path: path.stat().st_mtime)
    if found:
        return found[-1]
    if SHIPPED.exists():
        return SHIPPED
    raise CheckpointError(f"{CHECKPOINTS}/: holds no checkpoint; train one first, or name one with --checkpoint FILE")


def _given_notes(path: Path) -> "Notes":
    from waveforms.notes.events import Notes
    from waveforms.notes.midi import read_midi

    return Notes.of_performance(read_midi(path))


def _line(clip: "Clip") -> str:
    turned = f", turned by {clip.gain:+.1f} dB" if abs(clip.gain) >= 0.05 else ""
    clipped = f", {clip.n_clipped} samples clipped" if clip.n_clipped else ""
    return f"{clip.path}  {clip.loudness:.1f} LUFS{turned}{clipped}  from {clip.prompt}"
