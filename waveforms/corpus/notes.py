"""The notes of a recording: those of a MIDI file beside it if it fits, as in MAESTRO, else transcribed ones.

The cache keeps what was found, by all that it depends on: the digests of the sound and of the MIDI file, the
transcriber's weights, and the code. So asking again costs a look.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.corpus import cache
from waveforms.corpus.recording import Recording
from waveforms.dsp import bands, blocks, spectra
from waveforms.dsp.bands import to_bands
from waveforms.dsp.blocks import HOP
from waveforms.dsp.spectra import FRAME_PADDING, to_frames
from waveforms.errors import AudioError
from waveforms.notes import events, fit, midi, network, performance, spectrogram, tracking, transcriber
from waveforms.notes.events import Notes
from waveforms.notes.fit import DoesNotFitError, Excerpt, find_offset
from waveforms.notes.midi import find_midi_beside, read_midi

N_EXCERPTS, EXCERPT_SECONDS = 5, 12.0  # excerpts to compare with a MIDI file, or all of a shorter recording
LEAST_OFFSET = 0.02  # seconds; a file that is off by less counts as in time
PIECE_SECONDS = 4  # transcribed at a time, between reports of progress

Progress = Callable[[float], object]


@dataclass(frozen=True)
class FoundNotes:
    """The notes of a recording, and their source.

    Attributes:
        notes: all of them, in the recording's own time.
        midi: the MIDI file that they come from; None if they are transcribed.
        offset: seconds by which the MIDI file's notes were moved to be in time with the sound.
        problem: why a MIDI file beside the recording is not used.
    """

    notes: Notes
    midi: Path | None = None
    offset: float = 0.0
    problem: AudioError | None = None


def notes_of(recording: Recording, progress: Progress | None = None) -> FoundNotes:
    """Find the notes of a recording.

    Args:
        recording: a recording of a corpus.
        progress: called with the seconds of each piece of it that was analysed.

    Raises:
        AudioError: the recording cannot be read any more.
        OutputError: the cache cannot be written.
    """
    progress = progress or (lambda _: None)
    file = find_midi_beside(recording.path)
    if file is None:
        return FoundNotes(_transcribed(recording, progress))
    found = _from_midi(recording, file, progress)
    if "problem" in found:
        return FoundNotes(_transcribed(recording, progress), problem=AudioError(file, found["problem"]))
    return FoundNotes(_notes(found["notes"]), file, found["offset"])


def _transcribed(recording: Recording, progress: Progress) -> Notes:
    def transcribe() -> dict[str, Any]:
        pieces = _pieces(recording, progress)
        return {"notes": transcriber.transcribe_stream(pieces, recording.loudness).table.tolist()}

    code = cache.code_digest(transcriber, network, spectrogram, tracking, events, performance)
    key = ["transcription", recording.findings.digest, repr(recording.loudness), transcriber.version(), code]
    return _notes(_cached(key, transcribe)["notes"])


def _from_midi(recording: Recording, file: Path, progress: Progress) -> dict[str, Any]:
    """Return a MIDI file's notes in the recording's time and the offset by which they were moved; or the problem."""
    try:
        digest = hashlib.blake2b(file.read_bytes(), digest_size=20).hexdigest()
    except OSError as error:
        return {"problem": f"cannot be read ({error.strerror})"}

    def compare() -> dict[str, Any]:
        try:
            notes = Notes.of_performance(read_midi(file))
        except AudioError as error:
            return {"problem": error.reason}
        excerpts = list(_excerpts(recording, progress))
        try:
            offset = find_offset(notes, excerpts, recording.seconds)
        except DoesNotFitError as error:
            return {"problem": f"does not fit the recording: {error}"}
        offset = offset if abs(offset) >= LEAST_OFFSET else 0.0
        return {"notes": notes.moved(seconds=offset).between(0.0, recording.seconds).table.tolist(), "offset": offset}

    code = cache.code_digest(sys.modules[__name__], fit, midi, events, performance, bands, spectra, blocks)
    return _cached(["MIDI", recording.findings.digest, digest, code], compare)


def _excerpts(recording: Recording, progress: Progress) -> Iterator[Excerpt]:
    """Analyse some excerpts, spread evenly; all of a short recording."""
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


def _pieces(recording: Recording, progress: Progress) -> Iterator[Waveform]:
    n_piece = PIECE_SECONDS * SAMPLE_RATE
    for first in range(0, recording.n_samples, n_piece):
        piece = recording.read(first, min(first + n_piece, recording.n_samples))
        yield piece
        progress(len(piece) / SAMPLE_RATE)


def _notes(rows: list[list[float]]) -> Notes:
    return Notes.of_table(np.array(rows, np.float64).reshape(-1, 4))


def _cached(key: list[str], find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the cache's record of this key; else find it and keep it. A damaged record counts as none."""
    name = hashlib.blake2b(json.dumps(key).encode(), digest_size=20).hexdigest()
    with suppress(ValueError):
        if content := cache.read_record(name):
            check, _, document = content.decode().partition("\n")
            if check == _checksum(document):
                return dict(json.loads(document))
    found = find()
    document = json.dumps(found)
    cache.write_record(name, f"{_checksum(document)}\n{document}".encode())
    return found


def _checksum(document: str) -> str:
    return hashlib.blake2b(document.encode(), digest_size=8).hexdigest()
