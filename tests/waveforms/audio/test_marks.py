"""Marks: what is written comes back, and other people's programs see it too."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from wavinfo import WavInfoReader

from tests.conftest import noise
from waveforms.audio.marks import Mark, read_labels, read_marks, read_metadata, write_labels, write_marks
from waveforms.errors import AudioError

MARKS = [Mark(0, "prompt", 44_100), Mark(44_100, "roll-out"), Mark(50_001, "café ♪ 𝄞 日本", 3)]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
ANY_MARKS = st.lists(st.builds(Mark, st.integers(0, 2**32 - 1), TEXT, st.integers(0, 2**32 - 1)), max_size=8)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(60_001), 44_100, subtype="PCM_U8")  # an odd data chunk, which needs a pad byte
    return path


def test_marks_come_back(clip: Path) -> None:
    before = soundfile.read(clip)[0]
    write_marks(clip, MARKS)
    assert read_marks(clip) == MARKS
    np.testing.assert_array_equal(soundfile.read(clip)[0], before)


def test_an_independent_reader_sees_them(clip: Path) -> None:
    write_marks(clip, MARKS, metadata={"title": "A clip", "software": "quarterwave", "comment": "née ♪"})
    seen = WavInfoReader(str(clip), info_encoding="utf-8")
    assert [(cue.name, cue.sample_offset) for cue in seen.cues.cues] == [(1, 0), (2, 44_100), (3, 50_001)]
    assert [label.text for label in seen.cues.labels] == [mark.label for mark in MARKS]
    assert [(text.name, text.length) for text in seen.cues.ranges] == [(1, 44_100), (3, 3)]
    assert (seen.info.title, seen.info.software, seen.info.comment) == ("A clip", "quarterwave", "née ♪")


def test_libsndfile_sees_the_metadata_and_no_damage(clip: Path) -> None:
    write_marks(clip, MARKS, metadata={"title": "A clip", "artist": "Nobody", "date": "2024-01-31"})
    with soundfile.SoundFile(clip) as file:
        assert (file.title, file.artist, file.date) == ("A clip", "Nobody", "2024-01-31")
        assert "(should be" not in file.extra_info
        assert file.frames == 60_001


def test_the_riff_size_is_the_file_size(clip: Path) -> None:
    write_marks(clip, MARKS)
    content = clip.read_bytes()
    assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8
    assert len(content) % 2 == 0


def test_writing_again_replaces(clip: Path) -> None:
    write_marks(clip, MARKS, metadata={"title": "first"})
    write_marks(clip, [Mark(7, "only")])
    assert read_marks(clip) == [Mark(7, "only")]
    assert read_metadata(clip) == {"title": "first"}  # not given again, so it stays
    write_marks(clip, [], metadata={"comment": "second"})
    assert read_marks(clip) == []
    assert read_metadata(clip) == {"comment": "second"}


@settings(deadline=None, max_examples=40)
@given(marks=ANY_MARKS)
def test_any_marks_come_back(tmp_path_factory: pytest.TempPathFactory, marks: list[Mark]) -> None:
    path = tmp_path_factory.mktemp("any") / "clip.wav"
    soundfile.write(path, noise(5), 44_100)
    write_marks(path, marks)
    assert read_marks(path) == marks


@settings(deadline=None, max_examples=40)
@given(
    marks=st.lists(
        st.builds(
            Mark,
            st.integers(0, 10**9),  # six hours
            TEXT.filter(lambda text: "\n" not in text and "\r" not in text),
            st.integers(0, 10**9),
        ),
        max_size=8,
    )
)
def test_any_labels_come_back(tmp_path_factory: pytest.TempPathFactory, marks: list[Mark]) -> None:
    path = tmp_path_factory.mktemp("any") / "labels.txt"
    write_labels(path, marks)
    assert read_labels(path) == marks


def test_the_label_file_is_audacitys(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    write_labels(path, [Mark(22_050, "two\nlines", 11_025), Mark(44_100, "♪")])
    assert path.read_bytes() == "0.5000000\t0.7500000\ttwo lines\n1.0000000\t1.0000000\t♪\n".encode()


def test_label_files_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeff0.5\t0.75\tone\r\n\\\t100.0\t2000.0\r\n1\t1\r\n\r\n".encode())
    assert read_labels(path) == [Mark(22_050, "one", 11_025), Mark(44_100, "")]


def test_a_bad_label_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("0\t1\tfine\nhello\n")
    with pytest.raises(AudioError) as caught:
        read_labels(path)
    assert str(caught.value) == (
        f"{path}: line 2: a line must be start, end and label with tabs between, and not 'hello'"
    )
    path.write_bytes(b"0\t1\t\xff\n")
    with pytest.raises(AudioError) as caught:
        read_labels(path)
    assert str(caught.value) == f"{path}: a label file must be UTF-8, and byte 4 is not"


def test_what_is_not_a_riff_wav_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, noise(100), 44_100)
    before = path.read_bytes()
    with pytest.raises(AudioError) as caught:
        write_marks(path, MARKS)
    assert str(caught.value) == f"{path}: marks live in RIFF WAV files, and this is not one"
    assert path.read_bytes() == before


def test_what_cannot_be_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^sample and n_samples must lie in \[0, 2\*\*32\) and not be -1 and 0$"):
        Mark(-1, "early")
    with pytest.raises(ValueError, match=r"^a text must not hold the character NUL, and 'a\\x00b' does$"):
        Mark(0, "a\0b")


def test_unknown_metadata_is_refused(clip: Path) -> None:
    with pytest.raises(ValueError, match=r"^metadata must be among title, artist, .*, comment and not titel$"):
        write_marks(clip, [], metadata={"titel": "A clip"})


def test_a_damaged_cue_chunk_is_named(clip: Path) -> None:
    write_marks(clip, [Mark(1, "a")])
    content = clip.read_bytes()
    at = content.index(b"cue ") + 8
    clip.write_bytes(content[:at] + struct.pack("<I", 1000) + content[at + 4 :])
    with pytest.raises(AudioError) as caught:
        read_marks(clip)
    assert str(caught.value) == f"{clip}: the cue chunk is damaged: 1000 points do not fit in its 28 bytes"


def test_labels_of_older_programs_are_readable(clip: Path) -> None:
    write_marks(clip, [Mark(1, "caf#")])
    clip.write_bytes(clip.read_bytes().replace(b"caf#", b"caf\xe9"))
    assert read_marks(clip) == [Mark(1, "café")]
