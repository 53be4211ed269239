"""Assembles pages: each is one HTML file, which asks no network for anything.

    page.html, its styles and scripts, data as JSON, clips as FLAC in base64 -> page

The clips are inside, so that a reader is sent one file. They are FLAC: every browser plays it, it changes no sample,
and it is half as large as WAV.
"""

import base64
import html
import io
import json
import posixpath
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from waveforms import SAMPLE_RATE

_PLACEHOLDER = re.compile(
    r'<link rel="stylesheet" href="(?P<style>[^"]+)">|<script src="(?P<script>[^"]+)"></script>|{{(?P<field>\w+)}}'
)


def assemble(page: str, *, title: str, data: Any, sounds: Mapping[str, str]) -> str:
    """Put a page together: its styles and scripts come inline, and its fields are filled.

    Args:
        page: the folder in `pipeline/web` that holds its page.html.
        title: its title, as plain text.
        data: what its scripts read, from the element `data`.
        sounds: {id of an element: FLAC in base64}.
    """
    fields = {
        "title": html.escape(title),
        "data": to_json(data),
        "sounds": "\n".join(f'<script type="text/plain" id="{name}">{flac}</script>' for name, flac in sounds.items()),
    }

    def content(found: re.Match[str]) -> str:
        if found["style"]:
            return f"<style>\n{_read(page, found['style'])}</style>"
        if found["script"]:
            return f"<script>\n{_read(page, found['script'])}</script>"
        return fields[found["field"]]

    return _PLACEHOLDER.sub(content, _read(page, "page.html"))  # in one pass: what is put in is not searched


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


def _read(page: str, name: str) -> str:
    """Read a file that a page names, relative to its folder."""
    return (files("pipeline.web") / posixpath.normpath(f"{page}/{name}")).read_text(encoding="utf-8")
