"""The corpora of an evaluation: the reference, and what checkpoints were trained on, each opened and indexed once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.checkpoint import Checkpoint
from pipeline.errors import EvaluationError
from pipeline.evaluation.landmarks import LandmarkIndex
from pipeline.evaluation.request import EvaluationRequest, StartTask
from waveforms.corpus import Corpus
from waveforms.corpus.places import Place, is_here, resolved
from waveforms.errors import CorpusError


class Corpora:
    """Opens the corpora that a request and its checkpoints name."""

    def __init__(self, request: EvaluationRequest, start: StartTask) -> None:
        self._request = request
        self._start = start
        self._indices: dict[tuple[str, ...], LandmarkIndex] = {}
        self._corpora: dict[tuple[str, ...], Corpus] = {}
        if request.corpus:
            self._corpora[_key(request.corpus.places)] = request.corpus

    def open(self, *places: Place) -> Corpus:
        """Open a corpus, unless it is open.

        Raises:
            CorpusError: it cannot be used.
        """
        key = _key(places)
        if key not in self._corpora:
            names = ", ".join(Path(place).name for place in places)
            self._corpora[key] = Corpus.open(*places, progress=counted(self._start, f"reading {names}"))
        return self._corpora[key]

    def of(self, checkpoint: Checkpoint) -> Corpus:
        """The corpus that a checkpoint was trained on, with what it held out, where the checkpoint or the user says.

        Raises:
            EvaluationError: neither says.
            CorpusError: it cannot be used.
        """
        places, named = checkpoint.split["places"], self._request.trained_on
        if named and not (places and all(map(is_here, places))):
            return self.open(named)
        if not places:
            raise EvaluationError(
                "it does not say where the recordings are that it was trained on; name them with --trained-on FOLDER"
            )
        return self.open(*places)

    def of_prompts(self, checkpoint: Checkpoint) -> Corpus | None:
        """The corpus that a checkpoint's prompts are from, if it is at hand."""
        try:
            return self.open(self._request.prompts) if self._request.prompts else self.of(checkpoint)
        except (CorpusError, EvaluationError):
            return None

    def index_named(self) -> LandmarkIndex | None:
        """The landmarks of the corpus that systems were trained on as the user says; None where the user does not."""
        return self._index(self.open(self._request.trained_on)) if self._request.trained_on else None

    def index_of(self, checkpoint: Checkpoint, corpus: Corpus) -> LandmarkIndex:
        """The landmarks of the corpus that the user names, or of a checkpoint's training recordings in a corpus.

        Raises:
            EvaluationError: the corpus lacks some.
        """
        if index := self.index_named():
            return index
        names = {recording.name for recording in corpus}
        if gone := [name for name in checkpoint.split["training"] if name not in names]:
            raise EvaluationError(f"{corpus.where}: lacks {', '.join(gone)}")
        return self._index(corpus.subset(checkpoint.split["training"]))

    def _index(self, corpus: Corpus) -> LandmarkIndex:
        key = tuple(recording.findings.digest for recording in corpus)
        if key not in self._indices:
            self._indices[key] = LandmarkIndex.of(corpus, progress=counted(self._start, "fingerprinting"))
        return self._indices[key]


def counted(start: StartTask, description: str) -> Callable[[int, int], object]:
    """A task whose number of parts is known when the first is done, called with (done, in all)."""
    advanced: list[Callable[[int], None]] = []

    def progress(done: int, total: int) -> None:
        if not advanced:
            advanced.append(start(description, total))
        advanced[0](1)

    return progress


def places_of(documents: Sequence[dict[str, Any]], paths: Sequence[Path]) -> tuple[str, ...]:
    """The places that the first checkpoint was trained on.

    Args:
        documents: of the checkpoints, as `checkpoint.read_document` gives them.
        paths: of their files.

    Raises:
        EvaluationError: there is no checkpoint, it names no places, or one is gone.
    """
    if not documents:
        raise EvaluationError("a reference is needed, a folder of real recordings: --reference FOLDER")
    places = tuple(documents[0]["split"]["places"])
    if not places:
        raise EvaluationError(
            f"{paths[0]}: does not say where the recordings are that it was trained on; name a folder of real "
            "recordings with --reference FOLDER"
        )
    if gone := [place for place in places if not is_here(place)]:
        raise EvaluationError(
            f"{gone[0]}: {paths[0]} was trained on this, and it is gone; name another folder with --reference FOLDER"
        )
    return places


def _key(places: Sequence[Place]) -> tuple[str, ...]:
    return tuple(resolved(place) for place in places)
