"""The whole evaluation: gather, listen to every clip once, compare, report."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from pipeline import __version__
from pipeline.codecs import make_codec
from pipeline.errors import EvaluationError
from pipeline.evaluation import aisfx, basic_pitch, musicnn
from pipeline.evaluation.aggregation import MeasuredClip, clip_results, histograms_of, measure, system_values
from pipeline.evaluation.analysis import Ears
from pipeline.evaluation.ancestor import anchor_settings
from pipeline.evaluation.cache import RememberingEars
from pipeline.evaluation.distances import FAR, N_REPLICATES, NEAR, distances_of
from pipeline.evaluation.embeddings import NAMES, Vectors
from pipeline.evaluation.landmarks import LandmarkIndex
from pipeline.evaluation.metrics import Metric, metrics
from pipeline.evaluation.report import Report, SystemResult, Value
from pipeline.evaluation.request import Entrant, Gathered, Request, Stage
from pipeline.evaluation.segments import Cut
from pipeline.evaluation.systems import Gatherer
from waveforms.audio import Waveform


@dataclass(frozen=True)
class Evaluation:
    """A report, and the sounds it speaks of.

    Attributes:
        report: what was found.
        cuts: {system: {clip: where to read it}}.
    """

    report: Report
    cuts: dict[str, dict[str, Cut]]

    def sound(self, system: str, clip: str) -> Waveform:
        """A clip's waveform, (n_samples,)."""
        return self.cuts[system][clip].read()


def evaluate(request: Request, stage: Stage) -> Evaluation:
    """Evaluate.

    Args:
        request: what, and how.
        stage: told of each stage and how it goes on.

    Raises:
        EvaluationError: clips are too short for the ears, too few, or there is no reference.
        QuarterwaveError: a folder, a checkpoint or an output cannot be used.
    """
    since = time.perf_counter()
    gatherer = Gatherer(request, stage)
    ears = ears_for(request)
    gathered = gatherer.gather()
    advanced = stage("listening", (1 + len(gathered.entrants)) * len(gathered.reference))
    remembering = RememberingEars(ears)
    reference = _listened(remembering, gathered.reference, None, advanced)
    measured = {each.name: _listened(remembering, each.cuts, each.index, advanced) for each in gathered.entrants}
    remembering.tidy()
    shown = metrics(continued=any(each.continuation for each in gathered.entrants), thorough=request.thorough)
    systems = _systems(gathered, reference, measured, shown, request.seed, stage)
    return Evaluation(
        Report(
            title=_title(gathered),
            reference=_reference_of(gathered),
            clip_seconds=request.seconds,
            seed=request.seed,
            versions=_versions(ears),
            metrics=shown,
            systems=systems,
            notes=(*gathered.notes, *_without_notes(reference), *_without_gap(systems)),
            seconds=time.perf_counter() - since,
        ),
        {each.name: {cut.name: cut for cut in each.cuts} for each in gathered.entrants},
    )


def ears_for(request: Request) -> Ears:
    """Load the ears, after checking of a request what needs no checkpoint.

    Raises:
        EvaluationError: a number is not legal, clips are too short for the ears, or these cannot be had.
        SettingsError: the length is not one of whole blocks.
    """
    if request.n_clips < 2:
        raise EvaluationError(f"clips must be at least 2 and not {request.n_clips}")
    if request.seed < 0:
        raise EvaluationError(f"seed must be at least 0 and not {request.seed}")
    make_codec(anchor_settings().codec).n_blocks_in(request.seconds)
    ears = Ears(thorough=request.thorough)
    if request.seconds < ears.least_seconds:
        raise EvaluationError(
            f"a clip must last {ears.least_seconds:.2f} s for all ears to hear it, and not {request.seconds:g} s"
        )
    return ears


def _listened(
    ears: RememberingEars, cuts: Sequence[Cut], index: LandmarkIndex | None, advanced: Callable[[int], None]
) -> list[MeasuredClip]:
    found: list[MeasuredClip] = []
    for cut in cuts:
        if found and found[-1].cut.part is cut.part:  # the same sound again, as in silence
            found.append(replace(found[-1], cut=cut))
        else:
            found.append(measure(ears, cut, index))
        advanced(1)
    return found


def _systems(
    gathered: Gathered,
    reference: list[MeasuredClip],
    measured: dict[str, list[MeasuredClip]],
    shown: Sequence[Metric],
    seed: int,
    stage: Stage,
) -> tuple[SystemResult, ...]:
    advanced = stage("comparing", N_REPLICATES + len(measured))
    distances = distances_of(
        _vectors(reference), {name: _vectors(clips) for name, clips in measured.items()}, seed=seed, advanced=advanced
    )
    return tuple(
        _system(entrant, measured, distances[entrant.name], reference, shown, seed) for entrant in gathered.entrants
    )


def _system(
    entrant: Entrant,
    measured: dict[str, list[MeasuredClip]],
    distances: dict[str, Value],
    reference: list[MeasuredClip],
    shown: Sequence[Metric],
    seed: int,
) -> SystemResult:
    clips, real = measured[entrant.name], measured["real"]
    continuation, resynthesis = (measured.get(name, []) for name in (entrant.continuation, entrant.resynthesis))
    values = distances | system_values(clips, reference, real, continuation, resynthesis, seed=seed) | entrant.skill
    return SystemResult(
        name=entrant.name,
        kind=entrant.kind,
        description=entrant.about,
        n_clips=len(clips),
        seconds=sum(clip.seconds for clip in clips),
        values={metric.id: values[metric.id] for metric in shown if metric.id in values},
        clips=clip_results(clips, reference),
        histograms=histograms_of(clips),
        facts=entrant.facts,
    )


def _vectors(clips: Sequence[MeasuredClip]) -> dict[str, list[Vectors]]:
    return {name: [clip.vectors[name] for clip in clips] for name in NAMES}


def _title(gathered: Gathered) -> str:
    names = ", ".join(each.name for each in gathered.entrants if each.kind == "system")
    return f"{names} against {', '.join(Path(place).name for place in gathered.corpus.places)}"


def _without_gap(systems: Sequence[SystemResult]) -> list[str]:
    if systems[0].values["gap_closed"].value is not None:
        return []
    return [f"there is no gap to close: the anchor {FAR} is no further from the reference than {NEAR} is"]


def _without_notes(reference: Sequence[MeasuredClip]) -> list[str]:
    if any(clip.notes["quick"].n_notes for clip in reference):
        return []
    return ["no notes are heard in the reference, so there are no distances of notes"]


def _reference_of(gathered: Gathered) -> dict[str, str | float]:
    return {
        "folder": gathered.corpus.where,
        "n_recordings": len(gathered.corpus),
        "seconds": gathered.corpus.seconds,
        "n_clips": len(gathered.reference),
    }


def _versions(ears: Ears) -> dict[str, str]:
    versions = {"quarterwave": __version__, "python": platform.python_version()}
    versions |= {name: version(name) for name in ("torch", "numpy")}
    versions |= {each.PUBLISHED.package: each.PUBLISHED.version for each in (musicnn, aisfx, basic_pitch)}
    return versions | {"transcriber": ears.transcriber}
