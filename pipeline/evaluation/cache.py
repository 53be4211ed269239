"""Ears that remember: what was heard in a clip is kept by its sound, so that nothing is listened to twice.

samples, the code that listens, its packages -> digest -> <cache>/heard/<digest>     24 kB for a clip of 10 s

A file holds the check sum of the rest, and the numbers as numpy's zip of arrays, one of which is JSON. Numbers come
back to the bit. They may have been measured by another processor, or by more threads, which round otherwise. A file
that is damaged is measured anew; a cache that cannot be written remembers nothing, and that is no error.
"""

import contextlib
import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import pipeline.evaluation
import waveforms
from pipeline.errors import OutputError
from pipeline.evaluation.analysis import Ears, Heard
from pipeline.evaluation.faults import Faults
from pipeline.evaluation.levels import Levels
from pipeline.evaluation.life import Life
from pipeline.evaluation.notes import NoteStatistics
from pipeline.evaluation.pruning import drop_oldest, touch
from pipeline.evaluation.seams import Seams
from waveforms.audio import Waveform
from waveforms.corpus import cache
from waveforms.files import write_whole

_MOST_BYTES = 256 * 10**6  # 10 000 clips of 10 s
_N_DIGEST = 20  # bytes
# Any change of these begins anew: a version that somebody must remember to count up would be forgotten once.
_LISTENING = ("*.py",)


class RememberingEars:
    """Ears that listen only to what they have not heard before.

    Args:
        ears: that listen.
    """

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._whose = json.dumps(ears.versions, sort_keys=True).encode() + _digest_of_code()

    def hear(self, waveform: Waveform) -> Heard:
        """Tell what `Ears.hear` tells of a clip, float32 (n_samples,)."""
        digest = hashlib.blake2b(self._whose, digest_size=_N_DIGEST)
        digest.update(waveform.tobytes())
        path = _folder() / digest.hexdigest()
        heard = _recalled(path)
        if heard is None:
            heard = self._ears.hear(waveform)
            with contextlib.suppress(OutputError):
                write_whole(path, _packed(heard, path.name))
        return heard

    def tidy(self) -> None:
        """Forget what was not asked for longest, until the rest fits."""
        drop_oldest(_folder(), _MOST_BYTES)


def code() -> list[Path]:
    """The files that a number depends on."""
    ours, sound = (Path(package.__path__[0]) for package in (pipeline.evaluation, waveforms))
    return sorted([*(file for pattern in _LISTENING for file in ours.glob(pattern)), *sound.rglob("*.py")])


def _digest_of_code() -> bytes:
    digest = hashlib.blake2b(digest_size=_N_DIGEST)
    for file in code():
        digest.update(hashlib.blake2b(file.read_bytes()).digest())
    return digest.digest()


def _folder() -> Path:
    return cache.root() / "heard"


def _recalled(path: Path) -> Heard | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    touch(path)
    check, content = content[:_N_DIGEST], content[_N_DIGEST:]
    return _unpacked(content) if check == _check(content, path.name) else None


def _check(content: bytes, name: str) -> bytes:
    """The check sum of a file of that name; under another name it is wrong."""
    return hashlib.blake2b(content, digest_size=_N_DIGEST, key=name.encode()).digest()


def _packed(heard: Heard, name: str) -> bytes:
    arrays: list[np.ndarray] = []

    def place_of(array: np.ndarray) -> dict[str, int]:
        arrays.append(array)
        return {"array": len(arrays) - 1}

    document = json.dumps(asdict(heard), default=place_of).encode()
    file = io.BytesIO()
    np.savez(file, np.frombuffer(document, np.uint8), *arrays)
    return _check(file.getvalue(), name) + file.getvalue()


def _unpacked(content: bytes) -> Heard:
    with np.load(io.BytesIO(content), allow_pickle=False) as held:
        document, *arrays = (held[name] for name in held.files)

    def array_at(part: dict[str, Any]) -> Any:
        return arrays[part["array"]] if part.keys() == {"array"} else part

    parts = json.loads(document.tobytes(), object_hook=array_at)
    seams, life, faults = parts["seams"], parts["life"], parts["faults"]
    return Heard(
        **parts
        | {
            "notes": {name: NoteStatistics(**notes) for name, notes in parts["notes"].items()},
            "seams": Seams(**seams | {"clicks": tuple(seams["clicks"])}),
            "life": Life(**life | {"levels": tuple(life["levels"])}),
            "faults": Faults(**faults | {name: tuple(map(tuple, faults[name])) for name in ("glides", "bursts")}),
            "levels": Levels(**parts["levels"]),
        }
    )
