import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.listening import ListeningError
from pipeline.listening.answer_key import AnswerKey, BlindClip
from pipeline.listening.answers import COLUMNS, blank_sheet
from pipeline.listening.make import Made, shuffled_pairs
from pipeline.listening.scores import score
from tests.pipeline.listening.conftest import SYSTEMS

OURS, REAL, CLASSIC = SYSTEMS
RANK = {REAL: 3, OURS: 2, CLASSIC: 1}


@pytest.fixture
def key(make: Callable[..., Made]) -> AnswerKey:
    return make().key


def results(
    key: AnswerKey, answers: dict[str, Any], *, listener: str = "one", saved: str = "2030-01-01"
) -> dict[str, Any]:
    """As the page saves them."""
    return {
        "quarterwave": "results",
        "format": 1,
        "test": key.test,
        "listener": listener,
        "initials": "",
        "saved": saved,
        "answers": answers,
    }


def true_answers(key: AnswerKey) -> dict[str, Any]:
    """Real is excellent, ours fair, classic bad; the better one is preferred."""
    answers: dict[str, Any] = {clip.name: {"rating": 2 * RANK[clip.system] - 1} for clip in key.clips}
    for pair in key.pairs:
        better = RANK[key.system_of[pair.a]] > RANK[key.system_of[pair.b]]
        answers[pair.name] = {"preferred": "A" if better else "B"}
    return answers


def write_json(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def filled(key: AnswerKey, answers: dict[str, dict[str, object]]) -> list[list[str]]:
    rows = list(csv.reader(io.StringIO(blank_sheet(key))))
    for row in rows[1:]:
        row[4:] = [str(answers.get(row[1], {}).get(name, "")) for name in COLUMNS[4:]]
    return rows


def write_sheet(path: Path, rows: list[list[str]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def test_what_a_known_listener_pressed_comes_back(key: AnswerKey, tmp_path: Path) -> None:
    answers = true_answers(key)
    answers["clip-002"]["remarks"] = "ends, then begins"
    page = write_json(tmp_path / "results.json", results(key, answers))
    sheet = write_sheet(tmp_path / "sheet.csv", filled(key, answers))
    for paths in ([page], [sheet]):
        found = score(paths, key)
        assert {s.system: s.opinion.value for s in found.systems if s.opinion} == {REAL: 5, OURS: 3, CLASSIC: 1}
        assert {s.system: s.preferred for s in found.systems} == {REAL: 1, OURS: 0.5, CLASSIC: 0}
        shares = {(p.system, p.to): p.share.value for p in found.preferences if p.share}
        assert shares == {(OURS, REAL): 0, (OURS, CLASSIC): 1, (REAL, CLASSIC): 1}
        assert (found.n_listeners, found.n_ratings, found.n_choices, found.n_blank) == (1, 9, 9, 0)
        assert [(r.item, r.systems, r.text) for r in found.remarks] == [
            ("clip-002", (key.system_of["clip-002"],), "ends, then begins")
        ]
    assert json.loads(json.dumps(score([page], key).to_json()))["systems"][1]["opinion"]["value"] == 5


def big_key() -> AnswerKey:
    """Twelve clips of each system; nobody need hear them."""
    names = [f"clip-{n:03}" for n in range(1, 37)]
    groups = [names[n::3] for n in range(3)]
    clips = tuple(BlindClip(name, SYSTEMS[n % 3], "recording.wav", 0.0, 0.0) for n, name in enumerate(names))
    pairs = shuffled_pairs(groups, np.random.default_rng(0))
    return AnswerKey("0123456789ab", 0, 10.0, -23.0, dict.fromkeys(SYSTEMS, "folder"), clips, pairs)


def test_simulated_listeners_are_scored_within_their_intervals(tmp_path: Path) -> None:
    """Listeners of different strictness, in pages and sheets mixed, a fifth left blank."""
    key = big_key()
    rng = np.random.default_rng(3)
    truth = {REAL: 4.2, OURS: 3.1, CLASSIC: 1.9}
    for listener in range(16):
        strictness = rng.normal(0, 0.3)
        answers: dict[str, Any] = {}
        for clip in key.clips:
            rating = int(np.clip(np.rint(truth[clip.system] + strictness + rng.normal(0, 0.6)), 1, 5))
            answers[clip.name] = {"rating": rating} if rng.random() < 0.8 else {}
        for pair in key.pairs:
            preference = truth[key.system_of[pair.a]] - truth[key.system_of[pair.b]] + rng.logistic(0, 0.8)
            answers[pair.name] = {"preferred": "A" if preference > 0 else "B"}
        if listener % 2:
            write_json(tmp_path / f"{listener}.json", results(key, answers, listener=str(listener)))
        else:
            write_sheet(tmp_path / f"{listener}.csv", filled(key, answers))
    found = score([tmp_path], key)
    assert found.n_listeners == 16
    assert found.n_ratings + found.n_choices + found.n_blank == 16 * 72
    for system in found.systems:
        assert system.opinion is not None
        assert system.opinion.low is not None
        assert system.opinion.high is not None
        assert system.opinion.low <= truth[system.system] <= system.opinion.high
        assert 0.1 < system.opinion.high - system.opinion.low < 0.8
    for preference in found.preferences:
        expected = 1 / (1 + np.exp(-(truth[preference.system] - truth[preference.to]) / 0.8))
        assert preference.share is not None
        assert preference.share.low is not None
        assert preference.share.high is not None
        assert preference.share.low <= expected <= preference.share.high


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), ("\t", "cp1252")])
def test_sheets_as_spreadsheets_save_them(key: AnswerKey, tmp_path: Path, delimiter: str, encoding: str) -> None:
    answers = true_answers(key)
    answers["pair-001"]["remarks"] = "schön, aber\nzu laut"
    rows = [*filled(key, answers), [""] * len(COLUMNS)]
    rows[1] += ["", ""]  # cells beyond the last column
    sheet = write_sheet(tmp_path / "sheet.csv", rows, delimiter, encoding)
    found = score([sheet], key)
    assert (found.n_ratings, found.n_choices, found.n_blank) == (9, 9, 0)
    assert found.remarks[0].text.endswith("n, aber\nzu laut")


