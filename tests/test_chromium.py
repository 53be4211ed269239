"""The tests' own browser: where there is none."""

import re

import pytest

from tests.chromium import ADVICE, installed


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.delenv("QUARTERWAVE_BROWSER", raising=False)


def test_without_a_browser_a_test_is_skipped_and_says_what_to_install() -> None:
    assert "install one (Debian: apt-get install chromium), or name it in" in ADVICE
    with pytest.raises(pytest.skip.Exception, match=re.escape(ADVICE)):
        installed()


def test_where_a_browser_is_required_the_test_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERWAVE_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match=re.escape(ADVICE)):
        installed()


def test_a_browser_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/opt/some/browser")
    assert installed() == "/opt/some/browser"
