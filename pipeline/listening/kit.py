"""What a listener is given, everything in one folder, and the key apart.

OUT/page.html                     for a browser: one file, offline
OUT/all.wav, OUT/all.txt          for an audio editor: every clip in one session, and its label file
OUT/clips/clip-001.wav, ...       the same clips one by one
OUT/sheet.csv, OUT/README.txt     to be filled in by whoever uses an editor; how
OUT-key.json                      whose clip is whose: never inside OUT
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.errors import OutputError
from pipeline.files import write_whole
from pipeline.listening import key as keys
from pipeline.listening.key import Key
from pipeline.listening.page import make_page
from pipeline.listening.sheets import blank_sheet
from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter
from waveforms.audio.marks import Mark, write_labels

GAP_SECONDS = 1.0  # between clips in an editor

Pcm = npt.NDArray[np.int16]


def write_kit(key: Key, pcm: Mapping[str, Pcm], out: Path, key_path: Path) -> None:
    """Write all files beside their place, then move them there: the key first, without which clips are worthless.

    Raises:
        OutputError: one cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder: {(error.strerror or '').lower()}") from error
    try:
        _write_for_editor(key, pcm, staging)
        write_whole(staging / "page.html", make_page(key, pcm))
        keys.save(key, key_path)
        for old in (out / "clips").glob("clip-*.wav"):  # a test of more clips may have been here
            old.unlink()
        (out / "clips").mkdir(parents=True, exist_ok=True)
        for file in sorted(path for path in staging.rglob("*") if path.is_file()):
            os.replace(file, out / file.relative_to(staging))
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {(error.strerror or '').lower()}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_for_editor(key: Key, pcm: Mapping[str, Pcm], folder: Path) -> None:
    (folder / "clips").mkdir()
    gap = np.zeros(round(GAP_SECONDS * SAMPLE_RATE), np.float32)
    with ClipWriter(folder / "all.wav") as session:
        for name, samples in pcm.items():
            waveform = samples / np.float32(32768)
            with ClipWriter(folder / "clips" / f"{name}.wav") as clip:
                clip.write(waveform)
            session.marks.append(Mark(session.n_samples, name, len(samples)))
            session.write(waveform)
            session.write(gap)
    write_labels(folder / "all.txt", session.marks)
    write_whole(folder / "sheet.csv", blank_sheet(key))
    write_whole(folder / "README.txt", _HOW.format(test=key.test))


_HOW = """\
Listening test {test}

In a browser: open page.html. It needs no network, tells you what to do, and saves a results file at the end.

In an audio editor: open all.wav; it holds every clip, with a mark at each. In Audacity, File > Import > Labels,
all.txt. (The same clips lie one by one in clips/.) Then fill in sheet.csv:

  rating     one of 1 bad, 2 poor, 3 fair, 4 good, 5 excellent: how good the clip sounds as a recording of a piano
  preferred  A or B: which of the two clips named in the columns A and B sounds better
  remarks    anything you like

Leave blank what you cannot tell. Use headphones if you can, and set your volume once: all clips are equally loud.
Hand back the results file or the sheet.
"""
