"""The answer key of a listening test, which no listener may see: one JSON file apart from those for listeners."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.listening import ListeningError
from waveforms.files import write_whole

FORMAT = 1


@dataclass(frozen=True)
class BlindClip:
    """The source of a clip that listeners know by a name only.

    Attributes:
        name: the name that listeners see; it says nothing about the clip.
        system: the system that the clip is from.
        recording: the recording's name in the system's folder.
        start: the second of the recording at which the clip begins.
        gain: the gain that it was given, in dB.
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
class AnswerKey:
    """A listening test, as only its maker knows it.

    Attributes:
        test: the test's id, which everything that belongs to it carries.
        seed: seeded every random choice.
        seconds: length of a clip.
        loudness: loudness of every clip, in LUFS.
        systems: {name: folder}.
        clips: sorted by name.
        pairs: sorted by name.
    """

    test: str
    seed: int
    seconds: float
    loudness: float
    systems: dict[str, str]
    clips: tuple[BlindClip, ...]
    pairs: tuple[Pair, ...]

    @cached_property
    def system_of(self) -> dict[str, str]:
        """{a clip's name: its system}."""
        return {clip.name: clip.system for clip in self.clips}


def key_path_for(out: Path) -> Path:
    """Return where the answer key of a test in a folder lies by default: beside the folder."""
    out = out if out.name not in ("", "..") else out.resolve()
    return out.parent / f"{out.name}-key.json"


def save(key: AnswerKey, path: Path) -> None:
    """Write an answer key. The inverse is `load`.

    Raises:
        OutputError: it cannot be written.
    """
    write_whole(path, json.dumps({"quarterwave": "key", "format": FORMAT} | asdict(key), indent=2) + "\n")


def load(path: Path) -> AnswerKey:
    """Read an answer key.

    Raises:
        ListeningError: there is no such file, it is not an answer key, or its format is newer.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        if document["quarterwave"] != "key":
            raise ValueError
        if document["format"] > FORMAT:
            newer = f"format {FORMAT} can be read, and this is {document['format']}"
            raise ListeningError(f"{path}: an answer key of a newer quarterwave: {newer}")
        fields = {name: document[name] for name in ("test", "seed", "seconds", "loudness", "systems")}
        clips, pairs = (BlindClip(**row) for row in document["clips"]), (Pair(**row) for row in document["pairs"])
        return AnswerKey(**fields, clips=tuple(clips), pairs=tuple(pairs))
    except OSError as error:
        raise ListeningError(f"{path}: the answer key cannot be read: {(error.strerror or '').lower()}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ListeningError(f"{path}: the answer key of a listening test is needed, and this is not one") from error
