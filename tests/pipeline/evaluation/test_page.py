"""The page of an evaluation, in a real browser, from the disk."""

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile

from pipeline.errors import OutputError
from pipeline.evaluation.page import write_page
from pipeline.evaluation.report import SystemResult, Value
from tests.chromium import Chromium
from tests.pipeline.evaluation.reports import EVIL, SECONDS, small_report, sounds

REPORT = small_report()
PLAYED = [("ours", "clip-4"), ("ours", "clip-3"), ("ours", "clip-1"), ("ours", "clip-0")]
PLAYED += [(EVIL, EVIL), (EVIL, "b.wav"), ("real", "real-2"), ("real", "real-0")]


# The samples of a sound as the browser's own decoder finds them.
DECODE = """new OfflineAudioContext(1, 1, 44100).decodeAudioData(bytesOf($("sound-{}").textContent).buffer)
    .then((sound) => Array.from(sound.getChannelData(0), (s) => Math.round(s * 32768)))"""
# Notes where in a clip sound begins.
STARTS = """{
    window.starts = [];
    const start = AudioBufferSourceNode.prototype.start;
    AudioBufferSourceNode.prototype.start = function (when, at) { window.starts = [at]; start.call(this, when, at); };
}"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(REPORT, sounds, path)
    return path


@pytest.fixture
def page(path: Path, browser: Chromium) -> Iterator[Chromium]:
    browser.open(path)
    yield browser
    assert browser.evaluate("window.harmed") is None


def cell_text(value: Value | None, digits: int, unit: str) -> str:
    if value is None:
        return ""
    if value.value is None:
        return "\N{EN DASH}"
    text = f"{value.value:.{digits}f} {unit}".strip()
    return text if value.low is None else f"{text}{value.low:.{digits}f} to {value.high:.{digits}f}"


def playing(page: Chromium, n: int) -> None:
    """Wait until card n sounds, and it alone."""
    page.wait_for(f"player.source && player.isPlaying(player.tracks[{n}]) && player.current.at > 0")
    cards = page.evaluate("[...document.querySelectorAll('.clip')].map((card) => card.classList.contains('playing'))")
    assert [index for index, on in enumerate(cards) if on] == [n]


def card(n: int) -> str:
    return f"[data-sound=sound-{n}]"


def test_the_page_shows_the_reports_numbers_and_names(page: Chromium) -> None:
    for table in ("#headline tr", "#groups article"):
        for metric in REPORT.metrics:
            cells = f"document.querySelectorAll('{table}[data-metric={metric.id}] td.number')"
            found = page.evaluate(f"[...{cells}].map((cell) => cell.textContent)")
            values = [system.values.get(metric.id) for system in REPORT.systems]
            if table == "#groups article":  # which leaves out systems without a number and clips
                values = [value for value in values if value and value.value is not None]
            assert found == [cell_text(value, metric.digits, metric.unit) for value in values], metric.id
    gaps = page.evaluate("[...document.querySelectorAll('.gap tbody tr')].map((row) => row.innerText)")
    assert [" ".join(gap.split()) for gap in gaps] == ["ours 24 % 0 to 48", " ".join(f"{EVIL} 4 % 0 to 8".split())]
    text = page.text()
    for said in (
        REPORT.title,
        *REPORT.notes,
        "Seed of every random choice",
        "quarterwave 0.1.0",
        "recordings 3, seconds 18.12",
    ):
        assert re.sub(r"\s+", " ", said) in re.sub(r"\s+", " ", text)


def test_marks_of_the_gap_stand_where_the_numbers_say(page: Chromium) -> None:
    x = page.evaluate(
        """[...document.querySelectorAll('.gap tbody tr')].map((row) =>
        [...row.querySelectorAll('.end, .point')].map((mark) => {
            const box = mark.getBoundingClientRect();
            return box.x + box.width / 2;
        }))"""
    )
    shares = [(point - classic) / (real - classic) for classic, real, point in x]
    assert shares == pytest.approx([0.24, 0.04], abs=0.01)


def test_bold_is_what_is_better_beyond_chance(page: Chromium) -> None:
    bold = page.evaluate(
        """[...document.querySelectorAll('#headline td b')].map((number) =>
        [number.closest('tr').dataset.metric, number.closest('td').cellIndex])"""
    )
    assert bold == [["copied", 2], ["clicks", 2], ["collapse", 2]]  # the gaps' intervals meet; real is no contestant


def test_strangest_first_and_what_is_odd_is_shown(page: Chromium) -> None:
    names = page.evaluate("[...document.querySelectorAll('.clip .name')].map((name) => name.textContent)")
    assert names == [clip for _, clip in PLAYED]
    assert "usual 9.10 to 10.90" in page.evaluate(f"document.querySelector('{card(0)} .oddities').innerText")
    assert "No metric is outside what is usual." in page.evaluate(f"document.querySelector('{card(3)}').innerText")
    rows = page.evaluate("[...document.querySelectorAll('.system tbody th')].map((name) => name.textContent)")
    assert rows[:5] == ["clip-4", "clip-3", "clip-2", "clip-1", "clip-0"]


def test_one_plays_at_a_time_from_where_one_clicks(page: Chromium) -> None:
    page.click(f"{card(0)} .play")
    playing(page, 0)
    assert page.evaluate("player.decoded.buffer.duration") == pytest.approx(SECONDS, abs=1e-4)
    at = page.evaluate("player.current.at")
    page.wait_for(f"player.current.at > {at + 0.1}")  # it goes on
    page.click(f"{card(4)} .play")
    playing(page, 4)
    page.click(f"{card(1)} .seen input", 0.5)
    playing(page, 1)
    assert 3 <= page.evaluate("player.current.at") < SECONDS
    assert page.evaluate(f"parseFloat(document.querySelector('{card(1)} .head').style.left)") >= 50
    page.evaluate("player.seek(player.current, 5.8)")
    page.wait_for("!player.playing")
    assert page.evaluate(f"document.querySelector('{card(1)} .time').textContent") == "0:06.0 / 0:06.0"


def test_marks_are_shown_in_place_and_jump_there(page: Chromium) -> None:
    found = page.evaluate(
        f"[...document.querySelectorAll('{card(0)} .mark')].map((m) => [m.style.left, m.style.width])"
    )
    assert [(float(left[:-1]), float(width[:-1])) for left, width in found] == [
        pytest.approx((100 * 0.5 / SECONDS, 100 * 0.75 / SECONDS), abs=0.01),
        pytest.approx((100 * 1.5 / SECONDS, 0), abs=0.01),
        pytest.approx((100 * 4.0 / SECONDS, 0), abs=0.01),
    ]
    lines = page.evaluate(f"[...document.querySelectorAll('{card(0)} .marks li')].map((line) => line.textContent)")
    assert lines == [f"verbatim from {EVIL} @ 3.25 s0:00.5", "click \N{MULTIPLICATION SIGN} 20:01.50:04.0"]
    for moment, start in ((4.0, 3.75), (0.5, 0.25)):  # a little before, as a lead-in
        page.evaluate(STARTS)
        page.click(f"{card(0)} .marks [data-start='{moment:g}']")
        playing(page, 0)
        assert page.evaluate("window.starts") == [start]


def test_shortcuts(page: Chromium) -> None:
    page.press(" ")
    playing(page, 0)
    page.press(" ")
    assert not page.evaluate("player.playing")
    at = page.evaluate("player.tracks[0].at")
    page.press("ArrowRight")
    assert page.evaluate("player.tracks[0].at") == pytest.approx(at + 1, abs=1e-3)
    page.press(*["ArrowLeft"] * 7)
    assert page.evaluate("player.tracks[0].at") == 0
    page.press("n")
    playing(page, 1)
    page.press("p")
    playing(page, 0)
    page.evaluate(STARTS)
    page.press("m")
    playing(page, 0)
    assert page.evaluate("window.starts") == [0.25]
    page.press(" ")
    page.evaluate(f"document.querySelector('{card(2)} .play').focus()")
    page.press(" ")  # the button's own
    playing(page, 2)
    page.press("Enter")
    assert not page.evaluate("player.playing")


def test_equally_loud_or_as_rendered(page: Chromium) -> None:
    page.press(" ")
    playing(page, 0)
    assert page.evaluate("player.volume.gain.value") == 1
    page.click("#equal")
    for n in (0, 6):
        page.evaluate(f"player.play(player.tracks[{n}])")
        playing(page, n)
        loudest = f"{DECODE.format(n)}.then((samples) => samples.reduce((a, b) => Math.max(a, Math.abs(b)), 0) / 32768)"
        made = float(np.abs(sounds(*PLAYED[n])).max())
        assert page.evaluate(loudest) * page.evaluate("player.volume.gain.value") == pytest.approx(made, abs=2 / 32768)


def test_what_the_speakers_get_is_the_clip(page: Chromium) -> None:
    page.press(" ")
    playing(page, 0)
    page.evaluate("window.probe = new AnalyserNode(player.context, {fftSize: 2048}); player.volume.connect(probe)")
    page.wait_for(
        "(probe.getFloatTimeDomainData(window.played = new Float32Array(2048)), played.every((s) => s !== 0))"
    )
    output = np.array(page.evaluate("Array.from(played)"))
    clip, _ = soundfile.read(io.BytesIO(base64.b64decode(page.evaluate("$('sound-0').textContent"))))
    alike = np.correlate(clip, output, "valid") / np.linalg.norm(output)
    energy = np.sqrt(np.convolve(clip**2, np.ones(len(output)), "valid"))
    assert (alike / energy).max() > 0.999


def flacs(path: Path) -> list[str]:
    return re.findall(r'<script type="text/plain" id="sound-\d+">([^<]*)</script>', path.read_text())


def test_the_browser_decodes_what_was_rendered_at_one_loudness(page: Chromium, path: Path) -> None:
    texts = flacs(path)
    assert len(texts) == len(PLAYED)
    for text, names in zip(texts, PLAYED, strict=True):
        samples, sample_rate = soundfile.read(io.BytesIO(base64.b64decode(text)), dtype="int16")
        made = sounds(*names)
        assert sample_rate == 44_100
        gain = np.abs(samples).max() / np.abs(made).max()
        assert np.abs(samples - made * gain).max() <= 2  # of 32768: rounding, of the samples and of the gain
        assert pyloudnorm.Meter(44_100).integrated_loudness(samples / 32768) == pytest.approx(-23, abs=0.1)
    decoded = page.evaluate(DECODE.format(0))
    assert decoded == soundfile.read(io.BytesIO(base64.b64decode(texts[0])), dtype="int16")[0].tolist()


def test_fingers_on_a_phone(page: Chromium) -> None:
    page.resize(360, 640, mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.tap(f"{card(1)} .play")
    playing(page, 1)
    page.tap(f"{card(0)} .marks button")
    playing(page, 0)


def test_names_are_never_read_as_html(path: Path) -> None:
    text, page = path.read_text(), (files("pipeline.web") / "report/page.html").read_text()
    assert text.count("<script") == page.count("<script") + len(PLAYED)
    assert "<img" not in text
    assert "&lt;img src=x" in text  # in the title


def test_a_report_without_anchors_clips_or_notes(browser: Chromium, tmp_path: Path) -> None:
    alone = SystemResult("ours", "system", "What it is.", 1, 2.0, {"clicks": Value(3.0)}, (), ())
    write_page(replace(REPORT, title="ours", systems=(alone,), notes=()), sounds, tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    browser.press(" ")
    shown = browser.evaluate(
        "[...document.querySelectorAll('section')].filter((s) => s.checkVisibility()).map((s) => s.id)"
    )
    assert shown == ["summary", "metrics", "about"]
    assert "3.0" in browser.evaluate("document.querySelector('#headline').innerText")


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html: cannot be written: is a directory"):
        write_page(replace(REPORT, systems=()), sounds, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]
