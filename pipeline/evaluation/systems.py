"""Collecting what is measured: the reference, the user's systems and the anchors, as equal numbers of clips."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pipeline import checkpoint as checkpoints
from pipeline.checkpoint import Checkpoint, Excerpt
from pipeline.config import SECTIONS
from pipeline.errors import EvaluationError
from pipeline.evaluation import anchors
from pipeline.evaluation.clips import Folder, Segment, System, choose_from_groups, read_folder
from pipeline.evaluation.continuation import (
    RESYNTHESIS,
    ContinuationAnchors,
    ContinuedPrompt,
    choose_continued,
    prompt_sources,
)
from pipeline.evaluation.corpora import Corpora, counted, places_of
from pipeline.evaluation.landmarks import LandmarkIndex
from pipeline.evaluation.prediction import measure_skill
from pipeline.evaluation.rendering import PROMPT_SECONDS, make_prompts, roll_out
from pipeline.evaluation.report import Fact, Kind, Value
from pipeline.evaluation.request import EvaluationRequest, StartTask, resolve
from pipeline.prompts import Prompt
from pipeline.training.lineage import ancestors_with, held_out_but_learned, trained_on
from pipeline.training.pieces import choose_excerpts, fitted_to, pieces_of
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.corpus.cache import touch
from waveforms.corpus.places import Place
from waveforms.errors import CorpusError


@dataclass(frozen=True)
class Collection:
    """Everything that is measured.

    Attributes:
        corpus: the recordings of the reference.
        reference: the clips of the reference.
        systems: those of the user, then the anchors.
        notes: sentences that a reader must know.
    """

    corpus: Corpus
    reference: list[Segment]
    systems: list[System]
    notes: list[str]


class Collector:
    """Finds and renders what a request asks for; see `collect`."""

    def __init__(self, request: EvaluationRequest, start: StartTask) -> None:
        """Check what can be checked before anything takes time.

        Raises:
            EvaluationError: there is no reference, or clips would be rendered over those to be measured.
            CheckpointError: a checkpoint cannot be read.
        """
        self._request = request
        self._start = start
        self._n_samples = round(request.seconds * SAMPLE_RATE)
        self._classic = resolve(request.classic) if request.classic else None
        _check_apart(request, renders_classic=self._classic is None or self._classic[1])
        paths = [system.path for system in request.paths if system.is_checkpoint]
        documents = [checkpoints.read_document(path) for path in paths]
        if self._classic and self._classic[1]:
            checkpoints.read_document(self._classic[0])
        self._corpora = Corpora(request, start)
        self._reference: Sequence[Place]
        if request.reference:
            self._reference = [request.reference]
        else:
            self._reference = request.corpus.places if request.corpus else places_of(documents, paths)
        self._notes: list[str] = []
        self._prompts: Sequence[Prompt] = []  # of the first checkpoint; and what goes on from them
        self._continuation = ""
        self._continuations = ContinuationAnchors(request.out / "clips", self._n_samples, start)

    def collect(self) -> Collection:
        """Open, divide, train and render.

        Raises:
            EvaluationError: there is too little of something.
            QuarterwaveError: a folder, a checkpoint or an output cannot be used.
        """
        request, seed = self._request, self._request.seed
        corpus = self._corpora.open(*self._reference)
        self._notes += [f"left out: {p}" for p in corpus.problems if not p.reason.startswith("not audio")]
        ours, theirs = anchors.halves([(recording, str(recording.path)) for recording in corpus], self._n_samples)
        folders = {system.name: self._folder(system.path) for system in request.paths if not system.is_checkpoint}
        if self._classic and not self._classic[1]:
            folders["classic"] = self._folder(self._classic[0])
        given = {"the reference": ours, "the anchor real": theirs}
        given |= {name: folder.segments for name, folder in folders.items()}
        n_clips = self._least({name: sum(map(len, groups)) for name, groups in given.items()})
        systems = []
        for system in request.paths:
            if system.is_checkpoint:
                systems.append(self._checkpoint(system.name, system.path, n_clips))
            else:
                systems.append(self._clips(system.name, "system", system.path, folders[system.name], n_clips))
        real = choose_from_groups(theirs, n_clips)
        shuffled = anchors.shuffled(real, n_clips, seed=seed)
        systems += [
            System("real", "anchor", "other clips of the reference's recordings", real),
            *self._continuations.systems.values(),
            self._classic_anchor(corpus, folders, n_clips),
            System("shuffled", "anchor", "blocks of real, in any order", shuffled),
            System("noise", "anchor", "white noise", anchors.noise(n_clips, self._n_samples, seed=seed)),
            System("silence", "anchor", "nothing", anchors.silence(n_clips, self._n_samples)),
        ]
        return Collection(corpus, choose_from_groups(ours, n_clips), systems, self._notes)

    def _folder(self, path: Path) -> Folder:
        folder = read_folder(path, self._n_samples, counted(self._start, f"reading {path.name}"))
        self._notes += folder.notes
        return folder

    def _least(self, given: dict[str, int]) -> int:
        """The number of clips that every system has."""
        wanted = self._request.n_clips
        scarcest = min(given, key=lambda name: given[name])
        n_clips = min(wanted, given[scarcest])
        if n_clips < 2:
            raise EvaluationError(
                f"two clips or more of {self._request.seconds:g} s are needed on every side, and {scarcest} gives "
                f"{given[scarcest]}; add recordings, or take a smaller --seconds"
            )
        if n_clips < wanted:
            self._notes.append(f"{n_clips} clips of each are measured and not {wanted}: {scarcest} gives no more")
        return n_clips

    def _clips(self, name: str, kind: Kind, path: Path, folder: Folder, n_clips: int) -> System:
        index = self._corpora.index_named()
        if kind == "system" and index is None:
            self._notes.append(
                f"{name}: copies are not looked for, as it is not known what it was trained on; say so "
                "with --trained-on FOLDER"
            )
        return System(name, kind, f"clips of {path}", choose_from_groups(folder.segments, n_clips), index)

    def _classic_anchor(self, corpus: Corpus, folders: dict[str, Folder], n_clips: int) -> System:
        """The anchor's clips; its model is trained now, if none was given and it never was."""
        if self._classic:
            path, is_checkpoint = self._classic
            if not is_checkpoint:
                return self._clips("classic", "anchor", path, folders["classic"], n_clips)
            return self._rendered_classic(path, n_clips, None)
        settings = anchors.classic_settings()
        path = anchors.classic_path(corpus, settings)
        if not path.exists():
            advanced = self._start("training the anchor classic", settings.training.steps)
            anchors.train_classic(corpus, settings, path, advanced)
            self._notes.append(f"the anchor classic was trained on the reference, once, and is kept: {path}")
        touch(path)
        return self._rendered_classic(path, n_clips, corpus)

    def _rendered_classic(self, path: Path, n_clips: int, corpus: Corpus | None) -> System:
        """The anchor, from the prompts of the first checkpoint where there is one."""
        loaded = checkpoints.load(path)
        if not self._prompts:
            loaded.excerpts = self._excerpts("classic", loaded)
        prompts = self._prompts or make_prompts(loaded, n_clips, seed=self._request.seed)
        system = self._rendered("classic", "anchor", path, loaded, prompts, corpus)
        return replace(system, continuation=self._continuation) if self._prompts else system

    def _checkpoint(self, name: str, path: Path, n_clips: int) -> System:
        """The user's checkpoint, from prompts whose recordings go on long enough if there are any."""
        loaded = checkpoints.load(path)
        loaded.excerpts = self._excerpts(name, loaded)
        continued = self._continued_prompts(name, loaded, path, n_clips)
        prompts = [each.prompt for each in continued] or make_prompts(loaded, n_clips, seed=self._request.seed)
        is_first = not self._prompts
        self._prompts = self._prompts or prompts
        system = self._rendered(name, "system", path, loaded, prompts, None)
        if not continued:
            return system
        names = self._continuations.add(name, loaded, continued)
        if is_first:
            self._continuation = names.continuation
        return replace(system, continuation=names.continuation, resynthesis=names.resynthesis)

    def _rendered(
        self, name: str, kind: Kind, path: Path, loaded: Checkpoint, prompts: Sequence[Prompt], corpus: Corpus | None
    ) -> System:
        """Render a checkpoint; `corpus` is what it was trained on, where that is not in the places its split names."""
        seed, folder = self._request.seed, self._request.out / "clips" / name
        advanced = self._start(f"rendering {name}", len(prompts) * self._n_samples)
        segments = roll_out(loaded, path, prompts, folder, self._request.seconds, seed=seed, advanced=advanced)
        index, skill = self._copies_and_skill(name, loaded, corpus)
        description = f"checkpoint {path}, preset {loaded.settings.preset}"
        return System(name, kind, description, segments, index, facts_of(loaded), skill)

    def _copies_and_skill(
        self, name: str, loaded: Checkpoint, corpus: Corpus | None
    ) -> tuple[LandmarkIndex | None, dict[str, Value]]:
        """What a checkpoint may have copied from, and its skill, as far as its recordings are here."""
        try:
            learned = corpus or self._corpora.of(loaded)
        except (CorpusError, EvaluationError) as error:
            self._notes.append(f"{name}: no copies and no skill: {error}")
            return None, {}
        index, skill = None, {}
        try:
            index = self._corpora.index_of(loaded, learned)
            if loaded.ancestors and not self._request.trained_on:
                self._notes.append(f"{name}: copies of what its ancestors were trained on are not found")
        except (CorpusError, EvaluationError) as error:
            self._notes.append(f"{name}: no copies: {error}")
        if known := held_out_but_learned(loaded.split, loaded.ancestors):
            self._notes.append(
                f"{name}: {len(known)} of the {len(loaded.split['validation'])} recordings that it holds out are of "
                "works that it was trained on, so its skill is not that on unseen music"
            )
        try:
            progress = counted(self._start, f"skill of {name}")
            skill = measure_skill(loaded, learned, seed=self._request.seed, progress=progress)
        except EvaluationError as error:
            self._notes.append(f"{name}: no skill: {error}")
        return index, skill

    def _excerpts(self, name: str, loaded: Checkpoint) -> list[Excerpt]:
        folder = self._request.prompts
        if not folder:
            return loaded.excerpts
        corpus = self._corpora.open(folder)
        learned = trained_on(ancestors_with(loaded))
        if n_learned := sum(recording in learned for recording in corpus):
            self._notes.append(
                f"{name}: of the {len(corpus)} recordings of {folder}, from which clips go on, it was trained on "
                f"{n_learned}, or on their works"
            )
        return choose_excerpts(fitted_to(pieces_of(corpus, loaded.codec), loaded.codec))

    def _continued_prompts(self, name: str, loaded: Checkpoint, path: Path, n_clips: int) -> list[ContinuedPrompt]:
        """Prompts whose recordings go on long enough; none if there are no such."""
        sources = prompt_sources(loaded.excerpts, self._corpora.of_prompts(loaded), path, loaded.codec.block_size)
        n_short = sum(source.n_places(self._n_samples) == 0 for source in sources)
        long_enough = f"a prompt of {PROMPT_SECONDS:g} s and {self._request.seconds:g} s more"
        if n_short == len(sources):
            self._notes.append(
                f"{name}: the anchors continuation and resynthesis are left out, as no recording at hand has room for "
                f"{long_enough}"
            )
            return []
        if n_short:
            self._notes.append(
                f"{name}: no clip begins from {n_short} of {len(sources)} excerpts: no room for {long_enough}"
            )
        return choose_continued(sources, self._n_samples, n_clips, seed=self._request.seed)


