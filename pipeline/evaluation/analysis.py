"""What is measured in a clip, by its sound alone.

clip -> -23 LUFS -> embeddings, notes, seams, life, faults      clip as it is -> levels, offset

Analyses are cached by what they depend on, so that no clip is analysed twice:

samples, the code that analyses, its packages -> digest -> <cache>/analyses/<digest>     24 kB for a clip of 10 s

A file holds the check sum of the rest, and the numbers as numpy's zip of arrays, one of which is JSON. Numbers come
back to the bit. They may have been measured by another processor, or by more threads, which round otherwise. A file
that is damaged is measured anew; a cache that cannot be written keeps nothing, and that is no error.
"""

import hashlib
import io
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.errors import OutputError
from pipeline.evaluation import artifacts, life, notes
from pipeline.evaluation.artifacts import Faults, Seams, measure_faults, measure_seams
from pipeline.evaluation.life import Life, measure_life
from pipeline.evaluation.notes import NoteStatistics, measure_notes
from pipeline.pretrained import aisfx, basic_pitch, embeddings, musicnn, transcribers, weights
from pipeline.pretrained.embeddings import NAMES, Embedding, Vectors, at_equal_loudness, load_embedding
from pipeline.pretrained.musicnn import PIANO, Musicnn
from pipeline.pretrained.transcribers import load_transcribers
from waveforms.audio import Waveform, levels, loudness
from waveforms.audio.levels import Levels, measure_levels
from waveforms.corpus import cache
from waveforms.files import write_whole
from waveforms.notes import events, performance

_PACKAGES = ("librosa", "numpy", "pyloudnorm", "scipy", "soxr", "torch", "torchaudio", "transkun")
_MODULES = (
    *(artifacts, life, notes, aisfx, basic_pitch, embeddings, musicnn, transcribers, weights),
    *(levels, loudness, events, performance),
)  # with this one, all that numbers depend on: a test compares
_MOST_BYTES = 256 * 10**6  # 10 000 clips of 10 s
_N_DIGEST = 20  # bytes


@dataclass(frozen=True, eq=False)
class Analysis:
    """All that is measured in a clip alone.

    Attributes:
        seconds: the length of the clip.
        vectors: (n_vectors, dim) by embedding.
        piano: the probability, 0 to 1, of the tag piano by musicnn.
        notes: by transcriber, "quick" and, where it was asked for, "thorough".
        seams: at equal loudness, as all but `levels` and `dc_offset`.
        life: likewise.
        faults: likewise.
        levels: of the clip as it is.
        dc_offset: mean of the samples of the clip as it is, full scale at 1.
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


class Analyser:
    """All networks that analyse clips, loaded once.

    Args:
        thorough: whether the thorough transcriber finds notes, too.

    Raises:
        EvaluationError: weights cannot be had; see `weights.load_weights`.
    """

    def __init__(self, *, thorough: bool = False) -> None:
        self.embeddings: dict[str, Embedding] = {name: load_embedding(name) for name in NAMES}
        self.transcribers = load_transcribers(thorough=thorough)

    @property
    def least_seconds(self) -> float:
        """The shortest clip that all networks can embed."""
        return max(embedding.seconds for embedding in self.embeddings.values())

    @property
    def versions(self) -> dict[str, str | None]:
        """Versions of the transcribers and of the packages that numbers depend on; None for one that is not there."""
        return {"transcriber": self.transcriber} | {name: _version(name) for name in _PACKAGES}

    @property
    def transcriber(self) -> str:
        """Names of the networks that transcribe."""
        return " and ".join(transcriber.name for transcriber in self.transcribers.values())

    def analyse(self, waveform: Waveform) -> Analysis:
        """Analyse a clip, float32 (n_samples,), at least `least_seconds` long."""
        measured = measure_levels(waveform)
        level = at_equal_loudness(waveform, measured.loudness)
        vectors = {name: embedding.embed(level) for name, embedding in self.embeddings.items()}
        return Analysis(
            seconds=measured.seconds,
            vectors=vectors,
            piano=self._piano(vectors["musicnn"]),
            notes={
                name: measure_notes(each.transcribe(level), measured.seconds)
                for name, each in self.transcribers.items()
            },
            seams=measure_seams(level),
            life=measure_life(level),
            faults=measure_faults(level),
            levels=measured,
            dc_offset=float(np.mean(waveform, dtype=np.float64)),
        )

    def _piano(self, vectors: Vectors) -> float:
        network = self.embeddings["musicnn"].network
        assert isinstance(network, Musicnn)
        return float(network.tags(torch.from_numpy(vectors))[:, PIANO].mean())


class CachedAnalyser:
    """Analyses only clips that the cache does not hold."""

    def __init__(self, analyser: Analyser) -> None:
        self._analyser = analyser
        code = cache.code_digest(sys.modules[__name__], *_MODULES)
        self._key = json.dumps([analyser.versions, code], sort_keys=True).encode()

    def analyse(self, waveform: Waveform) -> Analysis:
        """See `Analyser.analyse`."""
        digest = hashlib.blake2b(self._key, digest_size=_N_DIGEST)
        digest.update(waveform.tobytes())
        path = _folder() / digest.hexdigest()
        analysis = _read(path)
        if analysis is None:
            analysis = self._analyser.analyse(waveform)
            with suppress(OutputError):
                write_whole(path, _packed(analysis, path.name))
        return analysis

    def prune(self) -> None:
        """Delete the analyses that were used longest ago, until the rest fits."""
        cache.drop_oldest(_folder(), _MOST_BYTES)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _folder() -> Path:
    return cache.root() / "analyses"


def _read(path: Path) -> Analysis | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    cache.touch(path)
    check, content = content[:_N_DIGEST], content[_N_DIGEST:]
    return _unpacked(content) if check == _check(content, path.name) else None


def _check(content: bytes, name: str) -> bytes:
    """The check sum of a file of that name; under another name it is wrong."""
    return hashlib.blake2b(content, digest_size=_N_DIGEST, key=name.encode()).digest()


def _packed(analysis: Analysis, name: str) -> bytes:
    arrays: list[np.ndarray] = []

    def place_of(array: np.ndarray) -> dict[str, int]:
        arrays.append(array)
        return {"array": len(arrays) - 1}

    document = json.dumps(asdict(analysis), default=place_of).encode()
    file = io.BytesIO()
    np.savez(file, np.frombuffer(document, np.uint8), *arrays)
    return _check(file.getvalue(), name) + file.getvalue()


def _unpacked(content: bytes) -> Analysis:
    with np.load(io.BytesIO(content), allow_pickle=False) as held:
        document, *arrays = (held[name] for name in held.files)

    def array_at(part: dict[str, Any]) -> Any:
        return arrays[part["array"]] if part.keys() == {"array"} else part

    parts = json.loads(document.tobytes(), object_hook=array_at)
    seams, faults = parts["seams"], parts["faults"]
    return Analysis(
        **parts
        | {
            "notes": {name: NoteStatistics(**found) for name, found in parts["notes"].items()},
            "seams": Seams(**seams | {"clicks": tuple(seams["clicks"])}),
            "life": Life(**parts["life"]),
            "faults": Faults(**faults | {name: tuple(map(tuple, faults[name])) for name in ("glides", "bursts")}),
            "levels": Levels(**parts["levels"]),
        }
    )
