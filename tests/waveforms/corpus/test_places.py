"""A corpus of several places: folders, manifests and other storage."""

import functools
import hashlib
import http.server
import json
import pickle
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.conftest import noise
from waveforms.corpus import Corpus, remote
from waveforms.errors import CorpusError

Record = Callable[..., Path]


def names(corpus: Corpus) -> list[str]:
    return [recording.name for recording in corpus]


def listed(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


@pytest.fixture
def takes(record: Record) -> Path:
    """Two recordings, one of which can be read by seeking, and a file that is none."""
    record("takes/one.wav", noise(30_000, seed=1), subtype="PCM_16")
    path = record("takes/two.flac", noise(40_000, seed=2), 48_000)
    (path.parent / "notes.txt").write_text("tune the piano")
    return path.parent


@pytest.fixture
def memory(takes: Path) -> Iterator[str]:
    """The same on another storage."""
    system = fsspec.filesystem("memory")
    system.put(str(takes), "/bucket/takes", recursive=True)
    yield "memory://bucket/takes"
    system.rm("/bucket", recursive=True)


@pytest.fixture
def server(takes: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=takes.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/takes"
        server.shutdown()


def same_sound(corpus: Corpus, other: Corpus) -> None:
    for one, two in zip(corpus, other, strict=True):
        assert one.findings.digest == two.findings.digest
        assert np.array_equal(one.read(-5, one.n_samples + 5), two.read(-5, two.n_samples + 5))


def test_several_places_are_one_corpus(takes: Path, record: Record, tmp_path: Path) -> None:
    record("more/one.wav", noise(30_000, seed=3))
    manifest = listed(tmp_path / "list.jsonl", {"path": "third/x.wav"}, "", {"path": str(record("third/y.wav"))})
    record("third/x.wav", noise(30_000, seed=4))
    corpus = Corpus.open(takes, tmp_path / "more", manifest)
    assert names(corpus) == [
        f"list.jsonl/{tmp_path}/third/y.wav",
        "list.jsonl/third/x.wav",
        "more/one.wav",
        "takes/one.wav",
        "takes/two.flac",
    ]
    assert [str(problem) for problem in corpus.problems] == [
        f"{takes}/notes.txt: not audio: a recording may be WAV, RF64, BW64, W64, AIFF, FLAC, OGG, MP3, AU or CAF"
    ]
    assert names(Corpus.open(manifest)) == [f"{tmp_path}/third/y.wav", "third/x.wav"]
    with pytest.raises(CorpusError, match="takes: two places have this name, so names of recordings would collide"):
        Corpus.open(takes, shutil.copytree(takes, tmp_path / "more" / "takes"))


def test_a_promise_of_a_manifest_is_held_against_the_file(takes: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((takes / "one.wav").read_bytes()).hexdigest()
    kept = {"path": "takes/one.wav", "sha256": digest.upper(), "seconds": 0.68}
    assert names(Corpus.open(listed(tmp_path / "a.jsonl", kept))) == ["takes/one.wav"]
    broken = [
        {"path": "takes/two.flac", "sha256": "0" * 64},
        {"path": "./takes/two.flac", "seconds": 61.2},
        {"path": "takes/gone.wav", "sha256": "0" * 64},
        {"path": "takes/lost.wav"},
    ]
    corpus = Corpus.open(listed(tmp_path / "b.jsonl", kept, *broken))
    flac = hashlib.sha256((takes / "two.flac").read_bytes()).hexdigest()
    assert names(corpus) == ["takes/one.wav"]
    assert sorted(problem.reason for problem in corpus.problems) == [
        "missing: no such file",
        "missing: no such file",
        "not as promised: it lasts 0.83 s and not 61.2 s",
        f"not as promised: its SHA-256 is {flac}",
    ]


def test_a_manifest_splits(takes: Path, record: Record, tmp_path: Path) -> None:
    record("takes/copy.wav", noise(30_000, seed=1), subtype="PCM_16")
    lines = [{"path": f"takes/{name}"} for name in ("one.wav", "two.flac", "copy.wav")]
    chosen = Corpus.open(listed(tmp_path / "silent.jsonl", *lines)).split()
    assert sorted(len(side) for side in chosen) == [1, 2]
    lines[0]["split"] = "validation"
    training, validation = Corpus.open(listed(tmp_path / "said.jsonl", *lines)).split()
    assert names(training) == ["takes/two.flac"]
    assert names(validation) == ["takes/copy.wav", "takes/one.wav"]  # the same sound
    lines[2]["split"] = "training"
    both = Corpus.open(listed(tmp_path / "both.jsonl", *lines))
    with pytest.raises(CorpusError) as caught:
        both.split()
    assert str(caught.value) == (
        f"{tmp_path}/both.jsonl: a work lies on one side of the split, and 'one' is on both: takes/copy.wav for "
        'training, takes/one.wav for validation; give them one "split", or, if these are two works, a "group" each'
    )
    assert names(both.split(["two.flac"])[1]) == ["takes/two.flac"]


def test_a_manifest_names_works(record: Record, tmp_path: Path) -> None:
    groups = {"rag 1of2": "rag", "b": "rag", "rag 2of2": None, "c_take1": "x", "c_take2": "y", "d_take1": None}
    lines = [{"path": f"{name}.wav", **({"group": group} if group else {})} for name, group in groups.items()]
    for n, name in enumerate(groups):
        record(f"{name}.wav", noise(30_000, seed=n))
    works = {work.name: work.names for work in Corpus.open(listed(tmp_path / "a.jsonl", *lines)).works}
    assert works == {
        "rag": ["b.wav", "rag 1of2.wav", "rag 2of2.wav"],  # a group is called as a file is, and so they meet
        "x": ["c_take1.wav"],
        "y": ["c_take2.wav"],
        "d": ["d_take1.wav"],
    }
    lines[0]["split"] = "validation"
    reported: list[str] = []
    training, _ = Corpus.open(listed(tmp_path / "b.jsonl", *lines)).split(report=reported.append)
    assert names(training) == ["c_take1.wav", "c_take2.wav", "d_take1.wav"]
    assert reported == ["held out as well, being of the same works: b.wav, rag 2of2.wav"]


def test_what_a_manifest_trains_on_is_not_held_out(record: Record, tmp_path: Path) -> None:
    for n in range(6):
        record(f"x{n}.wav", noise(30_000, seed=n))
    lines = [{"path": f"x{n}.wav", **({"split": "training"} if n != 3 else {})} for n in range(6)]
    assert names(Corpus.open(listed(tmp_path / "a.jsonl", *lines)).split()[1]) == ["x3.wav"]
    lines[3]["split"] = "training"
    reported: list[str] = []
    assert len(Corpus.open(listed(tmp_path / "b.jsonl", *lines)).split(report=reported.append)[1]) == 1
    assert reported == [
        "a list puts every work that may be held out on the side of training; some are held out all the same"
    ]


def test_takes_in_folders_are_of_their_folders_and_places_do_not_count(record: Record, tmp_path: Path) -> None:
    for n, name in enumerate(["x/take1.wav", "x/take2.wav", "y/take1.wav", "y/rag/take1.wav", "y/rag/take2.wav"]):
        record(name, noise(30_000, seed=n))
    works = [work.names for work in Corpus.open(tmp_path).works]
    assert works == [["x/take1.wav", "x/take2.wav"], ["y/rag/take1.wav", "y/rag/take2.wav"], ["y/take1.wav"]]
    works = [work.names for work in Corpus.open(tmp_path / "x", tmp_path / "y").works]
    assert works == [["x/take1.wav", "y/take1.wav"], ["x/take2.wav"], ["y/rag/take1.wav", "y/rag/take2.wav"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "a JSON object is needed, and this is none (Expecting property name"),
        ("[1]", 'a JSON object with "path" is needed, and this is [1]'),
        ('{"seconds": 3}', 'a JSON object with "path" is needed, and this is {"seconds": 3}'),
        ('{"path": "b", "lenght": 3}', "the keys are path, sha256, seconds, split, group, and not lenght"),
        ('{"path": 3}', "path must be text and not 3"),
        ('{"path": "b", "group": 3}', "group must be text and not 3"),
        ('{"path": "b", "seconds": "3"}', "seconds must be a number and not '3'"),
        ('{"path": "b", "split": "test"}', "split must be training or validation and not test"),
        ('{"path": "a"}', "each path stands once, and a stood in line 1"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    manifest = listed(tmp_path / "list.jsonl", {"path": "a"}, line)
    with pytest.raises(CorpusError) as caught:
        Corpus.open(manifest)
    assert str(caught.value).startswith(f"{manifest}, line 2: {message}")


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        Corpus.open(tmp_path / "list.jsonl")
    assert str(caught.value) == f"{tmp_path}/list.jsonl: the list cannot be read (no such file or directory)"


@pytest.mark.parametrize("storage", ["memory", "server", "file"])
def test_other_storage_holds_the_same_corpus(takes: Path, storage: str, request: pytest.FixtureRequest) -> None:
    url = takes.as_uri() if storage == "file" else request.getfixturevalue(storage)
    here, there = Corpus.open(takes), Corpus.open(url)
    assert names(there) == names(here)
    assert [p.reason for p in there.problems] == [p.reason for p in here.problems]
    assert str(there.problems[0]).startswith(f"{url}/notes.txt: not audio")
    same_sound(here, there)
    same_sound(here, pickle.loads(pickle.dumps(there)))


def test_a_list_may_lie_beside_its_recordings_or_name_others(memory: str, takes: Path, tmp_path: Path) -> None:
    content = "\n".join(json.dumps({"path": path}) for path in ("one.wav", "gone.wav", f"{memory}/two.flac"))
    fsspec.filesystem("memory").pipe("/bucket/takes/all.jsonl", content.encode())
    corpus = Corpus.open(f"{memory}/all.jsonl")
    assert names(corpus) == [f"{memory}/two.flac", "one.wav"]
    assert [str(problem) for problem in corpus.problems] == [f"{memory}/gone.wav: missing: no such file"]


def test_a_copy_is_made_once_and_again_where_it_is_gone_or_old(
    memory: str, cache: Path, takes: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, fetched = fsspec.filesystem("memory"), []
    get_file = type(system).get_file

    def counted(self: object, path: str, *rest: object) -> object:
        fetched.append(path)
        return get_file(self, path, *rest)

    monkeypatch.setattr(type(system), "get_file", counted)
    corpus = Corpus.open(memory)
    Corpus.open(memory)
    assert sorted(fetched) == [f"/bucket/takes/{name}" for name in ("notes.txt", "one.wav", "two.flac")]
    shutil.rmtree(cache)  # or another machine, which has none
    assert all(recording.read(0, 30_000).any() for recording in corpus)
    assert len(fetched) == 5
    same_sound(Corpus.open(takes), corpus)
    record("takes/one.wav", noise(31_000, seed=9), subtype="PCM_16")
    system.put(str(takes / "one.wav"), "/bucket/takes/one.wav")
    assert Corpus.open(memory)["one.wav"].n_samples == 31_000
    assert not [path for path in (cache / "fetched").iterdir() if path.name.startswith(".")]


def test_what_storage_refuses_is_one_sentence(monkeypatch: pytest.MonkeyPatch, memory: str) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(CorpusError, match=r"^s3://bucket/takes: a package is lacking: Install s3fs to access S3$"):
        Corpus.open("s3://bucket/takes")
    with pytest.raises(CorpusError, match=r"^carrier://pigeon: no such kind of storage is known: Protocol not known"):
        Corpus.open("carrier://pigeon")
    with pytest.raises(CorpusError, match=r"^memory://nowhere/x.jsonl: cannot be read \(/nowhere/x.jsonl\)$"):
        Corpus.open("memory://nowhere/x.jsonl")
    with pytest.raises(CorpusError, match=r"^memory://nowhere: the folder holds no file$"):
        Corpus.open("memory://nowhere")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("access\ndenied")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", refuse)
    with pytest.raises(CorpusError, match=f"3 unreadable.*{memory}/notes.txt: unreadable: access denied"):
        Corpus.open(memory)


def test_a_url_is_distinguished_from_a_path() -> None:
    assert remote.is_url("s3://bucket/x")
    assert not remote.is_url("C:/takes")
    assert not remote.is_url("takes:/x")
