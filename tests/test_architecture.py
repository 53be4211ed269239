"""Rooms import one way, files and folders have a sensible size, and all that is public is used."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
CODE = ("waveforms", "pipeline", "benchmarks", "tools")
LONGEST = 300  # lines

# A room may import the rooms that stand in rows above its own, and no other.
LAYERS = {
    "waveforms": (
        ("errors",),
        ("files",),
        ("audio", "dsp"),
        ("notes",),
        ("corpus", "piano"),
    ),
    "pipeline": (
        ("errors",),
        ("config", "migrations"),
        ("codecs", "distributed", "pictures"),
        ("models", "web", "pretrained"),
        ("checkpoint", "listening"),
        ("prompts",),
        ("session",),
        ("clips", "training"),
        ("rendering",),
        ("evaluation",),
        ("cli",),
    ),
}
WITH_BLOCKS = ("events", "piano", "spectrum")  # codecs that step by the project's own block
MOST_EDGES = {"waveforms": 16, "pipeline": 64}  # pairs of rooms of which one imports the other


# Public names that no code of ours reads, and who calls them.
CALLED_BY_OTHERS = {
    "readinto": "io.RawIOBase, which libsndfile reads through",
    "seekable": "python-soundfile",
    "cancel": "a page that plays live (docs/architecture.md)",
}


def imports_of(file: Path) -> Iterator[str]:
    """Yield the full name of everything that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(package: Path, file: Path) -> str:
    """Name the folder, or else the module, of a package that holds a file; `__init__` and `__main__` are in none."""
    room = file.relative_to(package).parts[0].removesuffix(".py")
    return "" if room.startswith("__") else room


def edges_of(package: Path) -> set[tuple[str, str]]:
    """List the pairs of rooms of which the first imports the second."""
    rooms = {room_of(package, file) for file in package.rglob("*.py")} - {""}
    return {
        (room, imported)
        for file in package.rglob("*.py")
        if (room := room_of(package, file))
        for name in imports_of(file)
        if name.startswith(f"{package.name}.") and (imported := name.split(".")[1]) in rooms - {room}
    }


def upward(package: Path, layers: tuple[tuple[str, ...], ...]) -> set[tuple[str, str]]:
    """List the edges that do not go to a row above."""
    row_of = {room: n for n, rooms in enumerate(layers) for room in rooms}
    return {(room, imported) for room, imported in edges_of(package) if row_of[imported] >= row_of[room]}


def code_of(house: Path) -> list[Path]:
    """List all files of Python, JavaScript, HTML and CSS but those of environments, which lie in hidden folders."""
    paths = [p for folder in (*CODE, "tests") for p in (house / folder).rglob("*.*")]
    kinds = {".py", ".js", ".html", ".css"}
    return sorted(
        p for p in paths if p.suffix in kinds and not any(part.startswith(".") for part in p.relative_to(house).parts)
    )


def too_long(house: Path) -> set[str]:
    return {p.relative_to(house).as_posix() for p in code_of(house) if len(p.read_text().splitlines()) > LONGEST}


def lonely(house: Path) -> set[str]:
    """List folders that hold one source file and no folder, apart from `__init__`."""
    folders = {p.parent for p in code_of(house)}
    crowded = Counter(p.parent for p in code_of(house) if p.name != "__init__.py")
    crowded.update(folder.parent for folder in folders)
    return {folder.relative_to(house).as_posix() for folder in folders if crowded[folder] == 1}


def names_in(tree: ast.AST) -> Counter[str]:
    """Count the names that code reads."""
    nodes = [node for node in ast.walk(tree) if isinstance(getattr(node, "ctx", None), ast.Load)]
    names = Counter(node.id for node in nodes if isinstance(node, ast.Name))
    names.update(node.attr for node in nodes if isinstance(node, ast.Attribute))
    return names


