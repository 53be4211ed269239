"""Documents agree with the code, the environment is sound, and `make demo` works in small."""

import argparse
import configparser
import dataclasses
import os
import re
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from pipeline import __version__
from pipeline.cli.main import make_parser
from pipeline.config import PRESETS, SECTIONS
from tests.pipeline.conftest import TINY_FLOW, as_flags

HOUSE = Path(__file__).parents[1]
README = (HOUSE / "README.md").read_text()
GUIDE = (HOUSE / "docs/guide.md").read_text()


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in the house, as if from a shell even where make runs this test."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=HOUSE, env=plain, capture_output=True, text=True, timeout=200)


def test_help_answers_without_heavy_imports() -> None:
    program = "import sys; from pipeline.cli.main import make_parser; make_parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "librosa", "matplotlib", "rich", "soundfile", "lightning_fabric"} & set(loaded)


def test_torchaudio_imports_in_this_environment() -> None:
    done = subprocess.run([sys.executable, "-c", "import torchaudio"], capture_output=True, text=True)
    assert done.returncode == 0, f"run `make setup`, which mends it: {done.stderr}"


def test_version_and_changelog_agree() -> None:
    changelog = (HOUSE / "CHANGELOG.md").read_text()
    newest = re.search(r"^## (\d+\.\d+\.\d+), \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert newest
    assert newest.group(1) == __version__


def test_every_dependency_is_pinned_within_its_range() -> None:
    from packaging.requirements import Requirement

    config = configparser.ConfigParser()
    config.read(HOUSE / "setup.cfg")
    pins = dict(
        line.lower().split("==") for line in (HOUSE / "constraints.txt").read_text().splitlines() if "==" in line
    )
    groups = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    wanted = [Requirement(line) for group in groups for line in group.split("\n") if line and not line.startswith("#")]
    assert len(wanted) > 15
    for requirement in wanted:
        assert requirement.specifier.contains(pins[requirement.name]), requirement


def commands_of(readme: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    return [line.split(" #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


COMMANDS = commands_of(README) + commands_of(GUIDE)


def test_the_readme_begins_with_its_two_commands() -> None:
    assert COMMANDS[:2] == ["make demo", "make test"]


def test_the_readme_fits_three_pages() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_commands_of_readme_and_guide_exist(command: str) -> None:
    done = make(*command.split()[1:], "--dry-run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("quarterwave ")])
def test_commands_of_readme_and_guide_are_understood(command: str) -> None:
    make_parser().parse_args([word.strip("'") for word in command.split()[1:]])


def options_of_all_commands() -> set[str]:
    subparsers = next(action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    actions = [action for command in subparsers.choices.values() for action in command._actions]
    return {name for action in actions for name in action.option_strings if name.startswith("--")}


def test_the_guide_names_every_option_but_settings() -> None:
    named = set(re.findall(r"--[a-z][a-z-]*", GUIDE))
    of_others = {"--nproc-per-node", "--nnodes", "--rdzv-endpoint", "--ntasks-per-node", "--index-url", "--logdir"}
    sections = [getattr(preset, section) for preset in PRESETS.values() for section in SECTIONS]
    fields = [field.name for section in sections for field in dataclasses.fields(section)]
    settings = {"--" + name.replace("_", "-") for name in fields}
    assert named - of_others <= options_of_all_commands()
    assert options_of_all_commands() - settings <= named


def rooms_on_the_map(document: str) -> set[str]:
    """List the files and folders that the map names, each below its indented folder."""
    rooms, above = set(), ""
    for line in document.split("## Rooms")[1].split("## Words")[0].splitlines():
        names = re.findall(r"\b(\w+\.py|\w+/)", line)
        indent = len(line) - len(line.lstrip())
        if names and indent == 4:
            above = names[0]
            rooms.update(names)
        elif names and indent == 6:
            rooms.add(above + names[0])
    return rooms


def test_the_map_names_every_room_and_no_other() -> None:
    rooms = rooms_on_the_map((HOUSE / "docs/architecture.md").read_text())
    assert len(rooms) > 20
    assert not {name for name in rooms if not (HOUSE / name).exists()}
    folders = {init.parent for package in ("waveforms", "pipeline") for init in (HOUSE / package).glob("*/__init__.py")}
    assert {f"{folder.relative_to(HOUSE).as_posix()}/" for folder in folders} <= rooms


def test_the_map_is_read_line_by_line() -> None:
    document = (
        "## Rooms\n\n    waveforms/   sound; not pipeline\n      audio/     files.py: in\n    tools/  docs/\n## Words\n"
    )
    assert rooms_on_the_map(document) == {"waveforms/", "waveforms/audio/", "tools/", "docs/"}


def test_the_glossary_is_short() -> None:
    words = (HOUSE / "docs/architecture.md").read_text().split("## Words")[1]
    assert len(re.findall(r"^\| ", words, re.MULTILINE)) - 2 <= 25


DOCUMENTS = sorted(
    file
    for place in (".", "docs", "docs/decisions", "docs/clips", "checkpoints")
    for file in (HOUSE / place).glob("*.md")
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(HOUSE)))
def test_documents_name_files_that_are_there(document: Path) -> None:
    text = document.read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", text):
        assert (document.parent / link).exists(), link
    for path in re.findall(r"`((?:waveforms|pipeline|tests|tools|benchmarks|docs)/[\w./-]+)`", text):
        assert (HOUSE / path).exists(), path


def test_the_demo_from_end_to_end_in_small(tmp_path: Path) -> None:
    """The Makefile's own recipe, with fewer pieces and steps, in this environment instead of a fresh one."""
    venv = Path(sys.prefix)
    small = {
        "VENV": venv,
        "CORPUS": tmp_path / "corpus",
        "OUT": tmp_path / "clips",
        "DEMO": tmp_path / "run",
        "PIECES": 2,
        "ARGS": " ".join(as_flags(TINY_FLOW | {"steps": 2, "batch_size": 2, "fit_steps": 5})),
    }
    variables = [f"{name}={value}" for name, value in small.items()]
    done = make(f"--old-file={venv}/.made", "demo", *variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"demo: corpus in {tmp_path}/corpus/.*; \d+ s in all\n$", done.stdout)
    clips = sorted((tmp_path / "clips").glob("*.wav"))
    assert [clip.name for clip in clips] == [f"clip-1-{n}.wav" for n in range(1, 5)]
    for clip in clips:
        with wave.open(str(clip)) as file:
            assert file.getparams()[:4] == (1, 2, 44_100, 441_000)
        assert clip.with_suffix(".png").exists()
        assert clip.with_suffix(".mid").exists()
    assert (tmp_path / "run" / "best.safetensors").exists()
