"""What the ears hear in a clip, by its sound alone.

clip -> -23 LUFS -> embeddings, notes, seams, life, faults      clip as it is -> levels, offset

Ears that remember: what was heard in a clip is kept by its sound, so that nothing is listened to twice.

samples, the code that listens, its packages -> digest -> <cache>/heard/<digest>     24 kB for a clip of 10 s

A file holds the check sum of the rest, and the numbers as numpy's zip of arrays, one of which is JSON. Numbers come
back to the bit. They may have been measured by another processor, or by more threads, which round otherwise. A file
that is damaged is measured anew; a cache that cannot be written remembers nothing, and that is no error.
"""

import contextlib
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

import waveforms
from pipeline.errors import OutputError
from pipeline.evaluation.artifacts import Faults, Seams, measure_faults, measure_seams
from pipeline.evaluation.embeddings import NAMES, Embedding, Vectors, at_equal_loudness, load_embedding
from pipeline.evaluation.levels import Levels, measure_levels
from pipeline.evaluation.life import Life, measure_life
from pipeline.evaluation.musicnn import PIANO, Musicnn
from pipeline.evaluation.notes import NoteStatistics, measure_notes
from pipeline.evaluation.pruning import drop_oldest, touch
from pipeline.evaluation.transcribers import load_transcribers
from waveforms.audio import Waveform
from waveforms.corpus import cache
from waveforms.files import write_whole

_PACKAGES = ("librosa", "numpy", "pyloudnorm", "scipy", "soxr", "torch", "torchaudio", "transkun")


@dataclass(frozen=True, eq=False)
class Heard:
    """What the ears say of a sound.

    Attributes:
        seconds: its length.
        vectors: of each embedding, (n_vectors, dim).
        piano: the probability of musicnn's tag, 0 to 1.
        notes: by transcriber, "quick" and, where it was asked for, "thorough".
        seams: see there.
        life: see there.
        faults: see there.
        levels: as the clip is; all else is measured at equal loudness.
        dc_offset: mean of the samples, full scale at 1, as the clip is.
    """

    seconds: float
    vectors: Mapping[str, Vectors]
    piano: float
    notes: Mapping[str, NoteStatistics]
    seams: Seams
    life: Life
    faults: Faults
    levels: Levels
    dc_offset: float


class Ears:
    """All that listens, loaded once.

    Args:
        thorough: whether notes are heard by the thorough transcriber, too.

    Raises:
        EvaluationError: weights cannot be had; see `weights.load_weights`.
    """

    def __init__(self, *, thorough: bool = False) -> None:
        self.embeddings: dict[str, Embedding] = {name: load_embedding(name) for name in NAMES}
        self.transcribers = load_transcribers(thorough=thorough)

    @property
    def least_seconds(self) -> float:
        """The shortest clip that all can hear."""
        return max(embedding.seconds for embedding in self.embeddings.values())

    @property
    def versions(self) -> dict[str, str | None]:
        """Whose numbers these are: transcribers, and the packages that compute; None for one that is not there."""
        return {"transcriber": self.transcriber} | {name: _version(name) for name in _PACKAGES}

    @property
    def transcriber(self) -> str:
        """Names of the networks that transcribe."""
        return " and ".join(transcriber.name for transcriber in self.transcribers.values())

    def hear(self, waveform: Waveform) -> Heard:
        """Listen to a clip, float32 (n_samples,), at least `least_seconds` long."""
        level = at_equal_loudness(waveform)
        levels = measure_levels(waveform)
        vectors = {name: embedding.embed(level) for name, embedding in self.embeddings.items()}
        return Heard(
            seconds=levels.seconds,
            vectors=vectors,
            piano=self._piano(vectors["musicnn"]),
            notes={name: measure_notes(each.transcribe(level)) for name, each in self.transcribers.items()},
            seams=measure_seams(level),
            life=measure_life(level),
            faults=measure_faults(level),
            levels=levels,
            dc_offset=float(np.mean(waveform, dtype=np.float64)),
        )

    def _piano(self, vectors: Vectors) -> float:
        network = self.embeddings["musicnn"].network
        assert isinstance(network, Musicnn)
        return float(network.tags(torch.from_numpy(vectors))[:, PIANO].mean())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


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
    ours, sound = Path(__file__).parent, Path(waveforms.__path__[0])
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
