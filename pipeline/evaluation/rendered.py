"""A checkpoint's clips: rendered as `generate` does it, from held-out prompts, to be measured and listened to."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.checkpoint import Checkpoint
from pipeline.clips import ClipFormat
from pipeline.errors import EvaluationError, OutputError
from pipeline.prompts import Prompt, PromptRequest
from pipeline.rendering import RenderRequest
from pipeline.rendering import render as render_clips
from waveforms.corpus.places import is_here

PROMPT_SECONDS = 5.0


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


def make_prompts(checkpoint: Checkpoint, n_clips: int, *, seed: int) -> Sequence[Prompt]:
    """Make prompts as `generate` does; checkpoints with one split get the same.

    Raises:
        SettingsError: the checkpoint carries no excerpts.
    """
    return PromptRequest(seconds=PROMPT_SECONDS).prompts(checkpoint, n_clips, seed=seed)


def check_apart(measured: Sequence[Path], folders: Sequence[Path]) -> None:
    """Refuse to render over what is to be measured.

    Args:
        measured: files and folders of clips.
        folders: that clips are to be rendered into.

    Raises:
        EvaluationError: one holds the other.
    """
    for path in measured:
        for folder in folders:
            place, target = path.resolve(), folder.resolve()
            if folder.exists() and (place == target or target in place.parents or place in target.parents):
                raise EvaluationError(f"{path}: clips are to be measured there and rendered to {folder}; change --out")


def make_folder(folder: Path) -> None:
    """Make a folder for clips, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder: {error.strerror}") from error


def render(
    checkpoint: Checkpoint,
    source: Path,
    prompts: Sequence[Prompt],
    folder: Path,
    seconds: float,
    *,
    seed: int,
    advanced: Callable[[int], None],
) -> Iterator[Path]:
    """Render a clip for each prompt into a folder, without the prompt itself.

    24 bits, as a clip may be so quiet that the noise of 16 would be heard once all are at equal loudness.

    Args:
        checkpoint: the model.
        source: its file, for the clips' provenance.
        prompts: one a clip.
        folder: that exists.
        seconds: of a clip.
        seed: of every random draw.
        advanced: told how many more samples are rendered.

    Yields:
        the path of each clip.

    Raises:
        OutputError: there is no room.
    """
    form = ClipFormat(encoding="PCM_24", pictures=False)
    request = RenderRequest(seed=seed, n_clips=len(prompts), seconds=seconds, format=form, overwrite=True)
    for clip in render_clips(checkpoint, request, folder, source=str(source), prompts=prompts, advanced=advanced):
        yield clip.path
