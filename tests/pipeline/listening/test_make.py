import base64
import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
from wavinfo import WavInfoReader

from pipeline.errors import OutputError
from pipeline.listening import ListeningError, answer_key
from pipeline.listening.make import Made, make_test
from tests.conftest import noise, read_labels
from tests.pipeline.conftest import melody
from tests.pipeline.listening.conftest import SYSTEMS

Make = Callable[..., Made]
SECOND = 44_100


def loudness(waveform: np.ndarray) -> float:
    return float(pyloudnorm.Meter(SECOND, filter_class="DeMan").integrated_loudness(waveform))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def chunks(wav: bytes) -> list[bytes]:
    names, at = [], 12
    while at < len(wav):
        names.append(wav[at : at + 4])
        at += 8 + int.from_bytes(wav[at + 4 : at + 8], "little")
    return names


def test_clips_have_one_loudness_one_length_and_nothing_but_sound(make: Make, tmp_path: Path) -> None:
    made = make()
    clips = sorted((tmp_path / "test/clips").iterdir())
    assert [clip.name for clip in clips] == [f"clip-{n:03}.wav" for n in range(1, 10)]
    for clip in clips:
        assert chunks(clip.read_bytes()) == [b"fmt ", b"data"]
        info = soundfile.info(clip)
        assert (info.frames, info.samplerate, info.channels, info.subtype) == (SECOND, SECOND, 1, "PCM_16")
        waveform = soundfile.read(clip)[0]
        assert loudness(waveform) == pytest.approx(made.key.loudness, abs=0.05)
        assert np.abs(waveform).max() <= 10 ** (-1 / 20) + 1e-4
    assert made.key.loudness == -23
    assert made.held_down is None


def test_every_clip_fades_alike(systems: dict[str, Path], tmp_path: Path) -> None:
    """Of a constant, what is left is the fade itself: a raised cosine of 50 ms at each end."""
    folder = tmp_path / "constant"
    folder.mkdir()
    soundfile.write(folder / "constant.wav", np.full(3 * SECOND, 0.5), SECOND)
    made = make_test({"constant": folder, **systems}, tmp_path / "test", seed=1, seconds=1.0)
    clip = next(clip for clip in made.key.clips if clip.system == "constant")
    heard = soundfile.read(tmp_path / f"test/clips/{clip.name}.wav")[0] / (0.5 * 10 ** (clip.gain / 20))
    fade = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 2205))
    np.testing.assert_allclose(heard, np.concatenate([fade, np.ones(SECOND - 4410), fade[::-1]]), atol=2e-3)


