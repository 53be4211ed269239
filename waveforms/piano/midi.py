"""Standard MIDI files -> performances: a user's own playing, note for note."""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import mido

from waveforms.errors import AudioError, CorpusError
from waveforms.folder import find_files
from waveforms.piano.notes import Note, PedalSpan, Performance
from waveforms.piano.performer import into_range

SUFFIXES = (".mid", ".midi")
SUSTAIN_PEDAL = 64  # controller; its value from 64 up means down
PEDAL_THRESHOLD = 64
DRUM_CHANNEL = 9  # counted from 0
LONGEST_SILENCE = 2.0  # seconds before the first note; what is more is left away, as in parts cut from a concert
LONGEST = 3 * 3600  # seconds; a file beyond is broken, not music
SHORTEST_NOTE = 0.02  # seconds; a shorter one is a key brushed, or two events at one moment


def find_midi_files(folder: Path) -> tuple[list[Path], list[AudioError]]:
    """All MIDI files below a folder, sorted; and what could not be looked into.

    Raises:
        CorpusError: the folder does not exist, cannot be listed or holds no MIDI file.
    """
    files, problems = find_files(folder)
    paths = [path for _, path in files if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise CorpusError(f"{folder}: holds no MIDI file (one whose name ends in {' or '.join(SUFFIXES)})")
    return paths, problems


def read_midi(path: Path) -> Performance:
    """Read one MIDI file, all its tracks together, drums left out, at most LONGEST_SILENCE before its first note.

    Raises:
        AudioError: the file is not MIDI, holds no notes, or lasts longer than LONGEST.
    """
    hands = _Hands()
    now = 0.0
    try:
        for message in mido.MidiFile(path, clip=True):  # yields times in seconds, tempo changes followed
            now += message.time
            if now > LONGEST:
                raise AudioError(path, f"a MIDI file may last {LONGEST // 3600} hours; this one lasts longer")
            if not message.is_meta and getattr(message, "channel", DRUM_CHANNEL) != DRUM_CHANNEL:
                hands.play(message, now)
    except (OSError, EOFError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise AudioError(path, f"not a MIDI file that can be read ({_reason(error)})") from error
    hands.let_go(now)
    if not hands.notes:
        raise AudioError(path, "a MIDI file must hold notes; this one holds none")
    notes = sorted(hands.notes)
    shift = max(0.0, notes[0].onset - LONGEST_SILENCE)
    pedal = [PedalSpan(max(span.start - shift, 0.0), span.end - shift) for span in hands.pedal if span.end > shift]
    return Performance(
        path.stem, tuple(replace(note, onset=note.onset - shift) for note in notes), tuple(_joined(pedal))
    )


@dataclass
class _Hands:
    """The keys and pedals that are down while a file is read; `notes` and `pedal` grow."""

    notes: list[Note] = field(default_factory=list)
    pedal: list[PedalSpan] = field(default_factory=list)
    _down: dict[tuple[int, int], deque[tuple[float, int]]] = field(default_factory=lambda: defaultdict(deque))
    _pedal_since: dict[int, float] = field(default_factory=dict)

    def play(self, message: mido.Message, now: float) -> None:
        """Take in one channel message at `now` seconds."""
        if message.type == "note_on" and message.velocity > 0:
            self._down[message.channel, message.note].append((now, message.velocity))
        elif message.type in {"note_on", "note_off"}:
            self._key_up(message.channel, message.note, now)
        elif message.type == "control_change" and message.control == SUSTAIN_PEDAL:
            if message.value >= PEDAL_THRESHOLD:
                self._pedal_since.setdefault(message.channel, now)
            else:
                self._pedal_up(message.channel, now)

    def let_go(self, now: float) -> None:
        """The file ends: whatever is still down comes up."""
        for (channel, pitch), pressed in list(self._down.items()):
            for _ in range(len(pressed)):
                self._key_up(channel, pitch, now)
        for channel in list(self._pedal_since):
            self._pedal_up(channel, now)

    def _key_up(self, channel: int, pitch: int, now: float) -> None:
        """The oldest press of this key ends; a release without a press is noise in the file."""
        pressed = self._down[channel, pitch]
        if pressed:
            onset, velocity = pressed.popleft()
            self.notes.append(Note(onset, max(now - onset, SHORTEST_NOTE), into_range(pitch), velocity))

    def _pedal_up(self, channel: int, now: float) -> None:
        since = self._pedal_since.pop(channel, now)
        if now > since:
            self.pedal.append(PedalSpan(since, now))


def _joined(spans: list[PedalSpan]) -> Iterator[PedalSpan]:
    """Spans of several channels as one foot: sorted and disjoint."""
    current: PedalSpan | None = None
    for span in sorted(spans):
        if current is not None and span.start <= current.end:
            current = PedalSpan(current.start, max(current.end, span.end))
            continue
        if current is not None:
            yield current
        current = span
    if current is not None:
        yield current


def _reason(error: Exception) -> str:
    """An exception in words; some of mido's carry none."""
    return str(error) or type(error).__name__