def test_what_is_blank_or_twice_is_said(key: AnswerKey, tmp_path: Path) -> None:
    answers = true_answers(key)
    some = {name: given for name, given in answers.items() if name not in ("clip-001", "pair-002", "pair-003")}
    write_json(tmp_path / "a.json", results(key, answers, saved="2030-01-02T10:00"))
    write_json(tmp_path / "b.json", results(key, some, saved="2030-01-02T09:00"))
    write_sheet(tmp_path / "c.csv", filled(key, some))
    write_sheet(tmp_path / "d.csv", filled(key, some))
    write_sheet(tmp_path / "e.csv", filled(key, {}))
    write_json(tmp_path / "score.json", {"quarterwave": "score"})  # no answer, nor is the answer key
    found = score([tmp_path, tmp_path / "c.csv"], key)
    assert (found.n_listeners, found.n_blank) == (3, 6)
    assert [note.replace(f"{tmp_path}/", "") for note in found.notes] == [
        "b.json: not counted, a.json is by the same listener",
        "d.csv: the same answers as c.csv; counted as two listeners",
        "e.csv: holds no answer",
    ]


def change(row: int, column: str, value: str) -> Callable[[list[list[str]]], None]:
    def changed(rows: list[list[str]]) -> None:
        rows[row - 1][COLUMNS.index(column)] = value

    return changed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change(3, "rating", "6"), r"row 3: a rating must be 1, 2, 3, 4 or 5 and not '6'$"),
        (change(3, "rating", "4.5"), r"row 3: a rating must be 1, 2, 3, 4 or 5 and not '4.5'$"),
        (change(12, "preferred", "C"), r"row 12: what is preferred must be A or B and not 'C'$"),
        (change(12, "rating", "3"), r"row 12: pair-002 is a pair to choose from, and cannot be rated \('3'\)$"),
        (change(2, "preferred", "a"), r"row 2: clip-001 is a clip to rate, and cannot be preferred \('A'\)$"),
        (change(4, "item", "clip-002"), r"row 4: an item stands once in a sheet, and clip-002 stands here again$"),
        (
            change(4, "item", "clip-9"),
            r"row 4: an item must be clip-001 to clip-009 or pair-001 to pair-009 and not 'clip-9'$",
        ),
        (change(5, "test", "0123"), r"row 5: the answer key is of test [0-9a-f]{12}, and this is of test 0123$"),
        (change(1, "rating", "stars"), r"row 1: a sheet begins with test,item,.* and not with 'test,.*stars.*'$"),
        (lambda rows: rows[7].pop(), r"row 8: a row has 7 cells, and this has 6$"),
    ],
)
def test_a_spoilt_sheet_is_refused(
    key: AnswerKey, tmp_path: Path, spoil: Callable[[list[list[str]]], object], message: str
) -> None:
    rows = filled(key, true_answers(key))
    spoil(rows)
    path = write_sheet(tmp_path / "sheet.csv", rows)
    with pytest.raises(ListeningError, match=rf"^{path}: {message}"):
        score([path], key)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": "0123"}, r"the answer key is of test [0-9a-f]{12}, and this is of test 0123$"),
        ({"format": 2}, r"results of a newer quarterwave: format 1 can be read, and this is 2$"),
        ({"quarterwave": "key"}, r"a results file that the page saved is needed, and this is not one$"),
        ({"answers": [1]}, r"a results file that the page saved is needed, and this is not one$"),
        ({"answers": {"clip-001": 3}}, r"a results file that the page saved is needed, and this is not one$"),
        ({"answers": {"clip-001": {"rating": 0}}}, r"clip-001: a rating must be 1, 2, 3, 4 or 5 and not '0'$"),
        ({"answers": {"clip-001": {"rating": True}}}, r"clip-001: a rating must be 1, 2, 3, 4 or 5 and not 'True'$"),
    ],
)
def test_spoilt_results_are_refused(key: AnswerKey, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = write_json(tmp_path / "results.json", results(key, {}) | changes)
    with pytest.raises(ListeningError, match=rf"^{path}: {message}"):
        score([path], key)


def test_files_that_are_not_there_or_hold_nothing(key: AnswerKey, tmp_path: Path) -> None:
    with pytest.raises(ListeningError, match=r"gone.csv: answers cannot be read: no such file or directory$"):
        score([tmp_path / "gone.csv"], key)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ListeningError, match=r"empty: results .* or filled sheets .* are needed, and the folder has n"):
        score([tmp_path / "empty"], key)
    sheet = write_sheet(tmp_path / "sheet.csv", filled(key, {}))
    with pytest.raises(ListeningError, match=r"^answers are needed, and .*sheet.csv: holds no answer$"):
        score([sheet], key)
