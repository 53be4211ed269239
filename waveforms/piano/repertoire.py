"""The music of the demo corpus, its styles, and its licences.

All works are in the public domain: every composer died before 1955 and every work was printed before 1930.
The encodings come with the package music21. Its corpus/license.txt says that they are distributed with the
permission of their encoders, and that restrictions are stated in the files. Each file used here was read for such
terms; they are kept beside the work. Files that claim a copyright in themselves and grant nothing, and those whose
terms forbid commercial use, are left out.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from waveforms.errors import QuarterwaveError
from waveforms.piano.score import Style

UNSTATED = "no terms in the file; distributed with the encoder's permission (music21, corpus/license.txt)"
CHORALE = (
    "entered from Margaret Greentree's edition (jsbchorales.net), whose PDF most of these files credit; " + UNSTATED
)
SHARE_ALIKE = "CC BY-SA 4.0, typeset by Cypressdome for IMSLP (stated in the file)"
CC0 = "CC0, encoded by Michael Scott Asato Cuthbert (stated in the file)"

SONG = Style(velocity=62, rubato=0.12)
ROMANTIC = Style(velocity=66, rubato=0.16)
DANCE = Style(velocity=74, rubato=0.09, articulation=0.97, pedal=0.6)
RAG = Style(velocity=78, rubato=0.03, articulation=0.9, pedal=0.45)
BAROQUE = Style(velocity=64, rubato=0.07, articulation=0.98, pedal=0.5)
PRELUDE = Style(velocity=60, rubato=0.10)
CLASSICAL = Style(velocity=64, rubato=0.10, articulation=0.98, pedal=0.55)
HYMN = Style(velocity=66, rubato=0.09, articulation=1.0)


@dataclass(frozen=True, slots=True)
class Work:
    """One score of music21's corpus.

    Attributes:
        source: the file, relative to music21's corpus folder.
        slug: the beginning of its recordings' names.
        composer: the composer's name.
        title: the title.
        licence: the encoding's terms and where they are stated.
        style: the style to play it in.
        tempo: quarter notes a minute, or None for the marks in the file.
    """

    source: str
    slug: str
    composer: str
    title: str
    licence: str
    style: Style
    tempo: float | None = None


def _bach(number: str, title: str, tempo: float) -> Work:
    slug = f"bach_bwv{number.replace('.', '_').replace('-', '_')}"
    return Work(f"bach/bwv{number}.mxl", slug, "Johann Sebastian Bach", f"{title}, BWV {number}", CHORALE, HYMN, tempo)


def _clara_schumann(number: int, tempo: float) -> Work:
    title = f"Polonaise op. 1 no. {number}"
    source, slug = f"schumann_clara/polonaise_op1n{number}.mxl", f"clara_schumann_polonaise_{number}"
    return Work(source, slug, "Clara Schumann", title, SHARE_ALIKE, DANCE, tempo)


WORKS = (
    Work(
        "bach/bwv846.mxl",
        "bach_bwv846_prelude",
        "Johann Sebastian Bach",
        "Prelude in C major, BWV 846",
        UNSTATED,
        PRELUDE,
        66,
    ),
    _clara_schumann(1, 96),
    Work(
        "cpebach/h186.mxl",
        "cpe_bach_h186_adagio",
        "Carl Philipp Emanuel Bach",
        "Sonata in A major, H. 186: Poco adagio",
        UNSTATED,
        CLASSICAL,
        46,
    ),
    Work(
        "joplin/maple_leaf_rag.mxl",
        "joplin_maple_leaf_rag",
        "Scott Joplin",
        "Maple Leaf Rag",
        UNSTATED,
        RAG,
        88,
    ),
    Work(
        "weber/concertino_clarinet.mxl",
        "weber_concertino",
        "Carl Maria von Weber",
        "Concertino op. 26, clarinet and piano as one piano part",
        "public domain, arranged and assigned to it by Oliver Seely, 1998 (stated in the file)",
        CLASSICAL,
    ),
    Work(
        "beach/prayer_of_a_tired_child.musicxml",
        "beach_prayer_of_a_tired_child",
        "Amy Beach",
        "Prayer of a Tired Child op. 75 no. 4, voices and piano as one piano part",
        "CC BY-SA, engraved by Michael Scott Cuthbert, 2017 (stated in the file)",
        ROMANTIC,
        54,
    ),
    _bach("227.1", "Jesu, meine Freude", 78),
    _clara_schumann(2, 92),
    Work(
        "handel/rinaldo/Lascia_chio_pianga.mxl",
        "handel_lascia_chio_pianga",
        "George Frideric Handel",
        "Rinaldo: Lascia ch'io pianga, voice and keyboard as one piano part",
        UNSTATED,
        BAROQUE,
        60,
    ),
    Work(
        "liliuokalani/aloha_oe.mxl",
        "liliuokalani_aloha_oe",
        "Queen Liliuokalani",
        "Aloha Oe, voices and piano as one piano part",
        CC0,
        SONG,
        76,
    ),
    _bach("140.7", "Wachet auf, ruft uns die Stimme", 72),
    _clara_schumann(3, 92),
    Work(
        "schumann_robert/opus48no2.mxl",
        "schumann_dichterliebe_2",
        "Robert Schumann",
        "Dichterliebe op. 48 no. 2, voice and piano as one piano part",
        UNSTATED,
        SONG,
        40,
    ),
    Work(
        "johnson_j_r/lift_every_voice.mxl",
        "johnson_lift_every_voice",
        "J. Rosamond Johnson",
        "Lift Every Voice and Sing, four voices on the piano",
        CC0,
        HYMN,
        92,
    ),
    _bach("244.54", "O Haupt voll Blut und Wunden", 60),
    _clara_schumann(4, 116),
    Work(
        "corelli/opus3no1/1grave.xml",
        "corelli_op3_no1_grave",
        "Arcangelo Corelli",
        "Sonata da chiesa op. 3 no. 1: Grave, trio on the piano",
        "CC BY, edited by Michael Scott Cuthbert, 2014 (stated in the file)",
        BAROQUE,
        66,
    ),
    _bach("80.8", "Ein feste Burg ist unser Gott", 66),
    _bach("269", "Aus meines Herzens Grunde", 80),
    _bach("4.8", "Christ lag in Todesbanden", 68),
)

# Chorales that music21 has twice, under two numbers or in two instrumentations, and the one of the two that is played.
# Names distinguish works, so a model could train on one of these while the other is held out. A comparison of runs of
# four chords found them: these share three tenths or more; three share less, and their numbers say one movement.
TWICE = {
    "bwv18.5-w": "bwv18.5-lz",
    "bwv20.7": "bwv20.11",
    "bwv41.6": "bwv171.6",
    "bwv59.3": "bwv175.7",
    "bwv62.6": "bwv274",
    "bwv69.6-a": "bwv12.7",
    "bwv84.5": "bwv197.10",
    "bwv99.6": "bwv144.3",
    "bwv112.5-sc": "bwv112.5",
    "bwv137.5": "bwv120.8-a",
    "bwv177.4": "bwv117.4",
    "bwv190.7-inst": "bwv190.7",
    "bwv227.11": "bwv227.1",
    "bwv244.17": "bwv244.15",
    "bwv244.44": "bwv244.15",
    "bwv245.37": "bwv245.15",
    "bwv248.9-s": "bwv248.9-1",
    "bwv248.23-s": "bwv248.23-2",
    "bwv248.35-3c": "bwv248.35-3",
    "bwv248.42-s": "bwv248.42-4",
    "bwv248.64-s": "bwv248.64-6",
    "bwv258": "bwv256",
    "bwv271": "bwv244.54",
    "bwv279": "bwv158.4",
    "bwv280": "bwv176.6",
    "bwv324": "bwv10.7",
    "bwv359": "bwv154.3",
    "bwv395": "bwv245.11",
    "bwv398": "bwv197.7-a",
    "bwv414": "bwv253",
    "bwv419": "bwv16.6",
}


def corpus_folder() -> Path:
    """Find the folder of music21's scores without importing it.

    Raises:
        QuarterwaveError: music21 is not installed, or without its scores.
    """
    spec = importlib.util.find_spec("music21")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / "corpus" / WORKS[0].source).is_file():
            return Path(folder) / "corpus"
    raise QuarterwaveError("the scores (the package music21 with its corpus) are missing; `make setup` installs them")


def further_chorales(folder: Path) -> Iterator[Work]:
    """Yield the rest of music21's Bach chorales, some four hundred, in the order of their names, each setting once."""
    used = {work.source for work in WORKS}
    for index, path in enumerate(sorted((folder / "bach").glob("bwv*.mxl"))):
        if f"bach/{path.name}" not in used and path.stem not in TWICE:
            yield _bach(path.stem.removeprefix("bwv"), "Chorale", 60 + 4 * (index % 5))
