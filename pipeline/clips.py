"""The files of a clip: a WAV with marks and provenance, a label file, its notes as MIDI and a picture.

A roll-out goes to a nameless file of float samples, which is measured on the way; then, its gain known, it is written
in its final form. So a clip of any length takes constant memory, and no half-written clip is ever seen.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline import __version__
from pipeline.codecs import Codec
from pipeline.errors import OutputError
from pipeline.pictures import SECONDS_SHOWN, draw_clip, save_picture
from pipeline.prompts import Prompt
from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter, Waveform, read
from waveforms.audio.gain import GainPolicy
from waveforms.audio.loudness import LoudnessMeter
from waveforms.audio.marks import Mark, write_labels
from waveforms.notes.events import Notes
from waveforms.notes.midi import write_midi

CHUNK = 1 << 20  # samples read back at a time


@dataclass(frozen=True)
class ClipFormat:
    """The form of a clip's files.

    Attributes:
        level: the policy of loudness and peaks.
        encoding: of the samples, as `ClipWriter` names it.
        mark_blocks: whether every block gets a mark.
        pictures: whether each clip gets a picture.
    """

    level: GainPolicy = field(default_factory=GainPolicy)
    encoding: str = "PCM_16"
    mark_blocks: bool = False
    pictures: bool = True

    def files(self, path: Path, *, has_notes: bool) -> list[Path]:
        """List the files of the clip with its WAV at `path`."""
        suffixes = [".wav", ".txt", *([".mid"] if has_notes else []), *([".png"] if self.pictures else [])]
        return [path.with_suffix(suffix) for suffix in suffixes]


@dataclass(frozen=True)
class Clip:
    """A rendered clip.

    Attributes:
        path: of the WAV; labels, notes and picture lie beside it as .txt, .mid and .png.
        prompt: the prompt's origin.
        n_samples: its length.
        gain: of the roll-out, in dB.
        loudness: integrated, in LUFS, as written.
        n_clipped: samples that lay beyond full scale.
    """

    path: Path
    prompt: str
    n_samples: int
    gain: float
    loudness: float
    n_clipped: int


class Take:
    """A roll-out on disk, measured as it grows.

    Args:
        path: of the clip's WAV, in a folder that exists.
        prompt: that the roll-out begins from.
        keep_prompt: whether the take begins with the prompt.
    """

    def __init__(self, path: Path, prompt: Prompt, *, keep_prompt: bool) -> None:
        self.path = path
        self.prompt = prompt
        self.n_prompt_samples = len(prompt.waveform) if keep_prompt else 0
        self.meter = LoudnessMeter()
        self._notes: list[Notes] = []
        # Beside the clips and not in the system's folder of temporary files, which may be small or memory.
        self._file: BinaryIO = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed by `close`

    def add(self, samples: Waveform, notes: Notes) -> None:
        """Append samples, and notes in seconds from the prompt's end.

        Raises:
            OutputError: there is no room.
        """
        self.meter.add(samples)
        self._notes.append(notes)
        try:
            self._file.write(samples.astype(np.float32).tobytes())
        except OSError as error:
            raise OutputError(f"no room for the clip: {error.strerror}") from error

    def chunks(self) -> Iterator[Waveform]:
        """Yield all samples."""
        self._file.seek(0)
        while content := self._file.read(4 * CHUNK):
            yield np.frombuffer(content, np.float32)

    def notes(self) -> Notes:
        """Return the notes at the clip's own times, with those of a kept prompt; none sounds beyond the clip's end."""
        seconds, end = self.n_prompt_samples / SAMPLE_RATE, self.meter.n_samples / SAMPLE_RATE
        rows = [row for notes in self._notes for row in notes.moved(seconds=seconds).table.tolist()]
        if self.n_prompt_samples and self.prompt.notes is not None:
            rows += [row for row in self.prompt.notes.table.tolist() if row[0] >= 0]
        return Notes.of((on, min(off, end), int(pitch), velocity) for on, off, pitch, velocity in rows if on < end)

    def marks(self, block_size: int | None) -> list[Mark]:
        """Return marks of the prompt, of its end and, every `block_size` samples, of blocks."""
        source, begin = self.prompt.source, self.n_prompt_samples
        marks = [Mark(0, f"prompt: {source}", begin)] if begin else []
        marks.append(Mark(begin, f"prompt end ({source})"))
        if block_size is not None:
            n_blocks = (self.meter.n_samples - begin) // block_size
            marks += [Mark(begin + n * block_size, f"block {n + 1}") for n in range(n_blocks)]
        return marks

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def write_clip(take: Take, form: ClipFormat, codec: Codec, provenance: Mapping[str, Any]) -> Clip:
    """Write the files of a finished take.

    Args:
        take: the roll-out.
        form: of the files.
        codec: whose blocks are marked.
        provenance: of the checkpoint and the request, which goes into the WAV with that of the take.

    Raises:
        AudioError: a file cannot be written.
    """
    path, prompt, meter = take.path, take.prompt, take.meter
    loudness = meter.integrated()
    gain = form.level.gain(meter.peak, loudness)
    decibels = float(20 * np.log10(gain))
    marks = take.marks(codec.block_size if form.mark_blocks else None)
    of_take = {
        "clip": path.stem,
        "prompt": prompt.to_json(),
        "prompt_seconds": len(prompt.waveform) / SAMPLE_RATE,
        "gain_db": decibels,
    }
    metadata = {
        "title": path.stem,
        "software": f"quarterwave {__version__}",
        "comment": json.dumps({**provenance, **of_take}),
    }
    with ClipWriter(path, encoding=form.encoding, n_samples=meter.n_samples, marks=marks, metadata=metadata) as writer:
        for chunk in take.chunks():
            writer.write(chunk * np.float32(gain))
    write_labels(path.with_suffix(".txt"), marks)
    notes = take.notes()
    if codec.reads_notes:
        write_midi(path.with_suffix(".mid"), notes.to_performance(path.stem))
    if form.pictures:
        _draw(take, notes, codec.block_seconds)
    return Clip(path, prompt.source, meter.n_samples, decibels, loudness + decibels, writer.n_clipped)


def _draw(take: Take, notes: Notes, block_seconds: float) -> None:
    """Draw the clip as written, behind its prompt even where the clip leaves it out."""
    waveform = read(take.path, 0, SECONDS_SHOWN * SAMPLE_RATE)
    if not take.n_prompt_samples:
        waveform = np.concatenate([take.prompt.waveform, waveform])
    figure = draw_clip(
        waveform,
        prompt_samples=len(take.prompt.waveform),
        block_seconds=block_seconds,
        title=f"{take.path.stem}: {take.prompt.source}",
        notes=notes.moved(seconds=-take.n_prompt_samples / SAMPLE_RATE),
    )
    save_picture(figure, take.path.with_suffix(".png"))
