"""Make a listening test: check what is asked for, sample excerpts, shuffle, name and pair them, write.

OUT/page.html                     for a browser: one file, offline
OUT/all.wav, OUT/all.txt          for an audio editor: every clip in one session, and its label file
OUT/clips/clip-001.wav, ...       the same clips one by one
OUT/sheet.csv, OUT/README.txt     what listeners with an editor fill in, and how
OUT-key.json                      the answer key, which names the system of each clip: never inside OUT
"""

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.errors import OutputError
from pipeline.listening import ListeningError
from pipeline.listening.answer_key import AnswerKey, BlindClip, Pair, key_path_for, save
from pipeline.listening.answers import blank_sheet
from pipeline.listening.excerpts import Excerpt, match, reachable, sample
from pipeline.web.pages import assemble, to_flac
from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter
from waveforms.audio.gain import to_int16
from waveforms.audio.marks import Mark, write_labels
from waveforms.corpus import Corpus
from waveforms.errors import AudioError
from waveforms.files import check_free, write_whole

MOST_CLIPS = 12  # clips of a system by default: three systems then take 20 minutes, as long as ears stay fresh
LEAST_SECONDS, MOST_SECONDS = 1.0, 60.0
LOUDNESS = -23.0  # LUFS, as EBU R 128 has it
GAP_SECONDS = 1.0  # between clips in an editor

Pcm = npt.NDArray[np.int16]  # (n_samples,)


@dataclass(frozen=True)
class Made:
    """A listening test that was made.

    Attributes:
        key: the answer key.
        key_path: the path of the answer key.
        left_out: files that could not be used.
        held_down: the clip whose peaks keep all clips below the loudness that was asked for, or None.
    """

    key: AnswerKey
    key_path: Path
    left_out: tuple[AudioError, ...]
    held_down: BlindClip | None


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
        seed: seeds every random choice.
        n_clips: the number of clips of each system; by default as many as all have, up to MOST_CLIPS.
        seconds: length of a clip.
        loudness: loudness of every clip in LUFS, if all can reach it.
        key_path: the path of the answer key; by default beside out.
        force: whether to overwrite.
        progress: called with (files read, files in all) for each folder.

    Raises:
        ListeningError: a setting is not legal, or a folder has too few recordings that are long enough.
        OutputError: something would be overwritten, or cannot be written.
        CorpusError: a folder cannot be used.
        AudioError: a recording changes while it is read.
    """
    key_path = key_path or key_path_for(out)
    _check(systems, out, key_path, seed, n_clips, seconds, loudness)
    for path in (out, key_path):
        check_free(path, force=force)
    corpora = {system: Corpus.open(folder, progress=progress) for system, folder in systems.items()}
    excerpts = _sampled(corpora, n_clips, round(seconds * SAMPLE_RATE), seed)
    target, gains = match(excerpts, loudness)
    names, pairs = _names_and_pairs(len(systems), len(excerpts) // len(systems), seed)
    clips = [_blind(*row) for row in zip(names, excerpts, gains, strict=True)]
    pcm = {name: to_int16(e.waveform * np.float32(g)) for name, e, g in zip(names, excerpts, gains, strict=True)}
    pcm = dict(sorted(pcm.items()))
    key = AnswerKey(
        test=_test_id(pcm, pairs),
        seed=seed,
        seconds=seconds,
        loudness=round(target, 2),
        systems={system: str(folder) for system, folder in systems.items()},
        clips=tuple(sorted(clips, key=lambda clip: clip.name)),
        pairs=pairs,
    )
    _write(key, pcm, out, key_path)
    left_out = tuple(p for corpus in corpora.values() for p in corpus.problems if not p.reason.startswith("not audio"))
    sharpest = clips[int(np.argmin([reachable(excerpt, 0.0) for excerpt in excerpts]))]
    return Made(key, key_path, left_out, sharpest if target < loudness - 0.05 else None)


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
        raise ListeningError(f"{key_path}: the answer key must lie outside {out}, which goes to listeners")
    if out.is_file():
        raise OutputError(f"{out}: a folder is needed, and this is a file")


def _sampled(corpora: Mapping[str, Corpus], n_clips: int | None, n_samples: int, seed: int) -> list[Excerpt]:
    """Sample equally many excerpts of every system, one system after the other."""
    groups = []
    for number, (system, corpus) in enumerate(corpora.items()):
        rng = np.random.default_rng([seed, 1, number])
        group = sample(system, corpus, n_clips or MOST_CLIPS, n_samples, rng)
        if n_clips is not None and len(group) < n_clips:
            needed = f"{n_clips} clips of {n_samples / SAMPLE_RATE:g} s are needed"
            raise ListeningError(f"system {system}: {needed}, and {corpus.where} gives {len(group)}")
        groups.append(group)
    n = min(map(len, groups))
    return [excerpt for group in groups for excerpt in group[:n]]


def _names_and_pairs(n_systems: int, n_clips: int, seed: int) -> tuple[list[str], tuple[Pair, ...]]:
    """Name n_clips clips of each system in random order, one system after the other, and pair them."""
    rng = np.random.default_rng([seed, 0])
    names = [f"clip-{number:03}" for number in rng.permutation(n_systems * n_clips) + 1]
    return names, shuffled_pairs([names[i : i + n_clips] for i in range(0, len(names), n_clips)], rng)


def shuffled_pairs(names: Sequence[Sequence[str]], rng: np.random.Generator) -> tuple[Pair, ...]:
    """Set each clip of each system against one of each other system, in random order and on random sides.

    Every two systems meet equally often, each as often first as second, or once more.

    Args:
        names: the names of each system's clips, equally many.
        rng: the source of chance.
    """
    sides: list[tuple[str, str]] = []
    for ours, theirs in combinations(names, 2):
        flips = rng.permutation(len(ours)) % 2
        opponents = rng.permutation(len(theirs))
        for clip, opponent, flip in zip(ours, opponents, flips, strict=True):
            sides.append((theirs[opponent], clip) if flip else (clip, theirs[opponent]))
    order = rng.permutation(len(sides))
    return tuple(Pair(f"pair-{n:03}", *sides[i]) for n, i in enumerate(order, start=1))


def _blind(name: str, excerpt: Excerpt, gain: float) -> BlindClip:
    start, decibels = excerpt.start / SAMPLE_RATE, round(20 * math.log10(gain), 2)
    return BlindClip(name, excerpt.system, excerpt.recording, start, decibels)


def _test_id(pcm: Mapping[str, Pcm], pairs: Sequence[Pair]) -> str:
    """Hash what listeners hear to 12 letters: tests that sound the same are the same."""
    digest = hashlib.blake2b(repr(pairs).encode(), digest_size=6)
    for clip in pcm.values():
        digest.update(clip.tobytes())
    return digest.hexdigest()


def _write(key: AnswerKey, pcm: Mapping[str, Pcm], out: Path, key_path: Path) -> None:
    """Write all files beside their place, then move them there: the answer key first, without which clips are useless.

    Raises:
        OutputError: one cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder: {(error.strerror or '').lower()}") from error
    try:
        _write_for_editor(key, pcm, staging)
        write_whole(staging / "page.html", _page(key, pcm))
        save(key, key_path)
        for old in (out / "clips").glob("clip-*.wav"):  # a test of more clips may have been here
            old.unlink()
        (out / "clips").mkdir(parents=True, exist_ok=True)
        for file in sorted(path for path in staging.rglob("*") if path.is_file()):
            os.replace(file, out / file.relative_to(staging))
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {(error.strerror or '').lower()}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _page(key: AnswerKey, pcm: Mapping[str, Pcm]) -> str:
    """Make the page, which shows nothing of the answer key but the names of clips and pairs."""
    pairs = [[pair.name, pair.a, pair.b] for pair in key.pairs]
    sounds = {name: to_flac(samples) for name, samples in pcm.items()}
    return assemble(
        "listening", title="Listening test", data={"id": key.test, "clips": list(pcm), "pairs": pairs}, sounds=sounds
    )


