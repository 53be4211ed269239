"""Imports between the rooms go one way, and one file alone knows the size of a block."""

import ast
from pathlib import Path

import pytest

import waveforms

ROOT = Path(waveforms.__file__).parent
ABOVE = {  # room: the rooms that it may import
    "audio": set(),
    "dsp": set(),
    "notes": {"audio", "dsp"},
    "corpus": {"audio", "dsp", "notes"},
    "piano": {"audio", "notes"},
}


def rooms_imported_by(file: Path) -> set[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{each.name}" for each in node.names]
        elif isinstance(node, ast.Import):
            names += [each.name for each in node.names]
    return {name.split(".")[1] for name in names if name.startswith("waveforms.")}


def test_there_are_no_other_rooms() -> None:
    assert {file.parent.name for file in ROOT.glob("*/*.py")} == ABOVE.keys()


@pytest.mark.parametrize("room", ABOVE)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    imported = set().union(*map(rooms_imported_by, (ROOT / room).rglob("*.py")))
    assert imported & ABOVE.keys() - {room} <= ABOVE[room]


def test_one_file_knows_the_size_of_a_block() -> None:
    assert [file.name for file in ROOT.rglob("*.py") if "BLOCK_SIZE" in file.read_text()] == ["blocks.py"]
