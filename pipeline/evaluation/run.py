"""The whole evaluation: collect, measure every clip once, compare, report."""

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline import __version__
from pipeline.errors import EvaluationError
from pipeline.evaluation.aggregation import MeasuredClip, clip_results, histograms_of, measure, system_values
from pipeline.evaluation.analysis import Analyser, CachedAnalyser
from pipeline.evaluation.clips import Segment, System
from pipeline.evaluation.distances import FAR, N_REPLICATES, NEAR, distances_of
from pipeline.evaluation.landmarks import LandmarkIndex
from pipeline.evaluation.metrics import Metric, metrics
from pipeline.evaluation.page import write_page
from pipeline.evaluation.report import Report, SystemResult, Value
from pipeline.evaluation.request import EvaluationRequest, StartTask
from pipeline.evaluation.systems import Collection, Collector
from pipeline.pretrained import aisfx, basic_pitch, musicnn
from pipeline.pretrained.embeddings import NAMES, Vectors
from waveforms.audio import Waveform
from waveforms.files import write_whole


@dataclass(frozen=True)
class Evaluation:
    """A report, and the sounds that it describes.

    Attributes:
        report: what was measured.
        segments: {system: {clip: where to read it}}.
    """

    report: Report
    segments: dict[str, dict[str, Segment]]

    def sound(self, system: str, clip: str) -> Waveform:
        """The waveform of a clip, (n_samples,)."""
        return self.segments[system][clip].read()

    def write(self, folder: Path) -> None:
        """Write `report.html` and `report.json`, over those that are there.

        Raises:
            OutputError: one cannot be written.
        """
        write_page(self.report, self.sound, folder / "report.html")
        document = json.dumps(self.report.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(folder / "report.json", document + "\n")


def evaluate(
    request: EvaluationRequest, start: StartTask = lambda description, n_parts: lambda n_done: None
) -> Evaluation:
    """Measure systems and anchors, and compare them with the reference.

    Args:
        request: what to evaluate, and how. Clips of checkpoints are rendered into `request.out`.
        start: called when a task begins, with its description and its number of parts; what it returns is called with
            the number of parts just done.

    Raises:
        EvaluationError: clips are too short for the networks, too few, or there is no reference.
        QuarterwaveError: a folder, a checkpoint or an output cannot be used.
    """
    since = time.perf_counter()
    collector = Collector(request, start)
    analyser = load_analyser(request)
    collection = collector.collect()
    advanced = start("measuring", (1 + len(collection.systems)) * len(collection.reference))
    cached = CachedAnalyser(analyser)
    reference = _measured(cached, collection.reference, None, advanced)
    measured = {each.name: _measured(cached, each.segments, each.index, advanced) for each in collection.systems}
    cached.prune()
    shown = metrics(continued=any(each.continuation for each in collection.systems), thorough=request.thorough)
    systems = _results(collection, reference, measured, shown, request.seed, start)
    return Evaluation(
        Report(
            title=_title(collection),
            reference=_reference_of(collection),
            clip_seconds=request.seconds,
            seed=request.seed,
            versions=_versions(analyser),
            metrics=shown,
            systems=systems,
            notes=(*collection.notes, *_without_notes(reference), *_without_gap(systems)),
            seconds=time.perf_counter() - since,
        ),
        {each.name: {segment.name: segment for segment in each.segments} for each in collection.systems},
    )


def load_analyser(request: EvaluationRequest) -> Analyser:
    """Load the networks that a request needs.

    Raises:
        EvaluationError: clips are too short for them, or they cannot be had.
    """
    analyser = Analyser(thorough=request.thorough)
    if request.seconds < analyser.least_seconds:
        raise EvaluationError(
            f"a clip must last {analyser.least_seconds:.2f} s for all networks to embed it, "
            f"and not {request.seconds:g} s"
        )
    return analyser


def _measured(
    analyser: CachedAnalyser, segments: Sequence[Segment], index: LandmarkIndex | None, advanced: Callable[[int], None]
) -> list[MeasuredClip]:
    found = []
    for segment in segments:
        found.append(measure(analyser, segment, index))
        advanced(1)
    return found


def _results(
    collection: Collection,
    reference: list[MeasuredClip],
    measured: dict[str, list[MeasuredClip]],
    shown: Sequence[Metric],
    seed: int,
    start: StartTask,
) -> tuple[SystemResult, ...]:
    advanced = start("comparing", N_REPLICATES + len(measured))
    distances = distances_of(
        _vectors(reference), {name: _vectors(clips) for name, clips in measured.items()}, seed=seed, advanced=advanced
    )
    return tuple(
        _result(system, measured, distances[system.name], reference, shown, seed) for system in collection.systems
    )


def _result(
    system: System,
    measured: dict[str, list[MeasuredClip]],
    distances: dict[str, Value],
    reference: list[MeasuredClip],
    shown: Sequence[Metric],
    seed: int,
) -> SystemResult:
    clips, real = measured[system.name], measured["real"]
    continuation, resynthesis = (measured.get(name, []) for name in (system.continuation, system.resynthesis))
    values = distances | system_values(clips, reference, real, continuation, resynthesis, seed=seed) | system.skill
    return SystemResult(
        name=system.name,
        kind=system.kind,
        description=system.description,
        n_clips=len(clips),
        seconds=sum(clip.seconds for clip in clips),
        values={metric.id: values[metric.id] for metric in shown if metric.id in values},
        clips=clip_results(clips, reference),
        histograms=histograms_of(clips),
        facts=system.facts,
    )


def _vectors(clips: Sequence[MeasuredClip]) -> dict[str, list[Vectors]]:
    return {name: [clip.vectors[name] for clip in clips] for name in NAMES}


def _title(collection: Collection) -> str:
    names = ", ".join(each.name for each in collection.systems if each.kind == "system")
    return f"{names} against {', '.join(Path(place).name for place in collection.corpus.places)}"


def _without_gap(systems: Sequence[SystemResult]) -> list[str]:
    if systems[0].values["gap_closed"].value is not None:
        return []
    return [f"there is no gap to close: the anchor {FAR} is no further from the reference than {NEAR} is"]


def _without_notes(reference: Sequence[MeasuredClip]) -> list[str]:
    if any(clip.notes["quick"].n_notes for clip in reference):
        return []
    return ["the transcriber finds no notes in the reference, so there are no distances of notes"]


def _reference_of(collection: Collection) -> dict[str, str | float]:
    return {
        "folder": collection.corpus.where,
        "n_recordings": len(collection.corpus),
        "seconds": collection.corpus.seconds,
        "n_clips": len(collection.reference),
    }


def _versions(analyser: Analyser) -> dict[str, str]:
    versions = {"quarterwave": __version__, "python": platform.python_version()}
    versions |= {name: version(name) for name in ("torch", "numpy")}
    versions |= {each.PUBLISHED.package: each.PUBLISHED.version for each in (musicnn, aisfx, basic_pitch)}
    return versions | {"transcriber": analyser.transcriber}
