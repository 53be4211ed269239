"""The full reading of a file, its memory, and the cache of decoded recordings."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import noise
from waveforms import SAMPLE_RATE
from waveforms.audio import files as audio
from waveforms.corpus import cache as cache_room
from waveforms.corpus.recording import Recording
from waveforms.corpus.survey import measure, survey
from waveforms.errors import AudioError, OutputError

Record = Callable[..., Path]


def reason(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        survey(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    return caught.value.reason


def never(*_: object, **__: object) -> None:
    raise AssertionError("the file was read again")


def cached_files(cache: Path) -> list[Path]:
    return sorted((cache / "decoded").glob("*")) if (cache / "decoded").exists() else []


def test_findings(record: Record) -> None:
    waveform = noise(50_000, gain=0.25)[:, 0]
    waveform[1000] = -0.75
    waveform[2000:2003] = 1.0
    found = survey(record("a.wav", waveform, subtype="PCM_16"))
    assert found.n_samples == 50_000
    assert found.n_clipped == 3
    assert found.peak == pytest.approx(1.0, abs=2**-15)
    assert -25 < found.loudness < -10
    assert found.info.container == "WAV"


def test_too_short(record: Record) -> None:
    assert reason(record("a.wav", noise(22_049))) == ("too short: 0.500 s; the shortest usable recording lasts 0.5 s")
    assert survey(record("b.wav", noise(22_050))).n_samples == 22_050


def test_silent(record: Record) -> None:
    assert reason(record("a.wav", np.zeros(30_000))) == "silent: no sample reaches one 16-bit step"
    assert reason(record("b.mp3", np.zeros(30_000))) == "silent: no sample reaches one 16-bit step"


def test_out_of_range(record: Record) -> None:
    path = record("a.wav", 32_768 * noise(30_000, gain=1.0), subtype="FLOAT")
    assert reason(path).startswith("out of range: float samples must lie about within ±1, and the largest here is 327")


def test_a_second_survey_does_not_read(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = record("a.mp3"), record("b.wav", np.zeros(30_000))
    found, problem = survey(good), reason(bad)
    monkeypatch.setattr(audio, "stream", never)
    assert survey(good) == found
    assert reason(bad) == problem


def test_a_changed_file_is_read_again(record: Record) -> None:
    path = record("a.wav", noise(30_000))
    before = survey(path)
    record("a.wav", noise(30_000, seed=1))
    os.utime(path, ns=(0, before.n_samples))
    assert survey(path).digest != before.digest


def test_what_the_system_refuses_is_asked_again(record: Record, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "a.wav"
    assert reason(path) == "missing: no such file"
    record("a.wav")
    assert survey(path).n_samples == 30_000
    assert len(list((cache / "surveys").iterdir())) == 1


@pytest.mark.parametrize("damage", ["cut", "digit", "empty", "list", "other version", "another file's"])
def test_a_damaged_record_is_never_trusted(record: Record, cache: Path, damage: str) -> None:
    path = record("a.wav")
    found = survey(path)
    (kept,) = (cache / "surveys").glob("*.json")
    content = kept.read_text()
    kept.write_text(
        {
            "cut": content[:-40],
            "digit": content.replace('"n_samples": 30000', '"n_samples": 30001'),
            "empty": "",
            "list": "[]",
            "other version": content.replace('"version": "', '"version": "0'),
            "another file's": content.replace("a.wav", "b.wav"),
        }[damage]
    )
    assert kept.read_text() != content
    assert survey(path) == found
    assert json.loads(kept.read_text()) == json.loads(content)  # and mended


def test_only_what_needs_it_is_cached(record: Record, cache: Path) -> None:
    for name in ("a.wav", "a.flac", "a.aiff"):
        survey(record(name))
    assert cached_files(cache) == []
    for n_cached, (name, sample_rate) in enumerate([("b.wav", 48_000), ("b.mp3", 44_100), ("b.ogg", 44_100)], 1):
        survey(record(name, noise(30_000, seed=n_cached), sample_rate))
        assert len(cached_files(cache)) == n_cached


def test_a_failed_reading_leaves_no_draft(record: Record, cache: Path) -> None:
    path = record("a.ogg", noise(100_000))
    path.write_bytes(path.read_bytes()[:8000])
    reason(path)
    assert reason(record("a.mp3", np.zeros(30_000))).startswith("silent")
    assert cached_files(cache) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: shutil.rmtree(path.parent.parent),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-2]),
        lambda path: path.write_bytes(path.read_bytes()[:40]),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
    ],
    ids=["gone", "all gone", "emptied", "short", "torn", "zeros"],
)
def test_a_damaged_cache_is_made_again(record: Record, cache: Path, damage: Callable[[Path], None]) -> None:
    recording = Recording("a.ogg", survey(record("a.ogg", noise(50_000))))
    expected = recording.read(0, 50_000)
    damage(cached_files(cache)[0])
    np.testing.assert_array_equal(recording.read(1000, 2000), expected[1000:2000])
    np.testing.assert_array_equal(recording.read(0, 50_000), expected)


def test_the_cache_deleted_while_it_is_filled(record: Record, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = record("a.ogg", noise(50_000))
    original = cache_room.Draft.keep

    def keep_too_late(draft: cache_room.Draft, digest: str) -> None:
        monkeypatch.setattr(cache_room.Draft, "keep", original)
        shutil.rmtree(cache)
        original(draft, digest)

    monkeypatch.setattr(cache_room.Draft, "keep", keep_too_late)
    recording = Recording("a.ogg", survey(path))
    assert cached_files(cache) == []
    np.testing.assert_allclose(recording.read(0, 50_000), audio.read(path), atol=2**-16)


def test_a_cache_that_keeps_nothing_is_done_without(
    record: Record, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record("a.ogg")
    recording = Recording("a.ogg", survey(path))
    shutil.rmtree(cache)
    monkeypatch.setattr(cache_room.Draft, "keep", lambda *_: None)
    np.testing.assert_array_equal(recording.read(1000, 2000), audio.read(path, 1000, 2000))


def test_a_cache_that_cannot_be_written_is_named(record: Record, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = cache / "file"
    blocked.touch()
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(blocked))
    with pytest.raises(OutputError) as caught:
        survey(record("a.ogg"))
    assert str(caught.value) == (
        f"{blocked}: the cache of decoded recordings cannot be written (Not a directory); "
        "set QUARTERWAVE_CACHE to a folder with room"
    )


def test_an_overloaded_file_keeps_its_peaks(record: Record) -> None:
    waveform = noise(60_000, gain=3.0)[:, 0]
    path = record("a.wav", waveform, 48_000, subtype="FLOAT")
    found = survey(path)
    assert found.peak > 2.5
    cached = Recording("a.wav", found).read(0, found.n_samples)
    np.testing.assert_allclose(cached, audio.read(path), atol=found.peak * 2**-15, rtol=0)


def test_a_file_that_changed_since_is_named(record: Record, cache: Path) -> None:
    for name, kind in [("a.ogg", {}), ("a.wav", {})]:
        recording = Recording(name, survey(record(name, noise(60_000), **kind)))
        record(name, noise(40_000, seed=1), **kind)
        shutil.rmtree(cache)
        with pytest.raises(AudioError) as caught:
            recording.read(0, 60_000)
        assert caught.value.reason == "changed: the file is not what it was when the folder was opened"


def test_the_digest_is_of_the_sound(record: Record) -> None:
    waveform = np.rint(noise(30_000) * 2**15) / 2**15
    same = {measure(record(name, waveform, subtype="PCM_16")).digest for name in ("a.wav", "a.flac", "a.aiff")}
    assert len(same) == 1
    assert measure(record("b.wav", noise(30_000, seed=1))).digest not in same


def test_a_wav_needs_no_cache(record: Record, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = cache / "file"
    blocked.touch()
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(blocked))
    assert Recording("a.wav", survey(record("a.wav"))).read(0, 30_000).any()


def _fill(path: Path, cache: str, barrier: object, answers: object) -> None:
    os.environ["QUARTERWAVE_CACHE"] = cache
    barrier.wait()
    for _ in range(5):
        recording = Recording("a.ogg", survey(path))
        answers.put(float(np.abs(recording.read(0, recording.n_samples) - audio.read(path)).max()))
        shutil.rmtree(cache, ignore_errors=True)  # under the other's hands


def test_two_processes_fill_and_delete_one_cache(record: Record, cache: Path) -> None:
    path = record("a.ogg", noise(10 * SAMPLE_RATE))
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_fill, args=(path, str(cache), barrier, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in range(10)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert all(error <= 2**-16 for error in found)  # half of a 16-bit step


def test_the_caches_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_room.root() == Path(os.environ["QUARTERWAVE_CACHE"])
    monkeypatch.delenv("QUARTERWAVE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_room.root().name == "quarterwave"
