"""Works stay whole, and nothing that a model has learned from is held out from it."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import noise
from tests.waveforms.corpus.conftest import names, several
from waveforms.audio.files import AudioInfo
from waveforms.corpus import Corpus
from waveforms.corpus.recording import Recording
from waveforms.corpus.splits import TrainedOn, groups_of
from waveforms.corpus.survey import Findings
from waveforms.errors import CorpusError

Record = Callable[..., Path]


def recording(name: str, digest: str = "", group: str | None = None, split: str | None = None) -> Recording:
    """A recording that no test reads."""
    info = AudioInfo(Path(name), 44_100, 1, 44_100, "WAV", "PCM_16")
    return Recording(name, Findings(info, 44_100, 0.5, -20.0, 0, digest or name), split=split, group=group)


def corpus_of(*recordings: Recording) -> Corpus:
    return Corpus(("here",), recordings)


@pytest.fixture
def reported() -> list[str]:
    return []


RAGS = [f"{n:02}_{work}_{part}of2.wav" for n, work in enumerate(["rag", "hymn", "air", "lied"]) for part in (1, 2)]


def test_parts_of_a_work_stay_together(reported: list[str]) -> None:
    corpus = corpus_of(*map(recording, RAGS))
    for fraction, n_works in [(0.1, 1), (0.25, 1), (0.26, 2), (0.9, 3)]:
        training, validation = corpus.split(fraction=fraction, report=reported.append)
        assert {r.work for r in training}.isdisjoint(r.work for r in validation)
        assert (len(training), len(validation)) == (8 - 2 * n_works, 2 * n_works)
    assert not reported


def test_groups_are_joined_by_work_and_by_sound_transitively() -> None:
    parts = [("a 1of2", "1"), ("b", "2"), ("a 2of2", "3"), ("c take1", "3"), ("d", "4"), ("c take2", "2"), ("e", "5")]
    groups = groups_of([recording(name, digest) for name, digest in parts])
    assert [(group.name, group.names) for group in groups] == [
        ("a", ["a 1of2", "b", "a 2of2", "c take1", "c take2"]),
        ("d", ["d"]),
        ("e", ["e"]),
    ]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=12), st.floats(0.01, 0.99))
def test_no_work_and_no_sound_is_on_both_sides(kinds: list[tuple[int, int]], fraction: float) -> None:
    corpus = corpus_of(*(recording(f"{n}.wav", str(d), f"w{w}") for n, (w, d) in enumerate(kinds)))
    training, validation = corpus.split(fraction=fraction)
    assert sorted(names(training) + names(validation)) == sorted(names(corpus))
    assert names(training)
    assert names(validation)
    if len(corpus.works) > 1:
        for kind in ("work", "digest"):
            sides = [{r.work if kind == "work" else r.findings.digest for r in side} for side in (training, validation)]
            assert sides[0].isdisjoint(sides[1])


def test_the_largest_work_stays_for_training() -> None:
    corpus = corpus_of(*(recording(f"long {n}of9.wav") for n in range(1, 10)), recording("short.wav"))
    assert names(corpus.split(fraction=0.5)[1]) == ["short.wav"]


def test_what_is_named_takes_its_work_along(reported: list[str]) -> None:
    corpus = corpus_of(*map(recording, RAGS), recording("lied live.wav"))
    assert names(corpus.split(["*rag_1of2.wav", "*hymn*"], report=reported.append)[1]) == RAGS[:4]
    assert reported == ["held out as well, being of the same works: 00_rag_2of2.wav"]
    reported.clear()
    assert names(corpus.split(["*rag*"], report=reported.append)[1]) == RAGS[:2]
    assert not reported


def test_a_corpus_of_one_work_is_split_with_a_warning(reported: list[str]) -> None:
    takes = corpus_of(*(recording(f"rag_take{n}.wav") for n in range(20)))
    training, validation = takes.split(report=reported.append)
    assert (len(training), len(validation)) == (18, 2)
    assert reported == ["all 20 recordings are of one work, 'rag', so none is new to the model"]
    reported.clear()
    assert names(takes.split(["rag_take3.wav"], report=reported.append)[1]) == ["rag_take3.wav"]
    (sentence,) = reported
    assert sentence.startswith("every recording is of a work that is held out, so none is new to the model: rag_take0.")
    assert sentence.endswith(", rag_take11.wav, rag_take12.wav and 14 more are learned from")


def test_of_one_work_alone_copies_still_stay_together() -> None:
    takes = corpus_of(*(recording(f"rag_take{n}.wav", digest=str(n // 5)) for n in range(20)))
    training, validation = takes.split()
    assert {r.findings.digest for r in training}.isdisjoint(r.findings.digest for r in validation)
    assert len(validation) == 5


@pytest.mark.parametrize(
    "learned",
    [
        TrainedOn(names=frozenset({"51_rag_2of2.wav", "54_air_1of2.wav"})),
        TrainedOn(digests=frozenset({"00_rag_2of2.wav", "02_air_1of2.wav"})),
        TrainedOn(works=frozenset({"rag", "air"})),
    ],
)
@pytest.mark.parametrize("fraction", [0.1, 0.99])
def test_what_was_learned_from_is_never_held_out(learned: TrainedOn, fraction: float, reported: list[str]) -> None:
    corpus = corpus_of(*(recording(f"{n:02}_{name[3:]}", digest=name) for n, name in enumerate(RAGS, start=50)))
    training, validation = corpus.split(fraction=fraction, trained_on=learned, report=reported.append)
    assert {"rag", "air"} <= {r.work for r in training}
    assert {r.work for r in validation} <= {"hymn", "lied"}
    assert len(validation) == (2 if fraction == 0.1 else 4)
    assert reported == [
        "stay for training, as the checkpoint has learned from them or their works: 50_rag_1of2.wav, 51_rag_2of2.wav, "
        "54_air_1of2.wav, 55_air_2of2.wav"
    ]


def test_what_was_learned_from_is_not_held_out_by_name_or_manifest(reported: list[str]) -> None:
    corpus = corpus_of(*(recording(name, split="validation" if "_1of2" in name else None) for name in RAGS))
    learned = TrainedOn(works=frozenset({"rag"}))
    for wanted in (["*rag*", "*air*"], None):
        reported.clear()
        _, validation = corpus.split(wanted, trained_on=learned, report=reported.append)
        assert {r.work for r in validation} == ({"air"} if wanted else {"hymn", "air", "lied"})
        assert reported[0].endswith("learned from them or their works: 00_rag_1of2.wav, 00_rag_2of2.wav")


@pytest.mark.parametrize(
    ("wanted", "works"), [(None, {"rag", "hymn", "air", "lied"}), (["*rag*"], {"rag"}), (["00*2of2.wav"], {"rag"})]
)
def test_where_all_was_learned_from_nothing_is_held_out(wanted: list[str] | None, works: set[str]) -> None:
    with pytest.raises(CorpusError) as caught:
        corpus_of(*map(recording, RAGS)).split(wanted, trained_on=TrainedOn(works=frozenset(works)))
    asked = "00_rag_1of2.wav, 00_rag_2of2.wav" if wanted else f"{', '.join(RAGS[:5])} and 3 more"
    assert str(caught.value) == (
        "here: nothing is left to hold out: the checkpoint that this run begins with, or one before it, was trained on "
        f"{asked}, or on the same works; hold out or add others, or begin from nothing"
    )


def test_works_are_in_the_summary(record: Record, tmp_path: Path) -> None:
    for n, name in enumerate(["rag_1of2.wav", "rag_2of2.wav", "air.wav"]):
        record(name, noise(30_000, seed=n))
    summary = Corpus.open(tmp_path).summary()
    assert summary["places"] == [str(tmp_path)]
    assert summary["works"] == [
        {"name": "air", "recordings": ["air.wav"]},
        {"name": "rag", "recordings": ["rag_1of2.wav", "rag_2of2.wav"]},
    ]


def test_adding_a_part_does_not_move_its_work(reported: list[str]) -> None:
    """A work's name ranks it, so a work of many parts is not held out more often."""
    works = [f"piece{n}" for n in range(30)]
    before = corpus_of(*(recording(f"{work}_1of2.wav") for work in works)).split(fraction=0.3)[1]
    after = corpus_of(*(recording(f"{work}_{part}of2.wav") for work, part in itertools.product(works, (1, 2))))
    assert {r.work for r in after.split(fraction=0.3)[1]} == {r.work for r in before}