def _write_for_editor(key: AnswerKey, pcm: Mapping[str, Pcm], folder: Path) -> None:
    (folder / "clips").mkdir()
    gap = np.zeros(round(GAP_SECONDS * SAMPLE_RATE), np.float32)
    with ClipWriter(folder / "all.wav") as session:
        for name, samples in pcm.items():
            waveform = samples / np.float32(32768)
            with ClipWriter(folder / "clips" / f"{name}.wav") as clip:
                clip.write(waveform)
            session.marks.append(Mark(session.n_samples, name, len(samples)))
            session.write(waveform)
            session.write(gap)
    write_labels(folder / "all.txt", session.marks)
    write_whole(folder / "sheet.csv", blank_sheet(key))
    write_whole(folder / "README.txt", _HOW.format(test=key.test))


_HOW = """\
Listening test {test}

In a browser: open page.html. It needs no network, explains what to do, and saves a results file at the end.

In an audio editor: open all.wav; it holds every clip, with a mark at each. In Audacity, File > Import > Labels,
all.txt. (The same clips lie one by one in clips/.) Then fill in sheet.csv:

  rating     one of 1 bad, 2 poor, 3 fair, 4 good, 5 excellent: how good the clip sounds as a recording of a piano
  preferred  A or B: which of the two clips named in the columns A and B sounds better
  remarks    anything you like

Leave blank what you cannot tell. Use headphones if you can, and set your volume once: all clips are equally loud.
Hand back the results file or the sheet.
"""
