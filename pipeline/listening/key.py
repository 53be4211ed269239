"""The key of a listening test: what no listener may see, in one JSON file apart from what listeners get."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import write_whole
from pipeline.listening import ListeningError

FORMAT = 1


@dataclass(frozen=True)
class Clip:
    """What is behind a clip's name.

    Attributes:
        name: that listeners see, and its WAV has.
        system: whose it is.
        recording: its name in the system's folder.
        start: where it begins there, in seconds.
        gain: in dB, by which it was turned.
    """

    name: str
    system: str
    recording: str
    start: float
    gain: float


@dataclass(frozen=True)
class Pair:
    """Two clips of two systems to choose from; a and b are their names."""

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class Key:
    """A listening test, as only its maker knows it.

    Attributes:
        test: its id, which everything that belongs to it carries.
        seed: it was drawn with.
        seconds: length of a clip.
        loudness: of every clip, in LUFS.
        systems: {name: folder}.
        clips: in the order of their names.
        pairs: likewise.
    """

    test: str
    seed: int
    seconds: float
    loudness: float
    systems: dict[str, str]
    clips: tuple[Clip, ...]
    pairs: tuple[Pair, ...]

    @property
    def system_of(self) -> dict[str, str]:
        """{a clip's name: its system}."""
        return {clip.name: clip.system for clip in self.clips}


def shuffled_pairs(systems_clips: Sequence[Sequence[str]], rng: np.random.Generator) -> tuple[Pair, ...]:
    """Set each clip of each system against one of each other system, in an order and on sides drawn by chance.

    Every two systems meet equally often, each as often first as second, or once more.

    Args:
        systems_clips: names of each system's clips, equally many.
        rng: that draws.
    """
    drawn: list[tuple[str, str]] = []
    for i, ours in enumerate(systems_clips):
        for theirs in systems_clips[i + 1 :]:
            flips = rng.permutation(len(ours)) % 2
            opponents = rng.permutation(len(theirs))
            for clip, opponent, flip in zip(ours, opponents, flips, strict=True):
                drawn.append((theirs[opponent], clip) if flip else (clip, theirs[opponent]))
    order = rng.permutation(len(drawn))
    return tuple(Pair(f"pair-{n:03}", *drawn[i]) for n, i in enumerate(order, start=1))


def place_of(out: Path) -> Path:
    """Where the key of a test in a folder lies if nobody says otherwise: beside it."""
    out = out if out.name not in ("", "..") else out.resolve()
    return out.parent / f"{out.name}-key.json"


def save(key: Key, path: Path) -> None:
    """Write a key. The inverse is `load`.

    Raises:
        OutputError: it cannot be written.
    """
    write_whole(path, json.dumps({"quarterwave": "key", "format": FORMAT} | asdict(key), indent=2) + "\n")


def load(path: Path) -> Key:
    """Read a key.

    Raises:
        ListeningError: there is no such file, it is not a key, or of a newer format.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        if document["quarterwave"] != "key":
            raise ValueError
        if document["format"] > FORMAT:
            newer = f"format {FORMAT} can be read, and this is {document['format']}"
            raise ListeningError(f"{path}: a key of a newer quarterwave: {newer}")
        fields = {name: document[name] for name in ("test", "seed", "seconds", "loudness", "systems")}
        clips, pairs = (Clip(**row) for row in document["clips"]), (Pair(**row) for row in document["pairs"])
        return Key(**fields, clips=tuple(clips), pairs=tuple(pairs))
    except OSError as error:
        raise ListeningError(f"{path}: the key cannot be read: {(error.strerror or '').lower()}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ListeningError(f"{path}: a listening test's key is needed, and this is none") from error
