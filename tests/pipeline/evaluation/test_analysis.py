"""Cached analyses are those of the analyser, computed once; a file that is not whole is never trusted."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation import analysis
from pipeline.evaluation.analysis import Analysis, CachedAnalyser
from pipeline.evaluation.artifacts import Faults, measure_seams
from pipeline.evaluation.life import measure_life
from pipeline.evaluation.notes import measure_notes
from tests.pipeline.conftest import melody
from tests.waveforms.corpus.test_cache_keys import imported_by
from waveforms.audio.levels import measure_levels
from waveforms.notes.events import Notes

CLIP = melody(1, 1.0)
SILENCE = np.zeros_like(CLIP)
TRANSCRIBERS = ("quick", "thorough")


class CountingAnalyser:
    """An analyser without networks, which counts its calls."""

    def __init__(self, **versions: str) -> None:
        self.versions = {"transcriber": "fake", "torch": "1.0"} | versions
        self.n_analysed = 0

    def analyse(self, waveform: np.ndarray) -> Analysis:
        self.n_analysed += 1
        rng = np.random.default_rng(round(1e6 * float(np.abs(waveform).sum())))
        onsets = np.sort(rng.uniform(0, 2, 9)) if waveform.any() else np.zeros(0)
        notes = [(onset, onset + 0.3, int(rng.integers(40, 80)), float(rng.uniform(1, 127))) for onset in onsets]
        levels = measure_levels(waveform)
        return Analysis(
            seconds=levels.seconds,
            vectors={
                "musicnn": rng.normal(size=(5, 200)).astype(np.float32),
                "aisfx": np.float32(waveform[:700, None]),
            },
            piano=float(rng.uniform()),
            notes={name: measure_notes(Notes.of(notes[k:]), levels.seconds) for k, name in enumerate(TRANSCRIBERS)},
            seams=measure_seams(waveform),
            life=measure_life(waveform),
            faults=Faults(float(rng.uniform()), ((0.1, 0.4), (0.7, 0.3)), ((0.5, 12.5),)),
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
    return sorted((cache / "analyses").iterdir())


@pytest.mark.parametrize("clip", [CLIP, SILENCE, np.append(CLIP, [2.0, -2.0]).astype(np.float32)])
def test_what_is_cached_is_what_was_computed(clip: np.ndarray) -> None:
    analyser = CountingAnalyser()
    first = CachedAnalyser(analyser).analyse(clip)
    again = CachedAnalyser(analyser).analyse(clip)
    assert analyser.n_analysed == 1
    assert_same(again, first)
    assert_same(again, CountingAnalyser().analyse(clip))


def test_another_sound_is_analysed(cache: Path) -> None:
    analyser = CountingAnalyser()
    cached = CachedAnalyser(analyser)
    louder, longer = CLIP.copy(), np.append(CLIP, np.float32(0))
    louder[77] = np.nextafter(louder[77], np.float32(1))
    for clip in (CLIP, louder, longer, SILENCE, CLIP, louder):
        assert_same(cached.analyse(clip), CountingAnalyser().analyse(clip))
    assert analyser.n_analysed == len(entries(cache)) == 4


@pytest.mark.parametrize("versions", [{"torch": "1.1"}, {"transcriber": "thorough"}, {"another": "1.0"}])
def test_another_analyser_does_it_itself(versions: dict[str, str]) -> None:
    CachedAnalyser(CountingAnalyser()).analyse(CLIP)
    others = CountingAnalyser(**versions)
    CachedAnalyser(others).analyse(CLIP)
    assert others.n_analysed == 1


def test_other_code_analyses_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    analyser = CountingAnalyser()
    for digest, n_analysed in [("1", 1), ("2", 2), ("1", 2)]:
        monkeypatch.setattr("waveforms.corpus.cache.code_digest", lambda *modules, digest=digest: digest)
        CachedAnalyser(analyser).analyse(CLIP)
        assert analyser.n_analysed == n_analysed


# These change no number: constants that stay, errors, files out, and the cache.
HARMLESS = {
    *("pipeline.errors", "waveforms", "waveforms.errors", "waveforms.files", "waveforms.audio"),
    *("waveforms.corpus.cache", "waveforms.corpus"),
}


def test_the_key_holds_all_code_that_numbers_depend_on_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[set[str]] = []
    monkeypatch.setattr(
        "waveforms.corpus.cache.code_digest", lambda *modules: keys.append({m.__name__ for m in modules}) or ""
    )
    CachedAnalyser(CountingAnalyser())
    assert keys == [imported_by(["pipeline.evaluation.analysis"], HARMLESS)]


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
    analyser = CountingAnalyser()
    cached = CachedAnalyser(analyser)
    first = cached.analyse(CLIP)
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert_same(cached.analyse(CLIP), first)
    assert analyser.n_analysed == 2
    assert entry.read_bytes() == whole  # and mended
    assert entries(cache) == [entry]


def test_a_file_of_another_sound_is_not_believed(cache: Path) -> None:
    analyser = CountingAnalyser()
    cached = CachedAnalyser(analyser)
    cached.analyse(CLIP)
    (entry,) = entries(cache)
    cached.analyse(SILENCE)
    (other,) = set(entries(cache)) - {entry}
    other.write_bytes(entry.read_bytes())
    assert_same(cached.analyse(SILENCE), CountingAnalyser().analyse(SILENCE))
    assert analyser.n_analysed == 3


@pytest.mark.parametrize("obstacle", ["analyses", "the entry", "a full disk"])
def test_a_cache_that_cannot_be_written(obstacle: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    analyser = CountingAnalyser()
    cached = CachedAnalyser(analyser)
    if obstacle == "analyses":
        (cache / "analyses").touch()
    elif obstacle == "the entry":
        cached.analyse(CLIP)
        (entry,) = entries(cache)
        entry.unlink()
        entry.mkdir()
    else:

        def full(path: Path, content: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
    for _ in range(2):
        assert_same(cached.analyse(CLIP), CountingAnalyser().analyse(CLIP))
    assert analyser.n_analysed == (3 if obstacle == "the entry" else 2)
    cached.prune()


def test_what_was_not_asked_for_longest_is_deleted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    analyser = CountingAnalyser()
    cached = CachedAnalyser(analyser)
    clips = [CLIP * np.float32(gain) for gain in (0.2, 0.4, 0.6)]
    for n, clip in enumerate(clips):
        known = set(entries(cache)) if n else set()
        cached.analyse(clip)
        (entry,) = set(entries(cache)) - known
        os.utime(entry, (1e9 + n, 1e9 + n))
    cached.analyse(clips[0])  # asked for now
    monkeypatch.setattr(analysis, "_MOST_BYTES", 2 * entry.stat().st_size + 99)
    cached.prune()
    for clip in (clips[0], clips[2]):
        cached.analyse(clip)
    assert analyser.n_analysed == 3
    cached.analyse(clips[1])
    assert analyser.n_analysed == 4
