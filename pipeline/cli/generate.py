"""`quarterwave generate`: render clips from a checkpoint."""

import argparse
import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.flags import add_sampling_flags, check_sampled_by, sampling_of
from pipeline.config import BEST, CLIP_SECONDS, Sampling, n_blocks_in
from pipeline.errors import CheckpointError, SettingsError
from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint
    from pipeline.clips import Clip, Rendering
    from pipeline.prompts import Prompt
    from waveforms.notes.events import Notes

HELP = "render clips from a checkpoint"
DESCRIPTION = """\
Render clips: read a prompt, predict the next block, feed it back, again and again.

  quarterwave generate                                  4 clips of 10 s from held-out prompts
  quarterwave generate --prompt mine.wav@12.5           begin from your own recording, 12.5 s into it
  quarterwave generate --prompt-mix a.wav*0.7 b.wav@3*0.3
  quarterwave generate --variation --temperature 0.9    one prompt, continued in four ways, with more care
  quarterwave generate --seconds 3600 --clips 1         an hour, in the same memory
  quarterwave generate --seed 7                         the same clips again, to the bit

  quarterwave generate --notes score.mid                play a MIDI file of yours with the sound that was learned

Each clip is a WAV with cue marks and its provenance inside, an Audacity label file (.txt), its notes as MIDI (.mid) and
a picture (.png).
"""
ENDING_SECONDS = 1.0  # after the last note of --notes
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
    parser.add_argument("--seed", type=int, metavar="N", help="of every random choice (default: a new one, printed)")
    add_sampling_flags(parser)
    prompt = parser.add_argument_group("prompt")
    source = prompt.add_mutually_exclusive_group()
    source.add_argument(
        "--prompt",
        metavar="FILE[@S]|held-out|noise|silence",
        default="held-out",
        help="what clips begin from: a recording of yours, S seconds into it; a passage that was held out from "
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
        "--variation", action="store_true", help="all clips from one prompt: how differently it can go on"
    )
    prompt.add_argument(
        "--notes",
        type=Path,
        metavar="FILE.mid",
        help="play these notes with the sound that was learned, from the prompt's end",
    )
    prompt.add_argument("--keep-prompt", action="store_true", help="let the clip begin with its prompt")
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
    """Render, and say what was written, where, and what it cost."""
    if args.clips < 1:
        raise SettingsError(f"clips must be at least 1 and not {args.clips}")
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    if seed < 0:
        raise SettingsError(f"seed must be at least 0 and not {seed}")
    n_prompt_blocks = n_blocks_in(args.prompt_seconds)
    sampling = sampling_of(args)

    import time

    from pipeline import checkpoint
    from pipeline.cli.console import console, duration, make_folder, progress_bar
    from pipeline.clips import check_free, render_clips
    from pipeline.distributed import connect_to_render

    since = time.perf_counter()
    fabric = connect_to_render()
    console.quiet = not fabric.is_global_zero
    seed = fabric.broadcast(seed)
    notes = _given_notes(args.notes) if args.notes else None
    n_blocks = _n_blocks(args, notes)
    path = args.checkpoint or _newest_checkpoint()
    rendering = _rendering(args, n_blocks, seed, sampling, notes)
    width = len(str(args.clips))
    paths = [args.out / f"clip-{seed}-{n + 1:0{width}}.wav" for n in range(args.clips)]
    loaded = checkpoint.load(path)
    has_notes = loaded.codec.reads_notes
    if notes is not None and not has_notes:
        raise SettingsError(f"{path}: preset {loaded.settings.preset} knows no notes: leave out --notes")
    if not args.force:
        check_free(paths, rendering, has_notes=has_notes)
    check_sampled_by(loaded.model, rendering.sampling, loaded.settings.preset)
    prompts = _prompts(args, loaded, n_prompt_blocks, seed)
    make_folder(args.out)
    fabric.barrier()  # all have looked before the first writes
    console.print(f"checkpoint {path}, seed {seed}")
    n_samples = (n_blocks + (n_prompt_blocks if args.keep_prompt else 0)) * BLOCK_SIZE
    with progress_bar() as bar:
        task = bar.add_task("rendering", total=args.clips * n_samples, note="")
        for clip in render_clips(
            loaded,
            str(path),
            prompts,
            paths,
            rendering,
            lambda n: bar.advance(task, n * fabric.world_size),  # the others are about as far
            rank=fabric.global_rank,
            n_ranks=fabric.world_size,
        ):
            bar.console.print(_line(clip), markup=False)
    fabric.barrier()
    took = time.perf_counter() - since
    speed = args.clips * n_samples / SAMPLE_RATE / took
    console.print(f"wrote {args.clips} clips to {args.out}/ in {duration(took)}, {speed:.1f} times real time")
    return 0


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


def _n_blocks(args: argparse.Namespace, notes: "Notes | None") -> int:
    if args.seconds is not None or notes is None:
        return n_blocks_in(CLIP_SECONDS if args.seconds is None else args.seconds)
    return math.ceil((notes.seconds + ENDING_SECONDS) * SAMPLE_RATE / BLOCK_SIZE)


def _rendering(
    args: argparse.Namespace, n_blocks: int, seed: int, sampling: Sampling, notes: "Notes | None"
) -> "Rendering":
    from pipeline.clips import Rendering
    from waveforms.audio.gain import GainPolicy

    try:
        level = GainPolicy.parse(args.level)
    except ValueError as error:
        raise SettingsError(f"level must be peak, clip or a loudness in LUFS and not {args.level}") from error
    return Rendering(
        n_blocks=n_blocks,
        seed=seed,
        sampling=sampling,
        level=level,
        encoding=ENCODINGS[args.encoding],
        keep_prompt=args.keep_prompt,
        mark_blocks=args.mark_blocks,
        pictures=not args.no_pictures,
        notes=notes,
    )


def _prompts(args: argparse.Namespace, loaded: "Checkpoint", n_blocks: int, seed: int) -> "Sequence[Prompt]":
    """One prompt a clip; what is drawn is drawn apart for each, from the seed and the clip's number."""
    import numpy as np

    from pipeline.prompts import FilePart, Prompts, from_files, held_out, noise, silence

    def rng(clip: int) -> Any:
        return np.random.default_rng([seed, 0 if args.variation else clip])

    if args.prompt_mix:
        mixed = from_files([FilePart.parse(text) for text in args.prompt_mix], n_blocks)
        return [mixed] * args.clips
    if args.prompt == "held-out":
        return Prompts(args.clips, lambda clip: held_out(loaded.passages, n_blocks, rng(clip)))
    if args.prompt == "noise":
        return Prompts(args.clips, lambda clip: noise(n_blocks, rng(clip)))
    if args.prompt == "silence":
        return [silence(n_blocks)] * args.clips
    return [from_files([FilePart.parse(args.prompt)], n_blocks)] * args.clips


def _line(clip: "Clip") -> str:
    turned = f", turned by {clip.gain:+.1f} dB" if abs(clip.gain) >= 0.05 else ""
    clipped = f", {clip.n_clipped} samples clipped" if clip.n_clipped else ""
    return f"{clip.path}  {clip.loudness:.1f} LUFS{turned}{clipped}  from {clip.prompt}"
