"""A small report: two systems and two anchors, with sounds of a few seconds."""

from functools import cache

import numpy as np

from pipeline.evaluation.catalogue import MEASURES
from pipeline.evaluation.report import Clip, Histogram, Kind, Mark, Report, System, Value
from tests.pipeline.conftest import melody
from waveforms.audio import Waveform

SECONDS = 6.0  # long enough that a busy machine looks before they end
EVIL = '<script>window.harmed = 1</script>.wav "\'&amp; <!--</script><img src=x onerror="window.harmed = 1">'
SHOWN = ("gap_closed", "notes_per_second", "copied", "clicks", "collapse", "loudness")
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@cache
def sounds(system: str, clip: str) -> Waveform:
    """Notes that differ from clip to clip; the clips of `ours` are 20 dB quieter."""
    waveform = melody(sum(map(ord, system + clip)), SECONDS)
    return waveform * np.float32(0.1 if system == "ours" else 1.0)


def _values(level: float, *, anchor: bool) -> dict[str, Value]:
    values = {name: Value(level * (n + 1), level * n, level * (n + 2)) for n, name in enumerate(SHOWN)}
    values["loudness"] = Value(None)
    if anchor:
        del values["gap_closed"]
    return values


def _clip(name: str, strangeness: float, marks: tuple[Mark, ...] = ()) -> Clip:
    values = {"notes_per_second": Value(10 * strangeness), "clicks": Value(float(len(marks)))}
    return Clip(name, f"/music/{name} @ 0 s", values, strangeness, marks)


def _system(name: str, kind: Kind, level: float, clips: tuple[Clip, ...]) -> System:
    rng = np.random.default_rng(len(name))
    shares = rng.dirichlet(np.ones(12))
    histogram = Histogram("pitch_classes", "pitch classes", "share of notes", NAMES, tuple(shares.tolist()))
    values = _values(level, anchor=kind == "anchor")
    return System(name, kind, f"What {name} is.", len(clips), len(clips) * SECONDS, values, clips, (histogram,))


def small_report() -> Report:
    """Give a report whose strangest clip is `clip-4` of `ours`, with three marks; names try to break the page."""
    clicks = [Mark("clicks", start, 0.0, "click") for start in (1.5, 4.0)]
    marks = (Mark("copied", 0.5, 0.75, f"verbatim from {EVIL} @ 3.25 s"), *clicks)
    mine = tuple(_clip(f"clip-{n}", 1.0 + n / 2, marks if n == 4 else ()) for n in range(5))
    theirs = (_clip(EVIL, float("inf")), _clip("b.wav", 1.5))
    real = tuple(_clip(f"real-{n}", 0.9 + n / 10) for n in range(3))
    return Report(
        title=f"ours and {EVIL}",
        reference={"folder": EVIL, "n_recordings": 3, "seconds": 18.123456},
        clip_seconds=SECONDS,
        seed=7,
        versions={"quarterwave": "0.1.0"},
        measures=tuple(measure for measure in MEASURES if measure.id in SHOWN),
        systems=(
            _system("ours", "system", 24.0, mine),
            _system(EVIL, "system", 4.0, theirs),
            _system("real", "anchor", 1.2, real),
            _system("noise", "anchor", -3.5, ()),
        ),
        notes=(f"left out: {EVIL}", f"left out: {'recordings/' * 12}", "few clips: intervals are wide"),
        seconds=12.3,
    )
