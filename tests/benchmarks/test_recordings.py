"""The recordings that models are measured on have the notes of their MIDI files; bfloat16 only where it is fast."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.machine import precisions
from benchmarks.recordings import NOTES_PER_BLOCK, SECONDS, make_recordings, random_notes
from pipeline.codecs.events import END, encode
from waveforms.corpus import Corpus
from waveforms.corpus.notes import notes_of


def test_every_block_has_as_many_notes() -> None:
    blocks, _ = encode(random_notes(np.random.default_rng(0), 25.0), 0, 100)
    assert [len(block) for block in blocks] == [NOTES_PER_BLOCK + 1] * 100
    assert all(block[-1, 0] == END for block in blocks)


def test_the_notes_beside_a_recording_are_in_time_with_its_sound(tmp_path: Path) -> None:
    make_recordings(tmp_path, 1)
    (recording,) = Corpus.open(tmp_path)
    found = notes_of(recording)
    assert found.problem is None
    assert found.midi == tmp_path / "00.mid"
    assert abs(found.offset) < 0.02
    assert len(found.notes) == NOTES_PER_BLOCK * SECONDS * 4


@pytest.mark.parametrize(
    ("instruction", "measured"), [("avx512_bf16", ("float32", "bfloat16")), ("avx2", ("float32",))]
)
def test_bfloat16_is_measured_where_it_is_multiplied(
    instruction: str, measured: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instruction: True, "architecture": "x86_64"})
    assert precisions() == measured
    assert precisions("cuda") == ("float32", "bfloat16")
