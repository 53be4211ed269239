"""The page from end to end, in a real browser, from the disk."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.listening.answer_key import AnswerKey
from pipeline.listening.make import Made
from pipeline.listening.scores import score
from tests.chromium import PATIENCE, Chromium
from tests.pipeline.listening.conftest import SYSTEMS

OURS, REAL, CLASSIC = SYSTEMS
RATING = {REAL: "5", OURS: "3", CLASSIC: "2"}
HEARD = "!document.querySelector('#answers').classList.contains('unheard')"

# Notes what plays, whenever that changes: a look from outside could come too late for a clip of a second.
WATCH = """
window.watched = [];
new MutationObserver(() => {
  const name = document.querySelector('.playing')?.dataset.name ?? '';
  if (window.watched.at(-1) !== name) window.watched.push(name);
}).observe(document.querySelector('#players'), {subtree: true, attributes: true, attributeFilter: ['class']});
"""


@pytest.fixture
def made(make: Callable[..., Made], browser: Chromium, tmp_path: Path) -> Iterator[Made]:
    made = make(n_clips=2, seed=len(tmp_path.name))
    browser.open(tmp_path / "test/page.html")
    yield made
    browser.evaluate("localStorage.clear()")


def shown(browser: Chromium, where: str) -> None:
    browser.wait_for(f"document.querySelector('#where').textContent === {where!r}")


def clips(browser: Chromium) -> list[str]:
    """The clips that are on the screen."""
    return list(browser.evaluate("[...document.querySelectorAll('#players .player')].map((p) => p.dataset.clip)"))


def pressed(browser: Chromium) -> list[str]:
    return list(browser.evaluate("[...document.querySelectorAll('[aria-pressed=true]')].map((b) => b.dataset.value)"))


def rate(browser: Chromium, key: AnswerKey, where: str) -> None:
    shown(browser, where)
    browser.press(" ")
    browser.wait_for(HEARD)
    browser.press(RATING[key.system_of[clips(browser)[0]]], "n")


def prefer(browser: Chromium, key: AnswerKey, where: str, keys: tuple[str, str]) -> None:
    """Listen to one after the other, and prefer that of the better rating."""
    shown(browser, where)
    for number in (0, 1):
        browser.press(str(number + 1))
        browser.wait_for(f"document.querySelectorAll('#players .player')[{number}].classList.contains('heard')")
    browser.wait_for(HEARD)
    a, b = (RATING[key.system_of[clip]] for clip in clips(browser))
    browser.press(keys[0] if a > b else keys[1], "n")


def downloaded(browser: Chromium) -> Path:
    """Save, and wait for the file that the page names."""
    browser.press("s")
    browser.wait_for("document.querySelector('#said').textContent.startsWith('Saved results-')")
    said = str(browser.evaluate("document.querySelector('#said').textContent"))
    path = browser.downloads / said.split()[1]
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < until, f"{path} was not downloaded"
        time.sleep(0.02)
    return path


def test_what_is_pressed_is_what_is_scored(browser: Chromium, made: Made, tmp_path: Path) -> None:
    browser.press("Tab", "Tab", *"QW", "Enter", "Enter")  # past the play button, into the initials
    for number in (1, 2, 3):
        rate(browser, made.key, f"Clip {number} of 6")
    shown(browser, "Clip 4 of 6")
    browser.press("p")
    before = pressed(browser), clips(browser)

    browser.open(tmp_path / "test/page.html")  # closed and opened again: the same place, order and answers
    shown(browser, "Clip 3 of 6")
    assert (pressed(browser), clips(browser)) == before
    browser.press("n")
    for number in (4, 5):
        rate(browser, made.key, f"Clip {number} of 6")
    shown(browser, "Clip 6 of 6")
    left_out = made.key.system_of[clips(browser)[0]]
    browser.press("Enter")
    for number in range(1, 7):
        keys = ("a", "b") if number % 2 else ("ArrowLeft", "ArrowRight")
        prefer(browser, made.key, f"Pair {number} of 6", keys)
    shown(browser, "End")
    assert "You answered 11 of 12 questions" in browser.text()
    assert "Clip 6" in browser.text()

    path = downloaded(browser)
    assert path.name.startswith(f"results-{made.key.test}-QW-")
    found = score([path], made.key)
    opinions = {system.system: system.opinion for system in found.systems}
    for system, opinion in opinions.items():
        assert opinion is not None
        assert (opinion.value, opinion.n_answers) == (int(RATING[system]), 1 if system == left_out else 2)
    shares = {(p.system, p.to): p.share.value for p in found.preferences if p.share}
    assert shares == {(OURS, REAL): 0, (OURS, CLASSIC): 1, (REAL, CLASSIC): 1}
    assert (found.n_ratings, found.n_choices, found.n_blank) == (5, 6, 1)


def test_space_plays_to_the_end_and_both_of_a_pair(browser: Chromium, made: Made) -> None:
    browser.press("Enter")
    shown(browser, "Clip 1 of 6")
    assert browser.evaluate("document.querySelectorAll('.player').length") == 1  # none is left on the screen before
    browser.press("4")
    assert "Listen first." in browser.text()
    assert pressed(browser) == []
    browser.press(" ")
    browser.wait_for("document.querySelector('#players .playing progress')?.value > 0")
    browser.wait_for("!document.querySelector('.playing')")
    browser.press("4", "2")
    assert pressed(browser) == ["2"]
    browser.press(*"nnnnnn")
    shown(browser, "Pair 1 of 6")
    browser.press("1")
    browser.wait_for("document.querySelector('#players .heard')")
    browser.press("b")
    assert "Listen to both first." in browser.text()
    browser.wait_for("!document.querySelector('.playing')")
    browser.evaluate(WATCH)
    browser.press(" ")
    browser.wait_for("window.watched.at(-1) === ''")
    assert browser.evaluate("window.watched") == ["A", "B", ""]
    browser.press(" ", " ", "b")
    assert browser.evaluate("window.watched") == ["A", "B", "", "A", ""]
    assert pressed(browser) == ["B"]


def test_fingers_on_a_phone_and_remarks(browser: Chromium, made: Made) -> None:
    browser.resize(360, 640, mobile=True)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    browser.tap("#begin")
    shown(browser, "Clip 1 of 6")
    browser.tap("#players button")
    browser.wait_for(HEARD)
    browser.tap("#answers button:nth-child(4)")
    assert pressed(browser) == ["4"]
    browser.tap("#remarks")
    browser.press(*"np4s")  # letters, not commands
    browser.press("Enter")
    browser.tap("#next")
    shown(browser, "Clip 2 of 6")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    sizes = browser.evaluate(
        "[...document.querySelectorAll('#trial button')].map((b) => b.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 44  # px: what a finger needs
    remark = score([downloaded(browser)], made.key).remarks[0]
    assert remark.text == "np4s"
