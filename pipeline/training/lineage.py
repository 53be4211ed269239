"""What a run learned from, and what the checkpoints learned from that it goes on from, oldest first.

A split, as a checkpoint keeps it:

    places                  folders, manifests and URLs, absolute; none where the checkpoint names none
    training, validation    names of recordings
    music                   the `folder` of MIDI files that were learned from as well, and their `names`
    recordings              by name the `digest` of the sound, if known, and the `work`

An ancestor has a `split`, its `history`, how many `steps` it was trained, and its `provenance`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.checkpoint import Checkpoint
from waveforms.corpus import Corpus
from waveforms.corpus.places import resolved
from waveforms.corpus.splits import TrainedOn
from waveforms.corpus.works import work_of


def named_split(
    training: Corpus, validation: Corpus, music: Path | None = None, names: Sequence[str] = ()
) -> dict[str, Any]:
    """A split as a checkpoint keeps it; `names` are those of the MIDI files in `music` that are learned from."""
    return {
        "music": {"folder": str(music.resolve()) if music else None, "names": list(names)},
        "places": [resolved(place) for place in training.places],
        "training": [recording.name for recording in training],
        "validation": [recording.name for recording in validation],
        "recordings": {
            recording.name: {"digest": recording.findings.digest, "work": recording.work}
            for side in (training, validation)
            for recording in side
        },
    }


def ancestors_with(run: Checkpoint) -> list[dict[str, Any]]:
    """The ancestors of what goes on from a run: its own, and last the run itself."""
    steps = run.progress["step"] if run.progress else run.history[-1]["step"] if run.history else 0
    itself = {"split": run.split, "history": run.history, "steps": steps, "provenance": run.provenance}
    return [*run.ancestors, itself]


def held_out_but_learned(split: dict[str, Any], ancestors: Sequence[dict[str, Any]]) -> list[str]:
    """Recordings that a split holds out, though the run or an ancestor learned from their sound or from their works.

    There are such where all recordings are of one work, and where the split was made before works were known.
    """
    learned = trained_on([*ancestors, {"split": split}])
    known = {name: split["recordings"][name] for name in split["validation"]}
    return [name for name, each in known.items() if each["work"] in learned.works or each["digest"] in learned.digests]


def trained_on(ancestors: Sequence[dict[str, Any]]) -> TrainedOn:
    """All that some ancestors learned from."""
    splits = [ancestor["split"] for ancestor in ancestors]
    names = {name for split in splits for name in split["training"]}
    known = [split["recordings"][name] for split in splits for name in split["training"]]
    of_music = {work_of(name) for split in splits for name in split["music"]["names"]}
    return TrainedOn(
        names=frozenset(names),
        digests=frozenset(recording["digest"] for recording in known if recording["digest"]),
        works=frozenset(recording["work"] for recording in known) | of_music,
    )
