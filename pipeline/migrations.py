"""Older checkpoint formats, read as the newest one.

Format 8 renamed settings, fields and tensors, and changed no number.
"""

from collections.abc import Callable
from typing import Any

_SETTINGS = {"lap": "overlap", "moments": "flow_times", "averaging": "ema_decay"}
_HEADS = {"enter": "input", "guide": "from_conditioning", "leave": "output", "from_named": "from_previous"}
_TENSORS = _HEADS | {
    "deviation": "std",
    "expected_axes": "conditioning_axes",
    "expected_mean": "conditioning_mean",
    "place": "position",
    "prompt": "excerpt",
    "shares": "frequencies",
}


def migrate_document(document: dict[str, Any]) -> dict[str, Any]:
    """Rename what a document of format 7 names otherwise; a document of format 8 stays as it is."""
    if document["format"] == 8:
        return document
    settings = {
        name: {_SETTINGS.get(key, key): value for key, value in section.items()}
        if isinstance(section, dict)
        else section
        for name, section in document["settings"].items()
    }
    renamed = {"excerpts" if name == "passages" else name: value for name, value in document.items()}
    return renamed | {"format": 8, "settings": settings}


def tensor_renamer(found: int) -> Callable[[str], str]:
    """Return what renames the tensors of a file of that format."""
    if found == 8:
        return lambda name: name
    return lambda name: ".".join(_TENSORS.get(part, part) for part in name.split("."))