def test_the_split_is_by_recording_and_always_the_same(record: Record, tmp_path: Path) -> None:
    several(record, 12)
    corpus = Corpus.open(tmp_path)
    training, validation = corpus.split()
    assert sorted(names(training) + names(validation)) == names(corpus)
    assert len(validation) == 2  # a tenth of 12, rounded up
    assert [names(side) for side in Corpus.open(tmp_path).split()] == [names(training), names(validation)]
    assert len(corpus.split(fraction=0.5)[1]) == 6
    assert len(corpus.split(fraction=0.999)[0]) == 1
    assert set(names(validation)) < set(names(corpus.split(fraction=0.5)[1]))


def test_added_files_hardly_move_the_split(record: Record, tmp_path: Path) -> None:
    several(record, 20)
    before = set(names(Corpus.open(tmp_path).split(fraction=0.25)[1]))
    several(record, 4, "new", seed=100)
    corpus = Corpus.open(tmp_path)
    after = set(names(corpus.split(fraction=0.25)[1]))
    old_held_out = {name for name in after if not name.startswith("new")}
    # The rank of a name does not depend on the others, so one set contains the other.
    assert old_held_out <= before or before <= old_held_out


def test_copies_stay_together(record: Record, tmp_path: Path) -> None:
    several(record, 4)
    for i in range(4):
        for j in range(3):
            (tmp_path / f"copy{j} of {i}.wav").symlink_to(f"{i:02}.wav")
    training, validation = Corpus.open(tmp_path).split()
    sides = [{r.findings.digest for r in side} for side in (training, validation)]
    assert sides[0].isdisjoint(sides[1])
    assert (len(training), len(validation)) == (12, 4)
    training, validation = Corpus.open(tmp_path).split(["02.wav"])
    assert names(validation) == ["02.wav", "copy0 of 2.wav", "copy1 of 2.wav", "copy2 of 2.wav"]