def facts_of(checkpoint: Checkpoint) -> dict[str, Fact]:
    """Settings by name, and steps, minutes and loss of the weights in this file.

    The figures of a run's best checkpoint end at its best step. The loss compares within one codec alone.
    """
    settings = checkpoint.settings
    facts: dict[str, Fact] = {"preset": settings.preset}
    for section in SECTIONS:
        values = asdict(getattr(settings, section))
        facts |= {"steps at most" if name == "steps" else name: value for name, value in values.items()}
    facts["training recordings"] = len(checkpoint.split["training"])
    facts["weights"] = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    if checkpoint.history:
        last = checkpoint.history[-1]
        facts["steps"] = last["step"]
        facts["minutes of these steps"] = last["seconds"] / 60
        facts["held-out loss"] = last["loss"]
    return facts


def _check_apart(request: EvaluationRequest, *, renders_classic: bool) -> None:
    """Refuse to render over what is to be measured.

    Raises:
        EvaluationError: a folder that clips are rendered into holds clips to be measured, or the other way round.
    """
    names = [system.name for system in request.paths if system.is_checkpoint]
    names += [RESYNTHESIS, *(f"{RESYNTHESIS} of {name}" for name in names)] if names else []
    names += ["classic"] * renders_classic
    for measured in (system.path for system in request.paths if not system.is_checkpoint):
        for folder in (request.out / "clips" / name for name in names):
            place, target = measured.resolve(), folder.resolve()
            if folder.exists() and (place == target or target in place.parents or place in target.parents):
                raise EvaluationError(f"{measured}: clips are measured there and rendered to {folder}; change --out")