def definitions_in(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield the functions, classes, methods, constants and fields of dataclasses that a module defines."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from ((target.id, target) for target in node.targets if isinstance(target, ast.Name))
        members = node.body if isinstance(node, ast.ClassDef) else []
        is_dataclass = any("dataclass" in ast.unparse(each) for each in getattr(node, "decorator_list", []))
        for member in [node, *members]:
            if isinstance(member, ast.FunctionDef | ast.ClassDef):
                yield member.name, member
            elif is_dataclass and isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                yield member.target.id, member


def unused(house: Path) -> set[str]:
    """List public names of `waveforms` and `pipeline` that only their own definitions and tests read.

    The script of a page reads fields, too: they reach it as JSON.
    """
    trees = {p: ast.parse(p.read_text()) for p in code_of(house) if p.suffix == ".py" and "tests" not in p.parts}
    read = sum((names_in(tree) for tree in trees.values()), Counter[str]())
    for script in (p for p in code_of(house) if p.suffix == ".js"):
        read.update(re.findall(r"\b[a-z]\w*\b", script.read_text()))
    return {
        name
        for path, tree in trees.items()
        if path.relative_to(house).parts[0] in LAYERS
        for name, node in definitions_in(tree)
        if not name.startswith("_") and read[name] <= names_in(node)[name]
    }


@pytest.mark.parametrize("package", LAYERS)
def test_every_room_stands_in_one_row(package: str) -> None:
    rooms = {room_of(HOUSE / package, file) for file in (HOUSE / package).rglob("*.py")} - {""}
    assert sorted(room for row in LAYERS[package] for room in row) == sorted(rooms)


@pytest.mark.parametrize("package", LAYERS)
def test_a_room_imports_only_rooms_in_rows_above(package: str) -> None:
    assert not upward(HOUSE / package, LAYERS[package])


@pytest.mark.parametrize("package", LAYERS)
def test_edges_between_rooms_stay_few(package: str) -> None:
    assert len(edges_of(HOUSE / package)) <= MOST_EDGES[package]


def test_only_codecs_know_how_long_a_block_is() -> None:
    """Everything else asks the codec, whose `block_size` it is."""
    files = [file for package in LAYERS for file in (HOUSE / package).rglob("*.py")]
    named = {file.relative_to(HOUSE).as_posix() for file in files if re.search(r"\bBLOCK_SIZE\b", file.read_text())}
    assert named == {"waveforms/dsp/blocks.py", *(f"pipeline/codecs/{name}.py" for name in WITH_BLOCKS)}


def test_sound_knows_nothing_of_learning() -> None:
    files = list((HOUSE / "waveforms").rglob("*.py"))
    assert len(files) > 20
    for file in files:
        libraries = {name.split(".")[0] for name in imports_of(file)}
        assert not libraries & {"pipeline", "lightning_fabric", "rich", "matplotlib"}, file


def test_one_file_knows_the_size_of_a_block() -> None:
    files = [file.name for file in (HOUSE / "waveforms").rglob("*.py") if "BLOCK_SIZE" in file.read_text()]
    assert files == ["blocks.py"]


def test_no_file_is_long() -> None:
    assert not too_long(HOUSE)


def test_no_folder_holds_one_file() -> None:
    assert lonely(HOUSE) == set()


def test_everything_public_is_used_by_more_than_tests() -> None:
    assert unused(HOUSE) == CALLED_BY_OTHERS.keys()


def test_faults_of_a_small_house_are_found(tmp_path: Path) -> None:
    files = {
        "pipeline/__init__.py": "import pipeline.cli",  # belongs to no room
        "pipeline/errors.py": "from pipeline import cli\nclass Fault(Exception): ...\n",
        "pipeline/cli/main.py": "import pipeline.errors\ndef main(): raise pipeline.errors.Fault\n",
        "pipeline/cli/flags.py": "from pipeline.cli.main import main\nmain()\nLIMIT = 3\ndef again(): again()\n",
        "pipeline/cli/rows.py": "@dataclass\nclass Row:\n    shown: int\n    kept: int\nprint(Row(1, 2))\n",
        "pipeline/web/page.js": "row.shown" + "\n" * (LONGEST + 1),
        "tests/test_flags.py": "from pipeline.cli.flags import LIMIT, again\nagain(LIMIT)\n",
        "tests/test_main.py": "",
        "benchmarks/.venv/long.py": "\n" * (LONGEST + 1),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert edges_of(tmp_path / "pipeline") == {("cli", "errors"), ("errors", "cli")}
    assert upward(tmp_path / "pipeline", (("errors",), ("cli",))) == {("errors", "cli")}
    assert too_long(tmp_path) == {"pipeline/web/page.js"}
    assert lonely(tmp_path) == {"pipeline/web"}
    assert unused(tmp_path) == {"LIMIT", "again", "kept"}


def test_a_relative_import_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from . import b\n")
    with pytest.raises(AssertionError, match="relative import"):
        list(imports_of(tmp_path / "a.py"))