def test_the_sharpest_clip_holds_all_down(systems: dict[str, Path], tmp_path: Path) -> None:
    sharp = tmp_path / "sharp"
    sharp.mkdir()
    click = 0.001 * noise(SECOND)[:, 0]
    click[SECOND // 2] = 1.0
    soundfile.write(sharp / "click.wav", click, SECOND)
    made = make_test({**systems, "sharp": sharp}, tmp_path / "test", seed=1, seconds=1.0)
    assert made.held_down is not None
    assert (made.held_down.system, made.held_down.recording) == ("sharp", "click.wav")
    measured = [loudness(soundfile.read(clip)[0]) for clip in (tmp_path / "test/clips").iterdir()]
    assert made.key.loudness < -40
    np.testing.assert_allclose(measured, made.key.loudness, atol=0.1)


def test_nothing_a_listener_gets_names_a_system(make: Make, tmp_path: Path) -> None:
    make()
    given = files(tmp_path / "test")
    assert {Path(name).name for name in given} >= {"page.html", "all.wav", "all.txt", "sheet.csv", "README.txt"}
    for name, content in given.items():
        assert b"zebra" not in name.encode() + content.lower(), name
    assert not any(b"zebra" in base64.b64decode(sound) for sound in sounds(given["page.html"]).values())
    assert "zebra" in (tmp_path / "test-key.json").read_text()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_test(make: Make, tmp_path: Path) -> None:
    one, again, other = make("one", seed=5), make("again", seed=5), make("other", seed=6)
    assert files(tmp_path / "one") == files(tmp_path / "again")
    assert one.key_path.read_bytes() == again.key_path.read_bytes()
    assert other.key.test != one.key.test
    assert [clip.system for clip in other.key.clips] != [clip.system for clip in one.key.clips]


def test_the_key_names_the_source_of_every_clip(make: Make, systems: dict[str, Path], tmp_path: Path) -> None:
    made = make()
    assert answer_key.load(made.key_path) == made.key
    assert Counter(clip.system for clip in made.key.clips) == dict.fromkeys(SYSTEMS, 3)
    for clip in made.key.clips:
        heard = soundfile.read(tmp_path / f"test/clips/{clip.name}.wav")[0]
        source, rate = soundfile.read(systems[clip.system] / clip.recording, always_2d=True)
        start = round(clip.start * rate)
        if rate == SECOND:
            inside = slice(3000, -3000)  # clear of the fades
            expected = source[start : start + SECOND].mean(axis=1) * 10 ** (clip.gain / 20)
            np.testing.assert_allclose(heard[inside], expected[inside], atol=2e-3)
    assert [mark.label for mark in read_labels(tmp_path / "test/all.txt")] == [clip.name for clip in made.key.clips]


def test_stretches_of_one_recording_do_not_overlap_and_every_recording_is_used(make: Make) -> None:
    for seed in range(5):
        clips = make(f"test-{seed}", seed=seed).key.clips
        starts = sorted(clip.start for clip in clips if clip.system == "zebra-classic")
        assert all(later - earlier > 1.0 - 1e-9 for earlier, later in pairwise(starts))
        assert len({clip.recording for clip in clips if clip.system == "zebra-real"}) == 3


def test_every_two_systems_meet_equally_often_on_both_sides(make: Make) -> None:
    made = make(n_clips=2)
    system = made.key.system_of
    meetings = Counter(frozenset((system[pair.a], system[pair.b])) for pair in made.key.pairs)
    assert meetings == {frozenset(two): 2 for two in combinations(SYSTEMS, 2)}
    for one, other in combinations(SYSTEMS, 2):
        firsts = Counter(system[p.a] for p in made.key.pairs if {system[p.a], system[p.b]} == {one, other})
        assert firsts == {one: 1, other: 1}


def test_an_editor_finds_every_clip_in_one_session(make: Make, tmp_path: Path) -> None:
    make()
    session = soundfile.read(tmp_path / "test/all.wav", dtype="int16")[0]
    marks = read_labels(tmp_path / "test/all.txt")
    cues = WavInfoReader(str(tmp_path / "test/all.wav"), info_encoding="utf-8").cues
    assert [(m.label, m.sample, m.n_samples) for m in marks] == [
        (label.text, cue.sample_offset, text.length)
        for cue, label, text in zip(cues.cues, cues.labels, cues.ranges, strict=True)
    ]
    for mark in marks:
        clip = soundfile.read(tmp_path / f"test/clips/{mark.label}.wav", dtype="int16")[0]
        np.testing.assert_array_equal(session[mark.sample : mark.sample + mark.n_samples], clip)
        assert not session[mark.sample + mark.n_samples :][:SECOND].any()
    sheet = list(csv.DictReader(io.StringIO((tmp_path / "test/sheet.csv").read_text())))
    assert [row["item"] for row in sheet][:9] == [mark.label for mark in marks]
    assert len(sheet) == 9 + 9


def sounds(page: bytes) -> dict[str, bytes]:
    return dict(re.findall(r'<script type="text/plain" id="(clip-\d+)">([^<]+)</script>', page.decode()))


def test_the_page_holds_the_clips_to_the_sample_and_asks_for_nothing_else(make: Make, tmp_path: Path) -> None:
    made = make()
    page = (tmp_path / "test/page.html").read_bytes()
    found = sounds(page)
    assert list(found) == [clip.name for clip in made.key.clips]
    for name, sound in found.items():
        np.testing.assert_array_equal(
            soundfile.read(io.BytesIO(base64.b64decode(sound)), dtype="int16")[0],
            soundfile.read(tmp_path / f"test/clips/{name}.wav", dtype="int16")[0],
        )
    assert not re.search(r"(src|href)\s*=\s*[\"']|https?://|@import", page.decode())


def test_nothing_is_overwritten_unasked(make: Make, tmp_path: Path) -> None:
    made = make(seed=1)
    (tmp_path / "test/results.json").write_text("a listener's")
    with pytest.raises(OutputError, match=r"test: holds files already; --force overwrites$"):
        make(seed=2)
    with pytest.raises(OutputError, match=r"test-key\.json: exists already; --force overwrites$"):
        make("fresh", key_path=made.key_path)
    assert not (tmp_path / "fresh").exists()
    again = make(seed=2, n_clips=1, force=True)
    assert answer_key.load(made.key_path) == again.key
    assert (tmp_path / "test/results.json").read_text() == "a listener's"
    assert len(list((tmp_path / "test/clips").iterdir())) == 3
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_silent_and_damaged_recordings_are_left_out(systems: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    silent_at_first = np.concatenate([np.zeros(SECOND, np.float32), melody(1, 1.0)])
    soundfile.write(folder / "half.wav", silent_at_first, SECOND, subtype="FLOAT")
    soundfile.write(folder / "nan.wav", np.full(SECOND, np.nan, np.float32), SECOND, subtype="FLOAT")
    made = make_test({"mixed": folder, "ours": systems["zebra-ours"]}, tmp_path / "test", seed=1, seconds=1.0)
    assert [(problem.path.name, problem.reason[:10]) for problem in made.left_out] == [("nan.wav", "not finite")]
    assert [clip.start for clip in made.key.clips if clip.system == "mixed"] == [1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_clips": 0}, r"clips must be at least 1 and not 0$"),
        ({"n_clips": 4}, r"zebra-\w+: 4 clips of 1 s are needed, and .*zebra-\w+ gives 3$"),
        ({"seconds": 0.5}, r"seconds must lie between 1 and 60 and not be 0.5$"),
        ({"seconds": 2.0}, r"system zebra-ours: a recording of 2 s that is not silent is needed, .* lasts 1.50 s$"),
        ({"loudness": 3.0}, r"loudness must lie between -60 and 0 LUFS and not be 3$"),
        ({"seed": -1}, r"seed must be at least 0 and not -1$"),
    ],
)
def test_what_is_not_legal_is_refused(make: Make, tmp_path: Path, settings: dict[str, float], message: str) -> None:
    with pytest.raises(ListeningError, match=message):
        make(**settings)
    assert list(tmp_path.iterdir()) == []


def test_a_key_may_not_lie_among_what_listeners_get(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ListeningError, match=r"key.json: the answer key must lie outside .*test, which goes to lis"):
        make(key_path=tmp_path / "test" / "key.json")
    with pytest.raises(ListeningError, match=r"a system or more is needed, each with a name$"):
        make_test({}, tmp_path / "test", seed=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file: a folder is needed, and this is a file$"):
        make("file", force=True)
    with pytest.raises(OutputError, match=r"cannot be made a folder: file exists$"):
        make("file/test")


def test_the_key_of_the_folder_that_one_stands_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert answer_key.key_path_for(Path("a/test/")) == Path("a/test-key.json")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert answer_key.key_path_for(Path(".")) == tmp_path / "here-key.json"


@pytest.mark.parametrize("content", ["", "[]", '{"quarterwave": "results"}', '{"quarterwave": "key", "format": 1}'])
def test_what_is_no_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(content)
    with pytest.raises(ListeningError, match=r"key.json: the answer key of .* test is needed, and this is not one$"):
        answer_key.load(path)
    path.write_text('{"quarterwave": "key", "format": 2}')
    with pytest.raises(
        ListeningError, match=r"answer key of a newer quarterwave: format 1 can be read, and this is 2$"
    ):
        answer_key.load(path)
    with pytest.raises(ListeningError, match=r"gone.json: the answer key cannot be read: no such file or directory$"):
        answer_key.load(tmp_path / "gone.json")
