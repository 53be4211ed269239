"""Folders of recordings: the demo corpus, and a user's own MIDI files."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter, Waveform
from waveforms.errors import AudioError, CorpusError
from waveforms.files import write_whole
from waveforms.notes.midi import find_midi_files, read_midi, write_midi
from waveforms.piano.performer import perform
from waveforms.piano.pieces import Piece, first_pieces
from waveforms.piano.provenance import corpus_page, midi_page
from waveforms.piano.render import render
from waveforms.piano.steinway import Steinway

PROVENANCE = "PROVENANCE.md"
N_WRITTEN = 60 * SAMPLE_RATE  # samples at a time
LONGEST_SILENCE = 2.0  # seconds before the first note; more is cut off, as in excerpts from a concert
SOFTWARE = "quarterwave, sampled piano"

# Wraps a sequence, with a description of the work, to show progress; `rich.progress.track` is one.
Progress = Callable[[Sequence[Any], str], Iterable[Any]]


def make_corpus(
    out: Path,
    *,
    seed: int = 0,
    n_pieces: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Render the demo corpus into a folder: 16-bit mono WAV files, a MIDI file beside each, and PROVENANCE.md.

    Args:
        out: the folder; made if it is not there.
        seed: seeds the performances; the same seed gives the same samples.
        n_pieces: the number of pieces; None for the base repertoire. More than that adds chorales, then all pieces
            again in other keys.
        force: overwrite files that are there.
        progress: as `rich.progress.track`; None shows nothing.

    Returns:
        The recordings, in order.

    Raises:
        CorpusError: `n_pieces` is below 1, or `out` cannot be made or holds files that would be overwritten.
        OutputError: a file cannot be written.
        QuarterwaveError: the recorded piano or the scores are not installed.
    """
    if n_pieces is not None and n_pieces < 1:
        raise CorpusError(f"the number of pieces must be 1 or more and not {n_pieces}")
    pieces = first_pieces(n_pieces)
    width = max(2, len(str(len(pieces))))
    paths = [out / f"{index:0{width}d}_{piece.name}.wav" for index, piece in enumerate(pieces, start=1)]
    _make_room([*paths, *map(_midi_of, paths), out / PROVENANCE], out, force)
    steinway = Steinway()
    rows = []
    for piece, path in _shown(progress, list(zip(pieces, paths, strict=True)), "playing"):
        performance = perform(piece.score, piece.work.style, name=piece.name, seed=seed)
        seconds = _write(path, render(performance, steinway), title=piece.work.title, artist=piece.work.composer)
        write_midi(_midi_of(path), performance)
        rows.append(_row(piece, path, seconds))
    write_whole(out / PROVENANCE, corpus_page(rows, seed=seed))
    return paths


def render_midi(
    folder: Path, out: Path, *, force: bool = False, progress: Progress | None = None
) -> tuple[list[Path], list[AudioError]]:
    """Render every MIDI file below a folder: WAV files of the same names, a MIDI file beside each, and PROVENANCE.md.

    Args:
        folder: searched to any depth; subfolders are kept in `out`.
        out: the folder for the recordings.
        force: overwrite files that are there.
        progress: as `rich.progress.track`; None shows nothing.

    Returns:
        The recordings, and one AudioError for every file or folder that could not be read.

    Raises:
        CorpusError: there is no MIDI file or none that can be played, or `out` cannot be made or holds files that
            would be overwritten.
        OutputError: a file cannot be written.
        QuarterwaveError: the recorded piano is not installed.
    """
    sources, problems = find_midi_files(folder)
    targets = _targets(sources, folder, out)
    own = {path.resolve() for path in sources}
    if clash := [path for path in map(_midi_of, targets) if path.resolve() in own]:
        raise CorpusError(f"{out}: holds the MIDI file {clash[0].name} itself; its recording must go to another folder")
    _make_room([*targets, *map(_midi_of, targets), out / PROVENANCE], out, force)
    steinway = Steinway()
    written: list[Path] = []
    rows = []
    for source, target in _shown(progress, list(zip(sources, targets, strict=True)), "playing"):
        try:
            performance = read_midi(source).beginning_within(LONGEST_SILENCE)
        except AudioError as error:
            problems.append(error)
            continue
        seconds = _write(target, render(performance, steinway), title=performance.name)
        write_midi(_midi_of(target), performance)
        written.append(target)
        rows.append((target.relative_to(out).as_posix(), seconds, source.relative_to(folder).as_posix()))
    if not written:
        raise CorpusError(f"{folder}: none of its {len(sources)} MIDI files can be played; {problems[0]}")
    write_whole(out / PROVENANCE, midi_page(rows))
    return written, problems


def _row(piece: Piece, path: Path, seconds: str) -> tuple[str, ...]:
    work = piece.work
    return (path.name, seconds, work.composer, work.title, work.source, piece.treatment, work.licence)


def _shown(progress: Progress | None, items: Sequence[Any], words: str) -> Iterable[Any]:
    return items if progress is None else progress(items, words)


def _midi_of(recording: Path) -> Path:
    """Return the path of a recording's MIDI file, beside it as in MAESTRO."""
    return recording.with_suffix(".mid")


def _targets(sources: list[Path], folder: Path, out: Path) -> list[Path]:
    """Name a WAV file for every source; if `a.mid` and `a.midi` would collide, the later keeps its suffix."""
    targets: list[Path] = []
    for source in sources:
        relative = source.relative_to(folder)
        target = out / relative.with_suffix(".wav")
        targets.append(target if target not in targets else out / relative.with_name(f"{relative.name}.wav"))
    return targets


def _make_room(targets: list[Path], out: Path, force: bool) -> None:
    """Make the folders and refuse to overwrite, before any work is done."""
    there = [path for path in targets if path.exists()]
    if there and not force:
        names = f"{there[0].name}" + (f" and {len(there) - 1} more files" if len(there) > 1 else "")
        raise CorpusError(f"{out}: already holds {names} that would be overwritten; --force overwrites")
    try:
        for parent in {path.parent for path in targets}:
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(f"{out}: must be a folder that can be written ({error.strerror})") from error


def _write(path: Path, waveform: Waveform, **metadata: str) -> str:
    """Write a recording; return its length in seconds, in words."""
    with ClipWriter(path, metadata={**metadata, "software": SOFTWARE}) as clip:
        for start in range(0, len(waveform), N_WRITTEN):
            clip.write(waveform[start : start + N_WRITTEN])
    return f"{len(waveform) / SAMPLE_RATE:.1f}"
