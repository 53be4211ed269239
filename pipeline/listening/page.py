"""The page that plays a test in a browser: one file, which asks no network for anything.

    page/page.html + page.css + scripts + the clips as FLAC in base64 -> page.html

Clips are inside, so a listener is sent one file. FLAC, because every browser plays it, it changes no sample, and it is
half as large as WAV.
"""

import base64
import io
import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.listening.key import Key
from waveforms import SAMPLE_RATE

SCRIPTS = ("state.js", "sound.js", "screens.js")


def make_page(key: Key, clips: Mapping[str, npt.NDArray[np.int16]]) -> str:
    """Make the page of a test.

    Args:
        key: of which only the test's id and the names of clips and pairs are shown.
        clips: {name: (n_samples,)}.
    """
    parts = files("pipeline.listening") / "page"
    shown = {
        "id": key.test,
        "clips": [clip.name for clip in key.clips],
        "pairs": [[pair.name, pair.a, pair.b] for pair in key.pairs],
    }
    sounds = [f'<script type="text/plain" id="{name}">{_flac(clip)}</script>' for name, clip in clips.items()]
    page = _text(parts / "page.html")
    for mark, content in (
        ("/* page.css */", _text(parts / "page.css")),
        ("/* scripts */", "\n".join(_text(parts / name) for name in SCRIPTS)),
        ("/* test */", json.dumps(shown)),
        ("<!-- clips -->", "\n".join(sounds)),  # last: nothing looks for a mark in megabytes of sound
    ):
        page = page.replace(mark, content)
    return page


def _text(part: Traversable) -> str:
    return part.read_text(encoding="utf-8")


def _flac(clip: npt.NDArray[np.int16]) -> str:
    file = io.BytesIO()
    soundfile.write(file, clip, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return base64.b64encode(file.getvalue()).decode("ascii")
