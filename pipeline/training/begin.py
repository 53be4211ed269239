"""How a run begins: split, fitted codec and new weights, or those of a checkpoint; and what it learns from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from pipeline.checkpoint import Checkpoint
from pipeline.codecs import Codec, make_codec
from pipeline.config import Settings
from pipeline.distributed import broadcast_from_first, connect_to_train, keep_freed_memory
from pipeline.models import Blocks, make_model
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
from pipeline.training.progress import Watcher
from waveforms.corpus import Corpus
from waveforms.corpus.works import work_of
from waveforms.errors import CorpusError


def begin(
    corpus: Corpus,
    settings: Settings,
    held_out: list[str] | None,
    watcher: Watcher,
    learned: Checkpoint | None = None,
    music: Path | None = None,
) -> Checkpoint:
    """A fresh run: split, prompts, fitted codec and new weights, or those of a checkpoint.

    Args:
        corpus: to learn from.
        settings: all of them; those of what is taken from `learned` are its own.
        held_out: names and patterns of recordings, or None for a share of them; whole works, and nothing that
            `learned` or an ancestor of it was trained on.
        watcher: is told how it goes.
        learned: what to go on from with another corpus.
        music: a folder of MIDI files to learn from as well, but for those of works that are held out.

    Raises:
        CorpusError: the corpus cannot be split as asked, nothing is left to hold out, or no MIDI file is usable.
        SettingsError: a batch cannot be divided among the processes.
    """
    fabric = connect_to_train(settings.training)
    ancestors = ancestors_with(learned) if learned else []
    training, validation = corpus.split(
        held_out,
        fraction=settings.training.held_out_share,
        trained_on=trained_on(ancestors),
        report=watcher.noted,
    )
    codec = learned.codec if learned else make_codec(settings.codec)
    names = _choose_music(music, validation, codec, watcher) if music else []
    run = learned or _fitted(training, settings, codec, watcher, fabric)
    return Checkpoint(
        settings=settings,
        model=run.model,
        codec=run.codec,
        split=named_split(training, validation, music, names),
        excerpts=choose_excerpts(fitted_to(pieces_of(validation, run.codec, watcher.listening), run.codec)),
        ancestors=ancestors,
    )


def music_again(split: dict[str, Any], codec: Codec) -> list[Piece]:
    """The MIDI files that a run was begun with."""
    folder, names = split["music"]["folder"], set(split["music"]["names"])
    if not names:
        return []
    pieces = [piece for piece in midi_pieces(Path(folder), codec)[0] if piece.name in names]
    if gone := sorted(names - {piece.name for piece in pieces}):
        raise CorpusError(f"{folder}: the run was begun with {', '.join(gone)}, which cannot be used now")
    return pieces


def split_again(corpus: Corpus, split: dict[str, Any]) -> tuple[Corpus, Corpus]:
    """The recordings that a run was begun with: those that it learns from, and those held out."""
    names = {recording.name for recording in corpus}
    if gone := [name for name in split["training"] + split["validation"] if name not in names]:
        raise CorpusError(f"{corpus.where}: the run was begun with {', '.join(gone)}, which cannot be used now")
    return corpus.subset(split["training"]), corpus.subset(split["validation"])


def _fitted(training: Corpus, settings: Settings, codec: Codec, watcher: Watcher, fabric: Fabric) -> Checkpoint:
    """New weights, and what is fitted before training: by the first process, for all."""
    keep_freed_memory()
    torch.manual_seed(settings.training.seed)
    model = make_model(settings, codec)

    def fit() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        pieces = pieces_of(training, codec, watcher.listening)
        codec.fit(examples(pieces, codec), watcher.fitting)
        with torch.no_grad():
            model.fit(_blocks_of(fitted_to(pieces, codec), codec, fabric))
        return codec.state_dict(), model.state_dict()

    for module, tensors in zip((codec, model), broadcast_from_first(fabric, fit), strict=True):
        module.load_state_dict(tensors)
    return Checkpoint(settings, model, codec, split={})


def _blocks_of(pieces: list[Piece], codec: Codec, fabric: Fabric) -> Iterator[Blocks]:
    """All pieces, or some of many, to fit a model on."""
    for row in held_out_rows(pieces, SWEEP_BLOCKS // HELD_OUT_SEQUENCES, MOST_EXCERPTS * HELD_OUT_SEQUENCES):
        yield encode_rows([row], codec, fabric.device)


def _choose_music(folder: Path, validation: Corpus, codec: Codec, watcher: Watcher) -> list[str]:
    """Names of the MIDI files to learn from."""
    pieces, problems = midi_pieces(folder, codec)
    held_out = {recording.work for recording in validation}
    names = [piece.name for piece in pieces if work_of(piece.name) not in held_out]
    for problem in problems:
        watcher.noted(f"left out: {problem}")
    if len(names) < len(pieces):
        watcher.noted(f"{folder}: {len(pieces) - len(names)} MIDI files are of works that are held out, and left aside")
    if not names:
        raise CorpusError(f"{folder}: no MIDI file is left to learn from")
    return names
