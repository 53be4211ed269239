"""The notes of a recording: those of a MIDI file beside it where that fits, as in MAESTRO, else those that are heard.

What was found is kept in the cache, by the digests of the sound and of the MIDI file and the version of the
transcriber, so that asking again costs a look.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform, decoded
from waveforms.audio.files import N_SAMPLES_PER_PIECE
from waveforms.corpus.recording import Recording
from waveforms.dsp.bands import to_bands
from waveforms.dsp.blocks import HOP
from waveforms.dsp.spectra import FRAME_PADDING, to_frames
from waveforms.errors import AudioError, CorpusError
from waveforms.notes import transcriber
from waveforms.notes.events import Notes
from waveforms.notes.fit import DoesNotFitError, Excerpt, find_offset
from waveforms.notes.midi import find_midi_beside, read_midi

# By which a MIDI file is held against the sound; shorter recordings are looked at whole.
N_EXCERPTS, EXCERPT_SECONDS = 5, 12.0
LEAST_OFFSET = 0.02  # seconds; a file that is off by less counts as in time
_VERSION = 1  # of the records; counted up when what they hold means something else

Progress = Callable[[float], object]


@dataclass(frozen=True)
class FoundNotes:
    """The notes of a recording, and where they are from.

    Attributes:
        notes: all of them, at the recording's own time.
        midi: the MIDI file that they are from; None where they were heard.
        offset: seconds by which the MIDI file's notes were moved to be in time with the sound.
        problem: why a MIDI file beside the recording was left aside.
    """

    notes: Notes
    midi: Path | None = None
    offset: float = 0.0
    problem: AudioError | None = None


def notes_of(recording: Recording, progress: Progress | None = None) -> FoundNotes:
    """Find the notes of a recording.

    Args:
        recording: of a corpus.
        progress: called with the seconds of each piece of it that was listened to.

    Raises:
        AudioError: the recording cannot be read any more.
        CorpusError: the cache of decoded recordings cannot be written.
    """
    progress = progress or (lambda _: None)
    midi = find_midi_beside(recording.path)
    if midi is None:
        return FoundNotes(_heard(recording, progress))
    found = _of_midi(recording, midi, progress)
    if "problem" in found:
        return FoundNotes(_heard(recording, progress), problem=AudioError(midi, found["problem"]))
    return FoundNotes(_notes(found["notes"]), midi, found["offset"])


def _heard(recording: Recording, progress: Progress) -> Notes:
    def listen() -> dict[str, Any]:
        pieces = _pieces(recording, 0, recording.n_samples, progress)
        return {"notes": transcriber.transcribe_stream(pieces, recording.loudness).table.tolist()}

    return _notes(_cached(["heard", recording.findings.digest, transcriber.version()], listen)["notes"])


def _of_midi(recording: Recording, midi: Path, progress: Progress) -> dict[str, Any]:
    """The notes of a MIDI file at the recording's time and the offset by which they were moved; or the problem."""
    try:
        digest = hashlib.blake2b(midi.read_bytes(), digest_size=20).hexdigest()
    except OSError as error:
        return {"problem": f"cannot be read ({error.strerror})"}

    def compare() -> dict[str, Any]:
        try:
            notes = Notes.of_performance(read_midi(midi))
        except AudioError as error:
            return {"problem": error.reason}
        excerpts = list(_excerpts(recording, progress))
        try:
            offset = find_offset(notes, excerpts, recording.seconds)
        except DoesNotFitError as error:
            return {"problem": f"does not fit the recording: {error}"}
        offset = offset if abs(offset) >= LEAST_OFFSET else 0.0
        return {"notes": notes.moved(seconds=offset).between(0.0, recording.seconds).table.tolist(), "offset": offset}

    return _cached(["MIDI", recording.findings.digest, digest], compare)


def _excerpts(recording: Recording, progress: Progress) -> Iterator[Excerpt]:
    """Some excerpts, spread evenly; all of a short recording."""
    n_excerpt = round(EXCERPT_SECONDS * SAMPLE_RATE) // HOP * HOP
    if recording.n_samples <= N_EXCERPTS * n_excerpt:
        starts, n_excerpt = [0], -(-recording.n_samples // HOP) * HOP
    else:
        starts = np.linspace(0, recording.n_samples - n_excerpt, N_EXCERPTS).astype(int).tolist()
    before, after = FRAME_PADDING
    for start in starts:
        frames = to_frames(torch.from_numpy(recording.read(start - before, start + n_excerpt + after)))
        yield start / SAMPLE_RATE, to_bands(frames.real.square() + frames.imag.square()).numpy()
        progress(n_excerpt / SAMPLE_RATE)


def _pieces(recording: Recording, start: int, stop: int, progress: Progress) -> Iterator[Waveform]:
    for first in range(start, stop, N_SAMPLES_PER_PIECE):
        piece = recording.read(first, min(first + N_SAMPLES_PER_PIECE, stop))
        yield piece
        progress(len(piece) / SAMPLE_RATE)


def _notes(rows: list[list[float]]) -> Notes:
    return Notes.of_table(np.array(rows, np.float64).reshape(-1, 4))


def _cached(key: list[str], find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the cache holds under this key; else find it and keep it. A damaged record counts as none."""
    name = hashlib.blake2b(json.dumps([_VERSION, *key]).encode(), digest_size=20).hexdigest()
    with suppress(ValueError):
        if content := decoded.read_record(name):
            check, _, document = content.decode().partition("\n")
            if check == _checksum(document):
                return dict(json.loads(document))
    found = find()
    document = json.dumps(found)
    with suppress(CorpusError):  # without a cache the next time is slower, and nothing else
        decoded.write_record(name, f"{_checksum(document)}\n{document}".encode())
    return found


def _checksum(document: str) -> str:
    return hashlib.blake2b(document.encode(), digest_size=8).hexdigest()
