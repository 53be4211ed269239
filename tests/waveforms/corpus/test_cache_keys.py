"""Records of the cache come from what their keys hold: from all of it, and from nothing else."""

import ast
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from waveforms.corpus import Corpus, cache
from waveforms.corpus.notes import notes_of
from waveforms.notes import Note, Performance
from waveforms.notes.midi import write_midi

CODE = '''"""Doc."""

GAIN = 2  # decibels


def louder(x: float) -> float:
    """Say more."""
    return x * GAIN
'''


def digest_of(path: Path, code: str) -> str:
    path.write_text(code)
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    return cache.code_digest(module)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (("# decibels", "# dB"), False),
        (("Say more.", "Say less."), False),
        (("\n\n\n", "\n\n"), False),
        (('    """Say more."""\n', ""), False),
        (("GAIN = 2", "GAIN = 3"), True),
        (("x * GAIN", "x + GAIN"), True),
    ],
)
def test_what_code_does_counts_and_what_it_says_does_not(tmp_path: Path, change: tuple[str, str], counts: bool) -> None:
    before = digest_of(tmp_path / "one.py", CODE)
    assert CODE.replace(*change) != CODE
    assert (digest_of(tmp_path / "other.py", CODE.replace(*change)) != before) == counts


def test_threads_may_ask_at_once(tmp_path: Path) -> None:
    """CPython 3.11 cannot make two syntax trees at a time."""
    codes = [f"VALUE = {'(' * 30}{n}{')' * 30}\n" * 200 for n in range(32)]
    with ThreadPoolExecutor(8) as executor:
        digests = list(executor.map(lambda n: digest_of(tmp_path / f"{n}.py", codes[n]), range(32)))
    assert len(set(digests)) == 32


# These change no record: constants that stay, errors, files out, the path of a recording, and the caller of the rest.
HARMLESS = {
    *("waveforms", "waveforms.errors", "waveforms.files", "waveforms.audio", "waveforms.notes"),
    *("waveforms.audio.writing", "waveforms.audio.marks", "waveforms.corpus.cache", "waveforms.corpus.notes"),
}


def imported_by(names: Iterable[str], harmless: set[str]) -> set[str]:
    """Name some modules of the project, the modules that they import, and so on, but for harmless ones."""
    found: set[str] = set()
    waiting = [*names]
    while waiting:
        name = waiting.pop()
        if name in found | harmless:
            continue
        found.add(name)
        for node in ast.walk(ast.parse(Path(str(sys.modules[name].__file__)).read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(("waveforms", "pipeline")):
                members = [f"{node.module}.{each.name}" for each in node.names]
                waiting += [member for member in members if member in sys.modules] or [node.module]
    return found


@pytest.fixture
def keys(record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The modules in each key that is asked for while the notes of a recording with a MIDI file are found."""
    found: list[set[str]] = []
    digest = cache.code_digest

    def noted(*modules: ModuleType) -> str:
        found.append({module.__name__ for module in modules})
        return digest(*modules)

    monkeypatch.setattr(cache, "code_digest", noted)
    path = record("a.wav")
    write_midi(path.with_suffix(".mid"), Performance("a", (Note(0.0, 0.5, 60, 64),)))
    assert notes_of(Corpus.open(path.parent)["a.wav"]).problem is not None  # so it is transcribed as well
    return found


def test_keys_hold_all_code_that_records_depend_on_and_no_other(keys: list[set[str]]) -> None:
    roots = "corpus.survey", "notes.fit", "notes.transcriber"
    by_root = {root: key for key in keys for root in roots if f"waveforms.{root}" in key}
    # Findings and samples that a record is made from are in its key by their digest and value, not by their code.
    for root, given in [
        ("corpus.survey", set()),
        ("notes.fit", set()),
        ("notes.transcriber", {"waveforms.audio.loudness"}),
    ]:
        assert by_root[root] - HARMLESS == imported_by(by_root[root], HARMLESS) - given
