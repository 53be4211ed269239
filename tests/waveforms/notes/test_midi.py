"""MIDI files as programs in the wild write them."""

from pathlib import Path

import mido
import pytest

from tests.waveforms.notes.music import key, pedal, save_midi
from waveforms.errors import AudioError
from waveforms.notes.midi import read_midi
from waveforms.notes.performance import PedalSpan


def test_midi_pedal_counts_as_down_from_64(tmp_path: Path) -> None:
    path = save_midi(
        tmp_path / "pedal.mid",
        key(60, 0),
        pedal(63, 480),
        pedal(64, 480),
        pedal(127, 480),
        pedal(0, 480),
        key(60, 480, down=False),
    )
    assert read_midi(path).pedal == (PedalSpan(1.0, 2.0),)


def test_midi_overlapping_hanging_and_drum_notes(tmp_path: Path) -> None:
    path = save_midi(
        tmp_path / "odd.mid",
        key(60, 0),
        key(36, 0, channel=9),  # a drum
        key(60, 480),  # again before it is let go
        key(60, 480, down=False),
        key(60, 480, down=False),
        key(61, 0, down=False),  # let go without a press
        key(120, 0),  # above the keyboard, and never let go
        mido.MetaMessage("end_of_track", time=480),
    )
    played = [(note.onset, note.duration, note.pitch) for note in read_midi(path).notes]
    assert played == [(0.0, 1.0, 60), (0.5, 1.0, 60), (1.5, 0.5, 108)]


def test_midi_cut_from_a_concert_does_not_begin_with_its_silence(tmp_path: Path) -> None:
    path = save_midi(tmp_path / "late.mid", pedal(127, 48_000), key(60, 48_000), key(60, 960, down=False), pedal(0, 0))
    performance = read_midi(path).beginning_within(2.0)
    assert performance.notes[0].onset == pytest.approx(2.0)
    assert performance.notes[0].duration == pytest.approx(1.0)
    assert [span.start for span in performance.pedal] == [0.0]
    assert performance.pedal[0].end == pytest.approx(3.0)


def test_midi_truncated_anywhere_is_read_or_named(tmp_path: Path) -> None:
    path = save_midi(tmp_path / "whole.mid", *[key(60 + n % 9, 120, down=n % 2 == 0) for n in range(20)])
    content = path.read_bytes()
    refused = []
    for n_bytes in range(0, len(content), 3):
        path.write_bytes(content[:n_bytes])
        try:
            read_midi(path)
        except AudioError as error:
            refused.append(error.path)
    assert set(refused) == {path}
    assert len(refused) > len(content) // 6


def test_midi_without_end_is_refused(tmp_path: Path) -> None:
    path = save_midi(tmp_path / "long.mid", key(60, 0), key(60, 2**27, down=False), ticks=1000)
    with pytest.raises(AudioError, match="a MIDI file may last 3 hours; this one lasts longer"):
        read_midi(path)
