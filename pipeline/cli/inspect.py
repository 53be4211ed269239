"""`quarterwave inspect`: what is in a folder of recordings, or in a checkpoint."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import SECTIONS

if TYPE_CHECKING:
    from waveforms.corpus import Corpus

HELP = "show what is in a folder of recordings or in a checkpoint"
DESCRIPTION = """\
Show what training would read from a folder, and what it would leave out and why; or what a checkpoint holds.

  quarterwave inspect recordings/                        also: several folders, lists NAME.jsonl, URLs
  quarterwave inspect checkpoints/recordings-classic/best.safetensors
  quarterwave inspect recordings/ --json | jq .
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `inspect`."""
    parser.add_argument("places", nargs="+", metavar="FOLDER|CHECKPOINT")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print a table, or JSON."""
    from waveforms.corpus.manifest import SUFFIX

    path = Path(args.places[0])
    is_checkpoint = len(args.places) == 1 and path.is_file() and path.suffix != SUFFIX
    return _checkpoint(args, path) if is_checkpoint else _folder(args)


def _folder(args: argparse.Namespace) -> int:
    from pipeline.cli.console import open_corpus
    from waveforms.corpus import Corpus

    if args.json:
        print(json.dumps(Corpus.open(*args.places).summary(), indent=2))
        return 0
    _print_corpus(open_corpus(*args.places))
    return 0


def _print_corpus(corpus: "Corpus") -> None:
    from rich.table import Table

    from pipeline.cli.console import console, duration

    table = Table("recording", "length", "rate", "channels", "format", "loudness", "peak", box=None)
    for r in corpus:
        table.add_row(
            r.name,
            duration(r.seconds),
            f"{r.info.sample_rate} Hz",
            str(r.info.n_channels),
            f"{r.info.container} {r.info.encoding}",
            f"{r.loudness:.1f} LUFS",
            f"{r.peak:.3f}",
        )
    console.print(table)
    console.print(f"{len(corpus)} recordings, {duration(corpus.seconds)}; left out: {len(corpus.problems)}")
    several = [f"{work.name} ({len(work.names)})" for work in corpus.works if len(work.names) > 1]
    shown = f"; of several recordings: {', '.join(several)}" if several else ""
    console.print(f"{len(corpus.works)} works, each held out as a whole{shown}", markup=False)


def _checkpoint(args: argparse.Namespace, path: Path) -> int:
    from pipeline.checkpoint import read_document, tensor_sizes

    document: dict[str, Any] = read_document(path) | {"bytes": tensor_sizes(path)}
    if args.json:
        print(json.dumps(document, indent=2))
    else:
        _print_checkpoint(path, document)
    return 0


def _print_checkpoint(path: Path, document: dict[str, Any]) -> None:
    from pipeline.cli.console import console
    from pipeline.codecs import make_codec
    from pipeline.config import Settings
    from pipeline.training.lineage import held_out_but_learned

    settings, split = document["settings"], document["split"]
    console.print(f"{path}: checkpoint of quarterwave, format {document['format']}")
    console.print(f"preset {settings['preset']}")
    codec = make_codec(Settings.from_json(settings).codec)
    console.print(
        f"a block: {codec.block_size} samples, {codec.block_seconds:g} s; latents: {codec.frame_rate:g} frames/s, "
        f"{codec.dims} numbers each; channels: {codec.channels}"
    )
    for section in SECTIONS:
        values = ", ".join(f"{name} {value}" for name, value in settings[section].items())
        console.print(f"  {section}: {values}")
    places = ", ".join(split["places"]) or "places that it does not name"
    console.print(
        f"learned from {len(split['training'])} recordings of {places}; held out: {', '.join(split['validation'])}",
        markup=False,
    )
    if learned := held_out_but_learned(split, document["ancestors"]):
        console.print(f"held out, and yet of works that it learned from: {', '.join(learned)}", markup=False)
    for n, ancestor in enumerate(document["ancestors"], start=1):
        learned = ancestor["split"]["training"]
        console.print(f"ancestor {n}: {ancestor['steps']} steps, learned from {len(learned)} recordings")
    if document["history"]:
        best = min(document["history"], key=lambda row: row["loss"])
        console.print(
            f"{document['history'][-1]['step']} steps; best at step {best['step']}: loss {best['loss']:.4f}, "
            f"skill {best['skill_mean']:.2f} % against the mean, {best['skill_repeat']:.2f} % against repeating"
        )
    prompts = ", ".join(f"{p['source']} @ {p['seconds']:g} s" for p in document["excerpts"])
    console.print(f"prompts: {prompts}", markup=False)
    sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in document["bytes"].items())
    console.print(f"holds: {sizes}")
    for part in document["provenance"]:
        versions = ", ".join(f"{name} {value}" for name, value in part.items() if name != "first_step")
        console.print(f"trained from step {part['first_step']} on by: {versions}")