def test_a_corpus_of_copies_alone_can_be_split(record: Record, tmp_path: Path) -> None:
    record("a.wav")
    for i in range(9):
        (tmp_path / f"link{i}.wav").symlink_to("a.wav")
    training, validation = Corpus.open(tmp_path).split()
    assert (len(training), len(validation)) == (9, 1)
    training, validation = Corpus.open(tmp_path).split(["a.wav"])
    assert (len(training), names(validation)) == (9, ["a.wav"])


def test_held_out_by_name(record: Record, tmp_path: Path) -> None:
    for i, name in enumerate(["bach/prelude.wav", "bach/fugue.wav", "liszt/prelude.wav", "satie.wav"]):
        record(name, noise(30_000, seed=i))
    corpus = Corpus.open(tmp_path)
    for wanted, expected in [
        (["bach/fugue.wav"], ["bach/fugue.wav"]),
        (["prelude.wav"], ["bach/prelude.wav", "liszt/prelude.wav"]),
        (["bach/*"], ["bach/fugue.wav", "bach/prelude.wav"]),
        (["s*.wav", "fugue.wav"], ["bach/fugue.wav", "satie.wav"]),
        ([str(tmp_path / "satie.wav")], ["satie.wav"]),
    ]:
        training, validation = corpus.split(wanted)
        assert names(validation) == expected
        assert len(training) == 4 - len(expected)


def test_held_out_by_a_wrong_name(record: Record, tmp_path: Path) -> None:
    for i, name in enumerate(["bach/prelude.wav", "bach/fugue.wav", "satie.wav"]):
        record(name, noise(30_000, seed=i))
    corpus = Corpus.open(tmp_path)
    for wanted, advice in [
        ("preldue.wav", "did you mean 'bach/prelude.wav'?"),
        ("xyz", "there are 3, the first of them 'bach/fugue.wav', 'bach/prelude.wav', 'satie.wav'"),
    ]:
        with pytest.raises(CorpusError) as caught:
            corpus.split(["satie.wav", wanted])
        assert str(caught.value) == f"{tmp_path}: no recording is named '{wanted}'; {advice}"


def test_splits_that_cannot_be(record: Record, tmp_path: Path) -> None:
    record("a.wav")
    with pytest.raises(CorpusError) as caught:
        Corpus.open(tmp_path).split()
    assert str(caught.value) == (
        f"{tmp_path}: a split needs two recordings or more, and there is 1 (a.wav); "
        "add a recording, or cut this one into two files"
    )
    record("b.wav", noise(30_000, seed=1))
    with pytest.raises(CorpusError) as caught:
        Corpus.open(tmp_path).split(["*"])
    assert str(caught.value) == f"{tmp_path}: all 2 recordings are held out, and none is left to train on"
    with pytest.raises(ValueError, match=r"^fraction must lie between 0 and 1 and not be 1\.5$"):
        Corpus.open(tmp_path).split(fraction=1.5)
