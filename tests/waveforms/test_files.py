import os
from pathlib import Path

import pytest

from waveforms.errors import OutputError
from waveforms.files import atomic_write, check_free, write_whole


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as draft:
        draft.write_text("first half")
        assert not path.exists()
        assert draft.parent == path.parent  # the move does not cross file systems
    assert path.read_text() == "first half"
    write_whole(path, "é")
    assert path.read_bytes() == "é".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interruption_leaves_the_old_file_alone(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted() -> None:
        with atomic_write(path) as draft:
            draft.write_text("new")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError) as caught:
        write_whole(tmp_path / "a.txt", b"new")
    assert str(caught.value) == f"{tmp_path / 'a.txt'}: cannot be written: no space left on device"
    assert list(tmp_path.iterdir()) == []


def test_what_is_taken_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    check_free(path, force=False)
    path.touch()
    check_free(path, force=True)
    with pytest.raises(OutputError, match=r"a\.txt: exists already; --force overwrites$"):
        check_free(path, force=False)
    with pytest.raises(OutputError, match=r"holds files already; --force overwrites$"):
        check_free(tmp_path, force=False)
