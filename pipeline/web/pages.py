"""What pages have in common: one HTML file each, which asks no network for anything.

    page.html + page.css + scripts + data as JSON + clips as FLAC in base64 -> page

Clips are inside, so that a reader is sent one file. FLAC, because every browser plays it, it changes no sample, and it
is half as large as WAV.
"""

import base64
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from waveforms import SAMPLE_RATE


def assemble(
    parts: Traversable, scripts: Sequence[str], data: Mapping[str, str], texts: Iterable[tuple[str, str]]
) -> str:
    """Put a page together.

    Args:
        parts: where page.html, page.css and the scripts lie.
        scripts: their names, in the order in which they run.
        data: what takes the place of marks in page.html, by mark; safe inside HTML.
        texts: (id, text) of elements that scripts read, safe inside HTML likewise.
    """
    contents = {
        "/* page.css */": _text(parts / "page.css"),
        "/* scripts */": "\n".join(_text(parts / name) for name in scripts),
        "<!-- texts -->": "\n".join(f'<script type="text/plain" id="{id_}">{text}</script>' for id_, text in texts),
        **data,
    }
    marks = "|".join(map(re.escape, contents))  # in one pass: what stands in a content is no mark
    return re.sub(marks, lambda mark: contents[mark[0]], _text(parts / "page.html"))


def to_json(data: Any) -> str:
    """Write JSON that may stand inside a script element: no text in it can end the element or begin a comment."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def to_flac(samples: npt.NDArray[np.int16]) -> str:
    """Write samples, (n_samples,), as FLAC in base64."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return to_base64(file.getvalue())


def to_base64(content: bytes) -> str:
    """Write bytes as text."""
    return base64.b64encode(content).decode("ascii")


def _text(part: Traversable) -> str:
    return part.read_text(encoding="utf-8")
