"""Make a listening test: check what is asked for, draw excerpts, shuffle, name and pair them, write."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import OutputError
from pipeline.files import check_free
from pipeline.listening import ListeningError
from pipeline.listening.excerpts import Excerpt, draw, matched, reachable
from pipeline.listening.key import Clip, Key, Pair, place_of, shuffled_pairs
from pipeline.listening.kit import Pcm, write_kit
from waveforms import SAMPLE_RATE
from waveforms.audio.level import to_int16
from waveforms.corpus import Corpus
from waveforms.errors import AudioError

MOST_CLIPS = 12  # of a system, where none is asked for: three systems then take 20 minutes, as long as ears stay fresh
LEAST_SECONDS, MOST_SECONDS = 1.0, 60.0
LOUDNESS = -23.0  # LUFS, as EBU R 128 has it


@dataclass(frozen=True)
class Made:
    """What was made.

    Attributes:
        key: what is behind the names.
        key_path: where it lies.
        left_out: files that could not be used.
        held_down: the clip whose peaks keep all below the loudness asked for, or None.
    """

    key: Key
    key_path: Path
    left_out: tuple[AudioError, ...]
    held_down: Clip | None


def make_test(
    systems: Mapping[str, Path],
    out: Path,
    *,
    seed: int,
    n_clips: int | None = None,
    seconds: float = 10.0,
    loudness: float = LOUDNESS,
    key_path: Path | None = None,
    force: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Made:
    """Make a listening test. The same recordings, settings and seed give the same bytes.

    Args:
        systems: {name: folder of recordings}.
        out: a folder for listeners, new or empty.
        seed: of every random choice.
        n_clips: of each system; if not given, as many as all have, up to MOST_CLIPS.
        seconds: length of a clip.
        loudness: of every clip in LUFS, if all can reach it.
        key_path: where the key goes; beside out, if not given.
        force: whether to overwrite.
        progress: called with (files read, files in all) of each folder.

    Raises:
        ListeningError: a setting is not legal, or a folder has too few recordings that are long enough.
        OutputError: something would be overwritten, or cannot be written.
        CorpusError: a folder cannot be used.
        AudioError: a recording changes while it is read.
    """
    key_path = key_path or place_of(out)
    _check(systems, out, key_path, seed, n_clips, seconds, loudness)
    if out.is_file():
        raise OutputError(f"{out}: a folder is needed, and this is a file")
    for path in (out, key_path):
        check_free(path, force=force)
    corpora = {system: Corpus.open(folder, progress=progress) for system, folder in systems.items()}
    groups = _drawn(corpora, n_clips, round(seconds * SAMPLE_RATE), seed)
    target, gains = matched([excerpt for group in groups for excerpt in group], loudness)
    key, pcm = _planned(systems, groups, gains, target, seed, seconds)
    write_kit(key, pcm, out, key_path)
    left_out = tuple(p for corpus in corpora.values() for p in corpus.problems if not p.reason.startswith("not audio"))
    return Made(key, key_path, left_out, _held_down(key, groups, target) if target < loudness - 0.05 else None)


def _check(
    systems: Mapping[str, Path],
    out: Path,
    key_path: Path,
    seed: int,
    n_clips: int | None,
    seconds: float,
    loudness: float,
) -> None:
    if not systems or not all(systems):
        raise ListeningError("a system or more is needed, each with a name")
    if n_clips is not None and n_clips < 1:
        raise ListeningError(f"clips must be at least 1 and not {n_clips}")
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise ListeningError(f"seconds must lie between {LEAST_SECONDS:g} and {MOST_SECONDS:g} and not be {seconds:g}")
    if not -60 <= loudness < 0:
        raise ListeningError(f"loudness must lie between -60 and 0 LUFS and not be {loudness:g}")
    if seed < 0:
        raise ListeningError(f"seed must be at least 0 and not {seed}")
    if out.resolve() in key_path.resolve().parents:
        raise ListeningError(f"{key_path}: the key must lie outside {out}, which goes to listeners")


def _drawn(corpora: Mapping[str, Corpus], n_clips: int | None, n_samples: int, seed: int) -> list[list[Excerpt]]:
    """Draw as many excerpts of every system."""
    groups = []
    for number, (system, corpus) in enumerate(corpora.items()):
        rng = np.random.default_rng([seed, 1, number])
        group = draw(system, corpus, n_clips or MOST_CLIPS, n_samples, rng)
        if n_clips is not None and len(group) < n_clips:
            needed = f"{n_clips} clips of {n_samples / SAMPLE_RATE:g} s are needed"
            raise ListeningError(f"system {system}: {needed}, and {corpus.where} gives {len(group)}")
        groups.append(group)
    n = min(map(len, groups))
    return [group[:n] for group in groups]


def _planned(
    systems: Mapping[str, Path],
    groups: Sequence[Sequence[Excerpt]],
    gains: Sequence[float],
    target: float,
    seed: int,
    seconds: float,
) -> tuple[Key, dict[str, Pcm]]:
    """Shuffle, name and pair the clips."""
    rng = np.random.default_rng([seed, 0])
    excerpts = [excerpt for group in groups for excerpt in group]
    numbers = rng.permutation(len(excerpts)) + 1
    names = [f"clip-{number:03}" for number in numbers]
    n = len(groups[0])
    pairs = shuffled_pairs([names[i : i + n] for i in range(0, len(names), n)], rng)
    clips, pcm = [], {}
    for name, excerpt, gain in sorted(zip(names, excerpts, gains, strict=True), key=lambda row: row[0]):
        start, decibels = excerpt.start / SAMPLE_RATE, round(20 * math.log10(gain), 2)
        clips.append(Clip(name, excerpt.system, excerpt.recording, start, decibels))
        pcm[name] = to_int16(excerpt.waveform * np.float32(gain))
    folders = {system: str(folder) for system, folder in systems.items()}
    test = _test_id(pcm, pairs)
    return Key(test, seed, seconds, round(target, 2), folders, tuple(clips), pairs), pcm


def _test_id(pcm: Mapping[str, Pcm], pairs: Sequence[Pair]) -> str:
    """What listeners hear, in 12 letters: tests that sound the same are the same."""
    digest = hashlib.blake2b(repr(pairs).encode(), digest_size=6)
    for clip in pcm.values():
        digest.update(clip.tobytes())
    return digest.hexdigest()


def _held_down(key: Key, groups: Sequence[Sequence[Excerpt]], target: float) -> Clip:
    lowest = min((e for group in groups for e in group), key=lambda e: reachable(e, 0.0))
    place = (lowest.system, lowest.recording, lowest.start / SAMPLE_RATE)
    return next(clip for clip in key.clips if (clip.system, clip.recording, clip.start) == place)
