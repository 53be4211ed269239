"""The page of an evaluation: one file to read, look at and listen to, which asks no network for anything.

report ----------------> shown: what is told of it, clips in order ---> report.html
waveforms of clips ----> sounds: FLAC, outline, picture ------------^
"""

import html
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from pipeline.evaluation.report.data import Report
from pipeline.evaluation.report.page.shown import show
from pipeline.evaluation.report.page.sounds import prepare
from pipeline.files import write_whole
from pipeline.web.pages import assemble, to_json
from waveforms.audio import Waveform

SCRIPTS = ("elements.js", "summary.js", "measures.js", "histograms.js", "player.js", "clips.js", "keys.js")


def write_page(report: Report, sounds: Callable[[str, str], Waveform], path: Path, *, n_clips: int = 4) -> None:
    """Write a report as a page that plays the worst and the best clips of every system.

    Args:
        report: what it tells.
        sounds: gives the waveform, (n_samples,), of a clip from the names of its system and itself.
        path: of the page; it appears when it is complete.
        n_clips: of each system that can be heard, half of them the worst; of an anchor half as many.

    Raises:
        OutputError: it cannot be written.
    """
    shown = show(report, n_clips)
    flacs: list[tuple[str, str]] = []
    for system in shown["systems"]:
        for clip in system["clips"]:
            if clip["rank"]:
                sound = prepare(sounds(system["name"], clip["name"]))
                clip["sound"] = {"id": f"sound-{len(flacs)}"} | sound.to_json()
                flacs.append((f"sound-{len(flacs)}", sound.flac))
    data = {"/* title */": html.escape(report.title), "/* report */": to_json(shown)}
    write_whole(path, assemble(files("pipeline.evaluation.report.page"), SCRIPTS, data, flacs))
