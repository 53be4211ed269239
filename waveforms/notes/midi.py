"""Standard MIDI files <-> performances."""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mido

from waveforms.errors import AudioError, CorpusError
from waveforms.files import atomic_write, find_files
from waveforms.notes.performance import Note, PedalSpan, Performance, into_range

SUFFIXES = (".mid", ".midi")
SUSTAIN_PEDAL = 64  # controller; its value from 64 up means down
PEDAL_THRESHOLD = 64
DRUM_CHANNEL = 9  # counted from 0
LONGEST = 3 * 3600  # seconds; a file beyond is broken, not music
SHORTEST_NOTE = 0.02  # seconds; a shorter one is a key brushed, or two events at one moment
TICKS_PER_BEAT, TEMPO = 960, 500_000  # in files that are written: TEMPO is microseconds a beat, so a tick lasts 0.52 ms


def is_midi(path: Path) -> bool:
    """Report whether a file's name says that it is MIDI."""
    return path.suffix.lower() in SUFFIXES


def find_midi_files(folder: Path) -> tuple[list[Path], list[AudioError]]:
    """List all MIDI files below a folder, sorted; and a problem for every folder that cannot be listed.

    Raises:
        CorpusError: the folder does not exist, cannot be listed or holds no MIDI file.
    """
    files, problems = find_files(folder)
    paths = [path for _, path in files if is_midi(path)]
    if not paths:
        raise CorpusError(f"{folder}: holds no MIDI file (one whose name ends in {' or '.join(SUFFIXES)})")
    return paths, problems


def read_midi(path: Path) -> Performance:
    """Read one MIDI file, all its tracks together, drums left out. The inverse is `write_midi`.

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
    hands.release_all(now)
    if not hands.notes:
        raise AudioError(path, "a MIDI file must hold notes; this one holds none")
    return Performance(path.stem, tuple(sorted(hands.notes)), tuple(_joined(hands.pedal)))


def write_midi(path: Path, performance: Performance) -> None:
    """Write a performance as a MIDI file of one track, its times rounded to ticks.

    Raises:
        OutputError: the file cannot be written.
    """
    # At one tick a key is released before it is struck again, and the pedal goes down after the notes that it must not
    # hold.
    events = [(note.release, 0, mido.Message("note_off", note=note.pitch)) for note in performance.notes]
    for span in performance.pedal:
        events.append((span.end, 0, mido.Message("control_change", control=SUSTAIN_PEDAL, value=0)))
        events.append((span.start, 1, mido.Message("control_change", control=SUSTAIN_PEDAL, value=127)))
    events += [
        (note.onset, 2, mido.Message("note_on", note=note.pitch, velocity=note.velocity)) for note in performance.notes
    ]
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=TEMPO)])
    now = 0
    timed = [(round(mido.second2tick(max(at, 0.0), TICKS_PER_BEAT, TEMPO)), order, m) for at, order, m in events]
    for tick, _, message in sorted(timed, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    file = mido.MidiFile(type=0, ticks_per_beat=TICKS_PER_BEAT)
    file.tracks.append(track)
    with atomic_write(path) as draft:
        file.save(draft)


def find_midi_beside(recording: Path) -> Path | None:
    """Return the MIDI file beside a recording with the same stem, as in MAESTRO; None if there is none."""
    for suffix in SUFFIXES:
        for spelling in (suffix, suffix.upper()):
            if (path := recording.with_suffix(spelling)).is_file():
                return path
    return None


@dataclass
class _Hands:
    """The keys and pedals that are down while a file is read; `notes` and `pedal` grow."""

    notes: list[Note] = field(default_factory=list)
    pedal: list[PedalSpan] = field(default_factory=list)
    _down: dict[tuple[int, int], deque[tuple[float, int]]] = field(default_factory=lambda: defaultdict(deque))
    _pedal_since: dict[int, float] = field(default_factory=dict)

    def play(self, message: mido.Message, now: float) -> None:
        """Apply one channel message at `now` seconds."""
        if message.type == "note_on" and message.velocity > 0:
            self._down[message.channel, message.note].append((now, message.velocity))
        elif message.type in {"note_on", "note_off"}:
            self._key_up(message.channel, message.note, now)
        elif message.type == "control_change" and message.control == SUSTAIN_PEDAL:
            if message.value >= PEDAL_THRESHOLD:
                self._pedal_since.setdefault(message.channel, now)
            else:
                self._pedal_up(message.channel, now)

    def release_all(self, now: float) -> None:
        """Release all keys and pedals at the end of the file."""
        for (channel, pitch), pressed in list(self._down.items()):
            for _ in range(len(pressed)):
                self._key_up(channel, pitch, now)
        for channel in list(self._pedal_since):
            self._pedal_up(channel, now)

    def _key_up(self, channel: int, pitch: int, now: float) -> None:
        """End the oldest press of this key; a release without a press is noise in the file."""
        pressed = self._down[channel, pitch]
        if pressed:
            onset, velocity = pressed.popleft()
            self.notes.append(Note(onset, max(now - onset, SHORTEST_NOTE), into_range(pitch), velocity))

    def _pedal_up(self, channel: int, now: float) -> None:
        since = self._pedal_since.pop(channel, now)
        if now > since:
            self.pedal.append(PedalSpan(since, now))


def _joined(spans: list[PedalSpan]) -> Iterator[PedalSpan]:
    """Merge the pedal spans of several channels: sorted and disjoint."""
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
    """Describe an exception; some of mido's have no message."""
    return str(error) or type(error).__name__
