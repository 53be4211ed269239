import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import listen
from pipeline.errors import OutputError
from pipeline.listening import ListeningError, answer_key
from tests.pipeline.listening.test_scores import filled, true_answers, write_sheet


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Give a function that runs the command and returns what it printed."""

    def run(*words: object) -> str:
        parser = argparse.ArgumentParser()
        listen.add_arguments(parser)
        assert listen.run(parser.parse_args([str(word) for word in words])) == 0
        return capsys.readouterr().out

    return run


def test_from_folders_to_scores(run: Callable[..., str], systems: dict[str, Path], tmp_path: Path) -> None:
    given = [word for name, folder in systems.items() for word in ("--system", f"{name}={folder}")]
    out = tmp_path / "test"
    printed = run(out, *given, "--seconds", 1, "--seed", 4, "--clips", 3)
    key = answer_key.load(tmp_path / "test-key.json")
    assert f"test {key.test}, seed 4: 3 clips of each system and 9 pairs; all of it plays 27 s" in printed
    assert f"wrote {out}/: page.html for a browser; all.wav, all.txt and sheet.csv for an audio editor" in printed
    assert f"wrote {tmp_path}/test-key.json: keep it from listeners" in printed
    assert "left out" not in printed  # label files beside clips are no recordings, and no news

    sheet = write_sheet(tmp_path / "filled.csv", filled(key, true_answers(key)))
    saved = tmp_path / "score.json"
    printed = run("--score", sheet, "--key", tmp_path / "test-key.json", "--save", saved)
    rows = [line.split() for line in printed.splitlines()]
    assert ["zebra-ours", "3.00", "3", "50", "%", "6"] in rows
    assert "zebra-ours preferred to zebra-real: 0 % [0, 56] of 3 choices" in printed
    assert "1 listener, 9 ratings, 9 choices, 0 left blank; in brackets: 95 % intervals" in printed
    assert json.loads(saved.read_text())["systems"][1]["opinion"] == {
        "value": 5.0,
        "low": None,
        "high": None,
        "n_answers": 3,
    }
    with pytest.raises(OutputError, match=r"score.json: exists already; --force overwrites$"):
        run("--score", sheet, "--key", tmp_path / "test-key.json", "--save", saved)
    run(out, "--score", sheet, "--save", saved, "--force")  # the answer key lies beside OUT


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"^a folder to write to is needed: quarterwave listen OUT --system NAME=FOLDER \.\.\.$"),
        (["out"], r"^a system or more is needed: --system NAME=FOLDER, once for each$"),
        (["out", "--system", "clips"], r"^system must be NAME=FOLDER and not 'clips'$"),
        (["out", "--system", "=clips"], r"^system must be NAME=FOLDER and not '=clips'$"),
        (["out", "--system", "a=b", "--system", "a=c"], r"^systems must have names of their own, and 'a' comes twice$"),
        (["--score", "sheet.csv"], r"^the answer key is needed to score answers: --key FILE$"),
    ],
)
def test_what_is_asked_for_wrongly(run: Callable[..., str], words: list[str], message: str) -> None:
    with pytest.raises(ListeningError, match=message):
        run(*words)
