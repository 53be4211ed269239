"""How a run begins: its corpus is opened and split, its codec and model are fitted or loaded.

places -> corpus -> training, validation -> pieces -> codec, model -> Run
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.codecs import Codec, make_codec
from pipeline.config import LAST, Settings, TrainingSettings
from pipeline.models import Blocks, Model, make_model
from pipeline.training.callbacks import Callback, CallbackList
from pipeline.training.lanes import encode_rows
from pipeline.training.lineage import ancestors_with, named_split, trained_on
from pipeline.training.pieces import (
    HELD_OUT_SEQUENCES,
    MOST_EXCERPTS,
    SWEEP_BLOCKS,
    Piece,
    choose_excerpts,
    examples,
    fitted_to,
    held_out_rows,
    midi_pieces,
    pieces_of,
)
from pipeline.training.request import TrainRequest
from waveforms.corpus import Corpus
from waveforms.corpus.works import work_of
from waveforms.errors import CorpusError
from waveforms.files import make_folder


@dataclass
class Progress:
    """Where a run stands; with the tensors of `last.safetensors`, all that its future depends on.

    Attributes:
        step: optimiser steps done.
        best_loss: the lowest loss of a validation; None before the first one.
        n_worse: validations since that one.
        seconds: of training.
    """

    step: int = 0
    best_loss: float | None = None
    n_worse: int = 0
    seconds: float = 0.0

    def is_over(self, settings: TrainingSettings) -> bool:
        """Whether a run that stands here has ended: all steps are done, or the loss has not fallen for too long."""
        return self.step >= settings.steps or self.n_worse >= settings.patience


@dataclass
class Run:
    """A run, ready for the training loop.

    Attributes:
        checkpoint: what is saved: settings, codec, model, split and history. Where weights are averaged, the model's
            are the average.
        progress: where the run stands.
        corpus: all recordings of its places.
        training: the recordings that it learns from.
        validation: the recordings that are held out.
        music: MIDI files that it learns from as well.
        folder: of its checkpoints.
    """

    checkpoint: Checkpoint
    progress: Progress
    corpus: Corpus
    training: list[Piece]
    validation: list[Piece]
    music: list[Piece]
    folder: Path

    @property
    def settings(self) -> Settings:
        """All settings."""
        return self.checkpoint.settings

    @property
    def n_lanes(self) -> int:
        """Rows of a batch, over all processes: those with sound, and those of notes alone."""
        return self.settings.training.batch_size + self.settings.model.note_sequences

    @property
    def n_blocks_of_step(self) -> int:
        """Blocks of a batch, over all processes."""
        return self.n_lanes * self.settings.training.sequence_blocks


def begin(request: TrainRequest, callbacks: Iterable[Callback] = (), *, corpus: Corpus | None = None) -> Run:
    """Prepare a run: a new one, or the one in its folder that is to be resumed.

    A new one holds out whole works, and nothing that the checkpoint it starts from, or an ancestor of that, was
    trained on.

    Args:
        request: what to train.
        callbacks: for progress and messages.
        corpus: the request's places, where they are open already.

    Raises:
        CheckpointError: there is no run to resume, or a checkpoint cannot be read.
        CorpusError: there is no such place, it cannot be split as asked, nothing is left to hold out, no MIDI file is
            usable, or a recording or MIDI file of the run's split is gone.
        OutputError: the folder holds a run, or cannot be made.
        SettingsError: a setting is not legal.
    """
    settings, callback = request.settings(), CallbackList(callbacks)
    request.check_folder()
    make_folder(request.folder)
    corpus = corpus or _open_corpus(request, callback)
    return (_resumed if request.resume else _new)(request, settings, corpus, callback)


def _open_corpus(request: TrainRequest, callback: Callback) -> Corpus:
    corpus = Corpus.open(*request.places, progress=partial(callback.on_setup_progress, "reading recordings"))
    for notice in corpus.notices:
        callback.on_message(notice)
    return corpus


def _resumed(request: TrainRequest, settings: Settings, corpus: Corpus, callback: Callback) -> Run:
    saved = checkpoint.load(request.folder / LAST)
    saved.settings = settings
    names = {recording.name for recording in corpus}
    sides = saved.split["training"], saved.split["validation"]
    if gone := [name for side in sides for name in side if name not in names]:
        raise CorpusError(f"{corpus.where}: the run was begun with {', '.join(gone)}, which cannot be used now")
    training, validation = (_pieces(corpus.subset(side), saved.codec, callback) for side in sides)
    music = _music_again(saved.split["music"], saved.codec)
    return Run(saved, Progress(**saved.progress), corpus, training, validation, music, request.folder)


def _new(request: TrainRequest, settings: Settings, corpus: Corpus, callback: Callback) -> Run:
    start = checkpoint.load(Path(request.start)) if request.start is not None else None
    ancestors = ancestors_with(start) if start else []
    training, validation = corpus.split(
        request.held_out,
        fraction=settings.training.held_out_share,
        trained_on=trained_on(ancestors),
        report=callback.on_message,
    )
    codec = start.codec if start else make_codec(settings.codec)
    folder = Path(request.music) if request.music is not None else None
    music = _choose_music(folder, validation, codec, callback) if folder else []
    if start:
        model, pieces = start.model, _pieces(training, codec, callback)
    else:
        model, pieces = _fit(settings, codec, training, callback)
    held_out = _pieces(validation, codec, callback)
    saved = Checkpoint(
        settings=settings,
        model=model,
        codec=codec,
        split=named_split(training, validation, folder, [piece.name for piece in music]),
        excerpts=choose_excerpts(held_out),
        ancestors=ancestors,
    )
    return Run(saved, Progress(), corpus, pieces, held_out, music, request.folder)


def _fit(settings: Settings, codec: Codec, training: Corpus, callback: Callback) -> tuple[Model[Any], list[Piece]]:
    """Make a model, and fit what no gradient trains: the codec, and statistics that the model knows."""
    torch.manual_seed(settings.training.seed)
    model = make_model(settings, codec)
    pieces = _unfitted_pieces(training, codec, callback)
    codec.fit(examples(pieces, codec), partial(callback.on_setup_progress, "fitting"))
    pieces = fitted_to(pieces, codec)
    with torch.no_grad():
        model.fit(_blocks_of(pieces, codec))
    return model, pieces


def _pieces(corpus: Corpus, codec: Codec, callback: Callback) -> list[Piece]:
    return fitted_to(_unfitted_pieces(corpus, codec, callback), codec)


def _unfitted_pieces(corpus: Corpus, codec: Codec, callback: Callback) -> list[Piece]:
    return pieces_of(corpus, codec, partial(callback.on_setup_progress, "reading notes"), callback.on_message)


def _blocks_of(pieces: list[Piece], codec: Codec) -> Iterator[Blocks]:
    """All pieces, or some of many, to fit a model on."""
    for row in held_out_rows(pieces, SWEEP_BLOCKS // HELD_OUT_SEQUENCES, MOST_EXCERPTS * HELD_OUT_SEQUENCES):
        yield encode_rows([row], codec, torch.device("cpu"))


def _choose_music(folder: Path, validation: Corpus, codec: Codec, callback: Callback) -> list[Piece]:
    """The MIDI files to learn from: all but those of works that are held out."""
    pieces, problems = midi_pieces(folder, codec)
    held_out = {recording.work for recording in validation}
    chosen = [piece for piece in pieces if work_of(piece.name) not in held_out]
    for problem in problems:
        callback.on_message(f"left out: {problem}")
    if n_left_out := len(pieces) - len(chosen):
        callback.on_message(f"{folder}: {n_left_out} MIDI files are of works that are held out, and left aside")
    if not chosen:
        raise CorpusError(f"{folder}: no MIDI file is left to learn from")
    return chosen


def _music_again(music: dict[str, Any], codec: Codec) -> list[Piece]:
    """The MIDI files that a run was begun with."""
    folder, names = music["folder"], set(music["names"])
    if not names:
        return []
    pieces = [piece for piece in midi_pieces(Path(folder), codec)[0] if piece.name in names]
    if gone := sorted(names - {piece.name for piece in pieces}):
        raise CorpusError(f"{folder}: the run was begun with {', '.join(gone)}, which cannot be used now")
    return pieces
