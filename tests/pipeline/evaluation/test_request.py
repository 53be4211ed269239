"""A request checks itself: what systems may be named, and which numbers are legal."""

from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.evaluation import EvaluationError, EvaluationRequest


def test_what_is_named_and_what_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clips", "deep/clips", "run", "real", "a=b"):
        Path(name).mkdir(parents=True)
    for name in ("run/best.safetensors", "run/last.safetensors", "lone.safetensors", "clip.wav"):
        Path(name).touch()
    given = ["clips", "deep/clips/", "new=clips", "run", "run/last.safetensors", "lone.safetensors", "clip.wav"]
    found = EvaluationRequest([*given, "real", "a=b", "."]).paths
    names = ["clips", "clips-2", "new", "run", "run-2", "lone", "clip", "real-2", "a=b", tmp_path.name]
    assert [system.name for system in found] == names
    assert [system.is_checkpoint for system in found] == [False] * 3 + [True] * 3 + [False] * 4
    assert found[3].path == Path("run/best.safetensors")


def test_a_name_that_is_given_comes_before_one_that_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clips", "others"):
        Path(name).mkdir()
    assert [system.name for system in EvaluationRequest(["clips", "clips=others"]).paths] == ["clips-2", "clips"]
    with pytest.raises(EvaluationError, match=r"^names must differ, and new is given twice$"):
        EvaluationRequest(["new=clips", "others", "new=others"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", r"^nowhere: a folder of clips or a checkpoint is needed, and there is none of this name$"),
        ("a=nowhere", r"^nowhere: a folder of clips or a checkpoint is needed"),
        ("=.", r"^a system must be PATH or NAME=PATH and not '=\.'$"),
        (
            "real=.",
            r"^a name must have no / in it and not be real, continuation, .*, silence, and not 'real'$",
        ),
        ("a/b=.", r"^a name must have no / in it .*, and not 'a/b'$"),
        ("..=.", r"^a name must have no / in it .*, and not '\.\.'$"),
    ],
)
def test_what_cannot_be_named(text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        EvaluationRequest([text])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clips": 1}, r"^clips must be at least 2 and not 1$"),
        ({"seed": -1}, r"^seed must be at least 0 and not -1$"),
        ({"seconds": 3.1}, r"^a length must be a multiple of 0.25 s \(one block\), not 3.1 s"),
    ],
)
def test_numbers_that_are_not_legal(options: dict[str, float], message: str) -> None:
    with pytest.raises((EvaluationError, SettingsError), match=message):
        EvaluationRequest([], **options)  # type: ignore[arg-type]


def test_a_report_is_no_system_and_the_message_says_what_is(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text('{"format": 1}')
    with pytest.raises(EvaluationError, match=r"report\.json: .* this is a report; name what it evaluated again"):
        EvaluationRequest([str(report)])
