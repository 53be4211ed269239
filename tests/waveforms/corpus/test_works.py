"""Which names are of one work, and which are not."""

import itertools
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waveforms.corpus.works import work_of
from waveforms.piano.pieces import first_pieces
from waveforms.piano.repertoire import WORKS, corpus_folder, further_chorales

SAME = {
    "joplin maple leaf rag": [
        "joplin_maple_leaf_rag.wav",
        "04_joplin_maple_leaf_rag_1of2.wav",
        "023_joplin_maple_leaf_rag_2of2_again1.wav",
        "Joplin - Maple Leaf Rag (2 of 2).mp3",
        "1-07 Joplin, Maple Leaf Rag [part 2].flac",
        "studio/Joplin: Maple Leaf Rag - take 3 - copy (2).wav",
        "joplin_maple_leaf_rag_take_03_live2.ogg",
        "joplin_maple_leaf_rag_+2.wav",
        "joplin_maple_leaf_rag_-3.wav",
        "joplin_maple_leaf_rag (+1 semitone).wav",
        "joplin_maple_leaf_rag transposed to b flat.wav",
        "joplin_maple_leaf_rag_v2.wav",
        "joplin maple leaf rag 2024-01-05.wav",
        "(12) joplin maple leaf rag pt. ii.w64",
        "joplin_maple_leaf_rag_transposed_part_2.mid.wav",
    ],
    "brahms piano sonata no 2 op 2": [
        "brahms_piano_sonata_no2_op2_mov_2.wav",
        "brahms_piano_sonata_no2_op2_mov_3.wav",
        "Brahms Piano Sonata No. 2 Op. 2, movement iv.flac",
        "Brahms Piano Sonata No. 02 Op. 2 - 1. Satz.flac",
        "Brahms: Piano Sonata No. 2, Op. 2 (2nd mov).flac",
    ],
    "chopin prelude no 4": [
        "chopin_prélude_no_04.wav",
        "Chopin Pre\u0301lude No. 4.aiff",
        "03 CHOPIN PRELUDE NO 4.wav",
    ],
    "moonlight": [
        "moonlight/take 1.wav",
        "moonlight/take2.wav",
        "old/Moonlight live/part 1/take_03.wav",
        "moonlight.wav",
    ],
    "goldberg aria": ["goldberg_aria.ogg", "goldberg_aria_da_capo.ogg", "goldberg_aria_excerpt.ogg"],
    "\u6708\u306e\u5149": ["\u6708\u306e\u5149.wav", "01 \u6708\u306e\u5149 (2).wav"],
}
DIFFERENT = [
    ("goldberg_var_12.mp3", "goldberg_var_13.mp3"),
    ("prelude_02.wav", "fugue_02.wav"),
    ("wtc1_prelude_02_c_minor.ogg", "wtc1_fugue_02_c_minor.ogg"),
    ("op10_no_3.wav", "op10_no_4.wav"),
    ("track 01.wav", "track 02.wav"),
    ("disc1/track 01.wav", "disc2/track 01.wav"),
    ("01 Prelude.wav", "03 Prelude.wav"),
    ("bach/prelude.wav", "liszt/prelude.wav"),
    ("Bach BWV 862.wav", "Bach BWV 858.wav"),
    ("sonata_1.wav", "sonata_2.wav"),
    ("sonata_1_mov_1.wav", "sonata_2_mov_1.wav"),
    ("chopin_prelude_vi.wav", "chopin_prelude_vii.wav"),
    ("chopin_nocturne_2.wav", "chopin_nocturne_3.wav"),
    ("bach invention in f# minor.wav", "bach invention in f minor.wav"),
    ("goldberg - 12.wav", "goldberg - 13.wav"),
    ("moonlight/take1.wav", "aria/take1.wav"),
    ("take1.wav", "take2.wav"),
    ("takes/take1.wav", "takes/take2.wav"),
    ("disc 1/take1.wav", "disc 2/take1.wav"),
    ("wavs/0001.wav", "wavs/0002.wav"),
    ("01.wav", "02.wav"),
    ("suite_cut_no_1.wav", "suite_cut_no_4.wav"),
    ("\u6708.wav", "\u592b.wav"),
    ("---.wav", "***.wav"),
]


@pytest.mark.parametrize(("work", "name"), [(work, name) for work, names in SAME.items() for name in names])
def test_parts_takes_and_transpositions_are_of_one_work(work: str, name: str) -> None:
    assert work_of(name) == work


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_works_stay_apart(one: str, other: str) -> None:
    assert work_of(one) != work_of(other)


@given(st.text(min_size=1, max_size=30), st.integers(1, 9))
def test_a_take_is_of_the_work_of_its_name(name: str, take: int) -> None:
    """Whatever the name is: it says something, and where it says more than marks, a take of it says the same."""
    assert work_of(f"{name}.wav")
    assert work_of(f"rag {name} x_take{take}.wav") == work_of(f"rag {name} x.wav")


def test_names_that_are_not_utf8_have_works() -> None:
    one, other = (work_of(os.fsdecode(name)) for name in (b"Pr\xe9lude 1.wav", b"Nocturne n\xb02.wav"))
    assert one != other


def test_a_long_name_takes_no_time() -> None:
    """A pattern that is tried in every way would take longer than anybody lives."""
    assert work_of("1-" * 120 + ".wav") != work_of("1-" * 119 + ".wav")


def test_works_of_the_demo_corpus_are_known_by_their_names() -> None:
    works = [*WORKS, *further_chorales(corpus_folder())]
    found = {
        work.slug: {
            work_of(f"{n:03}_{work.slug}{part}{again}.wav") for part in ("", "_2of3") for again in ("", "_again4")
        }
        for n, work in enumerate(works)
    }
    assert all(len(names) == 1 for names in found.values())
    assert len(set(itertools.chain.from_iterable(found.values()))) == len(works)


def test_pieces_of_the_demo_corpus_are_grouped_by_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    works = [WORKS[0], next(work for work in WORKS if "maple_leaf" in work.slug)]
    monkeypatch.setattr("waveforms.piano.pieces.WORKS", works)
    monkeypatch.setattr("waveforms.piano.pieces.further_chorales", lambda folder: iter(()))
    pieces = first_pieces(12)
    assert sum("again" in piece.name for piece in pieces) == 8
    for one, other in itertools.combinations(enumerate(pieces, start=1), 2):
        names = [f"{n:02}_{piece.name}.wav" for n, piece in (one, other)]
        assert (work_of(names[0]) == work_of(names[1])) == (one[1].work == other[1].work), names
    assert re.fullmatch(r"joplin_maple_leaf_rag_2of2_again\d", pieces[-1].name)
