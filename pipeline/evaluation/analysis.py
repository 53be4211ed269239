"""What the ears hear in a clip, by its sound alone.

clip -> -23 LUFS -> embeddings, notes, seams, life, faults      clip as it is -> levels, offset
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import torch

from pipeline.evaluation.embeddings import NAMES, Embedding, Vectors, at_equal_loudness, load_embedding
from pipeline.evaluation.faults import Faults, measure_faults
from pipeline.evaluation.levels import Levels, measure_levels
from pipeline.evaluation.life import Life, measure_life
from pipeline.evaluation.musicnn import PIANO, Musicnn
from pipeline.evaluation.notes import NoteStatistics, measure_notes
from pipeline.evaluation.seams import Seams, measure_seams
from pipeline.evaluation.transcribers import load_transcribers
from waveforms.audio import Waveform

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
