"""Clips of a checkpoint: roll-outs as `generate` renders them, and recordings that its codec encodes and decodes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.checkpoint import Checkpoint
from pipeline.clips import ClipFormat
from pipeline.evaluation.clips import Segment, read_rendered
from pipeline.prompts import Prompt, PromptRequest
from pipeline.rendering import RenderRequest, render
from pipeline.session import Session
from waveforms.audio import ClipWriter, Waveform
from waveforms.files import make_folder

PROMPT_SECONDS = 5.0


def make_prompts(checkpoint: Checkpoint, n_clips: int, *, seed: int) -> Sequence[Prompt]:
    """Make prompts as `generate` does; checkpoints with one split get the same.

    Raises:
        SettingsError: the checkpoint carries no excerpts.
    """
    return PromptRequest(seconds=PROMPT_SECONDS).prompts(checkpoint, n_clips, seed=seed)


def roll_out(
    checkpoint: Checkpoint,
    source: Path,
    prompts: Sequence[Prompt],
    folder: Path,
    seconds: float,
    *,
    seed: int,
    advanced: Callable[[int], None],
) -> list[Segment]:
    """Render a clip for each prompt into a folder, without the prompt itself.

    24 bits, as a clip may be so quiet that the noise of 16 bits would be audible once all are at equal loudness.

    Args:
        checkpoint: the model and its codec.
        source: the file of the checkpoint, for the provenance of clips.
        prompts: one for each clip.
        folder: made if it is not there.
        seconds: the length of a clip.
        seed: seeds every random number.
        advanced: called with how many more samples are rendered.

    Raises:
        OutputError: the folder cannot be made, or there is no room.
    """
    form = ClipFormat(encoding="PCM_24", pictures=False)
    request = RenderRequest(seed=seed, n_clips=len(prompts), seconds=seconds, format=form, overwrite=True)
    clips = render(checkpoint, request, folder, source=str(source), prompts=prompts, advanced=advanced)
    return read_rendered([clip.path for clip in clips])


def resynthesise(
    checkpoint: Checkpoint, recordings: Sequence[Segment], folder: Path, advanced: Callable[[int], None]
) -> list[Segment]:
    """Encode and decode recordings behind their prompts, as a roll-out continues its prompt. No model is asked.

    Args:
        checkpoint: its codec encodes and decodes.
        recordings: of whole blocks, each from the beginning of its prompt on, which lasts PROMPT_SECONDS.
        folder: made if it is not there; it gets the recordings without their prompts.
        advanced: called with how many more samples are decoded.

    Raises:
        OutputError: the folder cannot be made.
        AudioError: there is no room.
    """
    make_folder(folder)
    width = len(str(len(recordings)))
    paths = [folder / f"clip-{n + 1:0{width}}.wav" for n in range(len(recordings))]
    for path, recording in zip(paths, recordings, strict=True):
        n_to_skip = checkpoint.codec.n_blocks_in(PROMPT_SECONDS) * checkpoint.codec.block_size
        with ClipWriter(path, encoding="FLOAT", metadata={"title": path.stem, "comment": recording.name}) as writer:
            for part in _resynthesised(checkpoint, recording.read()):
                writer.write(part[n_to_skip:])
                advanced(max(len(part) - n_to_skip, 0))
                n_to_skip = max(n_to_skip - len(part), 0)
    return read_rendered(paths)


def _resynthesised(checkpoint: Checkpoint, waveform: Waveform) -> Iterator[Waveform]:
    session = Session(checkpoint.model, checkpoint.codec)
    session.prime([Prompt(waveform, "files")], seed=0)
    for chunk in session.stream(0, with_prompt=True):
        yield chunk.samples[0].numpy()
