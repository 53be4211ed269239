"""Ears that remember say the same as ears that listen, listen once, and never trust a file that is not whole."""

import ast
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation import analysis as remembered
from pipeline.evaluation.analysis import Heard, RememberingEars
from pipeline.evaluation.artifacts import Faults, measure_seams
from pipeline.evaluation.levels import measure_levels
from pipeline.evaluation.life import measure_life
from pipeline.evaluation.notes import measure_notes
from pipeline.evaluation.transcribers import Transcription
from tests.pipeline.conftest import melody

HOUSE = Path(__file__).parents[3]
CLIP = melody(1, 1.0)
SILENCE = np.zeros_like(CLIP)
TRANSCRIBERS = ("quick", "thorough")


class CountingEars:
    """Ears without networks, which count how often they listen."""

    def __init__(self, **versions: str) -> None:
        self.versions = {"transcriber": "fake", "torch": "1.0"} | versions
        self.n_heard = 0

    def hear(self, waveform: np.ndarray) -> Heard:
        self.n_heard += 1
        rng = np.random.default_rng(round(1e6 * float(np.abs(waveform).sum())))
        onsets = np.sort(rng.uniform(0, 2, 9)) if waveform.any() else np.zeros(0)
        notes = [(onset, onset + 0.3, int(rng.integers(40, 80)), float(rng.uniform(1, 127))) for onset in onsets]
        levels = measure_levels(waveform)
        return Heard(
            seconds=levels.seconds,
            vectors={
                "musicnn": rng.normal(size=(5, 200)).astype(np.float32),
                "aisfx": np.float32(waveform[:700, None]),
            },
            piano=float(rng.uniform()),
            notes={
                name: measure_notes(Transcription.of(notes[k:], levels.seconds)) for k, name in enumerate(TRANSCRIBERS)
            },
            seams=measure_seams(waveform),
            life=measure_life(waveform),
            faults=Faults(levels.seconds, float(rng.uniform()), ((0.1, 0.4), (0.7, 0.3)), ((0.5, 12.5),)),
            levels=levels,
            dc_offset=float(waveform.mean(dtype=np.float64)),
        )


def assert_same(one: Any, other: Any) -> None:
    """The same to the bit and by type, down to the last part."""
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one):
        assert_same(vars(one), vars(other))
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    else:
        assert one == other


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "heard").iterdir())


@pytest.mark.parametrize("clip", [CLIP, SILENCE, np.append(CLIP, [2.0, -2.0]).astype(np.float32)])
def test_what_is_remembered_is_what_was_heard(clip: np.ndarray) -> None:
    ears = CountingEars()
    first = RememberingEars(ears).hear(clip)
    again = RememberingEars(ears).hear(clip)
    assert ears.n_heard == 1
    assert_same(again, first)
    assert_same(again, CountingEars().hear(clip))


def test_another_sound_is_listened_to(cache: Path) -> None:
    ears = CountingEars()
    remembering = RememberingEars(ears)
    louder, longer = CLIP.copy(), np.append(CLIP, np.float32(0))
    louder[77] = np.nextafter(louder[77], np.float32(1))
    for clip in (CLIP, louder, longer, SILENCE, CLIP, louder):
        assert_same(remembering.hear(clip), CountingEars().hear(clip))
    assert ears.n_heard == len(entries(cache)) == 4


@pytest.mark.parametrize("versions", [{"torch": "1.1"}, {"transcriber": "thorough"}, {"another": "1.0"}])
def test_other_ears_listen_themselves(versions: dict[str, str]) -> None:
    RememberingEars(CountingEars()).hear(CLIP)
    others = CountingEars(**versions)
    RememberingEars(others).hear(CLIP)
    assert others.n_heard == 1


def test_other_code_listens_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "measure.py"
    monkeypatch.setattr(remembered, "code", lambda: [file])
    ears = CountingEars()
    for content, n_heard in [("x = 1", 1), ("x = 2", 2), ("x = 1", 2)]:
        file.write_text(content)
        RememberingEars(ears).hear(CLIP)
        assert ears.n_heard == n_heard


def imported_by(file: Path) -> Iterator[Path]:
    """The files of this house that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            for name in (f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)):
                place = HOUSE / name.replace(".", "/")
                yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists())


def test_all_code_that_listens_is_watched() -> None:
    waiting, found = [HOUSE / "pipeline/evaluation/analysis.py"], set()
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting.extend(imported_by(file))
    watched = set(remembered.code())
    assert {file.relative_to(HOUSE).as_posix() for file in found & watched} > {
        "pipeline/evaluation/analysis.py",
        "pipeline/evaluation/basic_pitch.py",
        "pipeline/evaluation/life.py",
        "waveforms/audio/loudness.py",
    }
    no_report = {file.relative_to(HOUSE).as_posix() for file in found - watched}
    assert no_report == {"pipeline/errors.py"}


def damaged(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:10],
        lambda content: content[:-1],
        lambda content: content[:20] + b"PK",
        lambda content: content + b"\0",
        lambda content: b"anybody's else" * 999,
        *(lambda content, share=share: damaged(content, int(share * len(content))) for share in np.arange(0, 1, 0.09)),
    ],
)
def test_a_damaged_file_is_measured_again(damage: Callable[[bytes], bytes], cache: Path) -> None:
    ears = CountingEars()
    remembering = RememberingEars(ears)
    first = remembering.hear(CLIP)
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert_same(remembering.hear(CLIP), first)
    assert ears.n_heard == 2
    assert entry.read_bytes() == whole  # and mended
    assert entries(cache) == [entry]


def test_a_file_of_another_sound_is_not_believed(cache: Path) -> None:
    ears = CountingEars()
    remembering = RememberingEars(ears)
    remembering.hear(CLIP)
    (entry,) = entries(cache)
    remembering.hear(SILENCE)
    (other,) = set(entries(cache)) - {entry}
    other.write_bytes(entry.read_bytes())
    assert_same(remembering.hear(SILENCE), CountingEars().hear(SILENCE))
    assert ears.n_heard == 3


@pytest.mark.parametrize("obstacle", ["heard", "the entry", "a full disk"])
def test_a_cache_that_cannot_be_written(obstacle: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ears = CountingEars()
    remembering = RememberingEars(ears)
    if obstacle == "heard":
        (cache / "heard").touch()
    elif obstacle == "the entry":
        remembering.hear(CLIP)
        (entry,) = entries(cache)
        entry.unlink()
        entry.mkdir()
    else:

        def full(path: Path, content: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
    for _ in range(2):
        assert_same(remembering.hear(CLIP), CountingEars().hear(CLIP))
    assert ears.n_heard == (3 if obstacle == "the entry" else 2)
    remembering.tidy()


def test_what_was_not_asked_for_longest_is_forgotten(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ears = CountingEars()
    remembering = RememberingEars(ears)
    clips = [CLIP * np.float32(gain) for gain in (0.2, 0.4, 0.6)]
    for n, clip in enumerate(clips):
        known = set(entries(cache)) if n else set()
        remembering.hear(clip)
        (entry,) = set(entries(cache)) - known
        os.utime(entry, (1e9 + n, 1e9 + n))
    remembering.hear(clips[0])  # asked for now
    monkeypatch.setattr(remembered, "_MOST_BYTES", 2 * entry.stat().st_size + 99)
    remembering.tidy()
    for clip in (clips[0], clips[2]):
        remembering.hear(clip)
    assert ears.n_heard == 3
    remembering.hear(clips[1])
    assert ears.n_heard == 4
