"""Gathering: the reference, the user's systems and the anchors, as equal numbers of clips to be measured."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import checkpoint as checkpoints
from pipeline.checkpoint import Checkpoint, Excerpt
from pipeline.errors import EvaluationError
from pipeline.evaluation import anchors
from pipeline.evaluation.ancestor import anchor_settings, place_of, train_anchor
from pipeline.evaluation.continuation import RESYNTHESIS, Begun, Continuations, choose, openings
from pipeline.evaluation.facts import facts_of
from pipeline.evaluation.landmarks import LandmarkIndex
from pipeline.evaluation.pruning import touch
from pipeline.evaluation.reading import Folder, read_clips, read_folder, resolve
from pipeline.evaluation.rendered import (
    PROMPT_SECONDS,
    check_apart,
    make_folder,
    make_prompts,
    places_of,
    render,
)
from pipeline.evaluation.report import Kind, Value
from pipeline.evaluation.request import Entrant, Gathered, Request, Stage
from pipeline.evaluation.segments import spread
from pipeline.evaluation.skill import measure_skill, skill_values
from pipeline.prompts import Prompt
from pipeline.training.lineage import ancestors_with, held_out_but_learned, trained_on
from pipeline.training.pieces import choose_excerpts, fitted_to, pieces_of
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.corpus.places import Place, is_here, resolved
from waveforms.errors import CorpusError


class Gatherer:
    """Finds and renders what a request asks for; see `gather`."""

    def __init__(self, request: Request, stage: Stage) -> None:
        """Check what can be checked before anything takes time.

        Raises:
            EvaluationError: there is no reference, or clips would be rendered over those to be measured.
            CheckpointError: a checkpoint cannot be read.
            SettingsError: the length is not one of whole blocks.
        """
        self._request = request
        self._stage = stage
        self._n_samples = round(request.seconds * SAMPLE_RATE)
        self._classic_path: Path | None = None
        self._classic_rendered = True
        if request.classic:
            self._classic_path, self._classic_rendered = resolve(request.classic)
        rendered = [what.path for what in request.what if what.is_checkpoint]
        names = [what.name for what in request.what if what.is_checkpoint]
        names += [RESYNTHESIS, *(f"{RESYNTHESIS} of {name}" for name in names)] if names else []
        names += ["classic"] * self._classic_rendered
        clips = [what.path for what in request.what if not what.is_checkpoint]
        check_apart(clips, [request.out / "clips" / name for name in names])
        documents = [checkpoints.read_document(path) for path in rendered]
        if self._classic_path and self._classic_rendered:
            checkpoints.read_document(self._classic_path)
        self._notes: list[str] = []
        self._corpora: dict[tuple[str, ...], Corpus] = {}
        self._reference: Sequence[Place]
        if request.corpus:
            self._corpora[_key(request.corpus.places)] = request.corpus
        if request.reference:
            self._reference = [request.reference]
        else:
            self._reference = request.corpus.places if request.corpus else places_of(documents, rendered)
        self._indices: dict[tuple[str, ...], LandmarkIndex] = {}
        self._prompts: Sequence[Prompt] = []  # of the first checkpoint; and what goes on from them
        self._continuation = ""
        self._continuations = Continuations(request.out / "clips", self._n_samples, stage)

    def gather(self) -> Gathered:
        """Open, cut, train and render.

        Raises:
            EvaluationError: there is too little of something.
            QuarterwaveError: a folder, a checkpoint or an output cannot be used.
        """
        request = self._request
        corpus = self._open(self._reference)
        self._notes += [f"left out: {p}" for p in corpus.problems if not p.reason.startswith("not audio")]
        ours, theirs = anchors.halves([(recording, str(recording.path)) for recording in corpus], self._n_samples)
        folders = {what.name: self._folder(what.path) for what in request.what if not what.is_checkpoint}
        if self._classic_path and not self._classic_rendered:
            folders["classic"] = self._folder(self._classic_path)
        given = {"the reference": ours, "the anchor real": theirs}
        given |= {name: folder.cuts for name, folder in folders.items()}
        n_clips = self._least({name: sum(map(len, groups)) for name, groups in given.items()})
        systems = []
        for what in request.what:
            if what.is_checkpoint:
                systems.append(self._rendered(what.name, "system", what.path, n_clips))
            else:
                systems.append(self._cut(what.name, "system", what.path, folders[what.name], n_clips))
        real, seed = spread(theirs, n_clips), request.seed
        systems += [
            Entrant("real", "anchor", "other clips of the reference's recordings", real),
            *self._continuations.anchors.values(),
            self._classic(corpus, folders, n_clips),
            Entrant("shuffled", "anchor", "blocks of real, in any order", anchors.shuffled(real, n_clips, seed=seed)),
            Entrant("noise", "anchor", "white noise", anchors.noise(n_clips, self._n_samples, seed=seed)),
            Entrant("silence", "anchor", "nothing", anchors.silence(n_clips, self._n_samples)),
        ]
        return Gathered(corpus, spread(ours, n_clips), systems, self._notes)

    def _open(self, places: Sequence[Place]) -> Corpus:
        key = _key(places)
        if key not in self._corpora:
            names = ", ".join(Path(place).name for place in places)
            self._corpora[key] = Corpus.open(*places, progress=self._counted(f"reading {names}"))
        return self._corpora[key]

    def _folder(self, path: Path) -> Folder:
        folder = read_folder(path, self._n_samples, self._counted(f"reading {path.name}"))
        self._notes += folder.notes
        return folder

    def _classic(self, corpus: Corpus, folders: dict[str, Folder], n_clips: int) -> Entrant:
        """The anchor's clips; its model is trained now, if none was given and it never was."""
        if self._classic_path:
            if self._classic_rendered:
                return self._rendered("classic", "anchor", self._classic_path, n_clips)
            return self._cut("classic", "anchor", self._classic_path, folders["classic"], n_clips)
        settings = anchor_settings()
        path = place_of(corpus, settings)
        if not path.exists():
            train_anchor(corpus, settings, path, self._stage("training the anchor classic", settings.training.steps))
            self._notes.append(f"the anchor classic was trained on the reference, once, and is kept: {path}")
        touch(path)
        return self._rendered("classic", "anchor", path, n_clips, corpus)

    def _least(self, given: dict[str, int]) -> int:
        """How many clips all have."""
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

    def _cut(self, name: str, kind: Kind, path: Path, folder: Folder, n_clips: int) -> Entrant:
        index = None
        if self._request.trained_on:
            index = self._index(self._open([self._request.trained_on]))
        elif kind == "system":
            self._notes.append(
                f"{name}: copies are not looked for, as it is not known what it learned from; tell it "
                "with --trained-on FOLDER"
            )
        return Entrant(name, kind, f"clips of {path}", spread(folder.cuts, n_clips), index)

    def _rendered(self, name: str, kind: Kind, path: Path, n_clips: int, corpus: Corpus | None = None) -> Entrant:
        """Render a checkpoint; `corpus` is what it learned from, where that is not in the places its split names."""
        request = self._request
        loaded = checkpoints.load(path)
        begun: list[Begun] = []
        if kind == "system" or not self._prompts:
            loaded.excerpts = self._excerpts(name, loaded)
            begun = self._begun(name, loaded, path, n_clips) if kind == "system" else []
            prompts: Sequence[Prompt] = [each.prompt for each in begun] or make_prompts(
                loaded, n_clips, seed=request.seed
            )
            if kind == "system":
                self._prompts = self._prompts or prompts
        else:
            prompts = self._prompts
        folder = request.out / "clips" / name
        make_folder(folder)
        advanced = self._stage(f"rendering {name}", n_clips * self._n_samples)
        paths = list(render(loaded, path, prompts, folder, request.seconds, seed=request.seed, advanced=advanced))
        index, skill = self._copies_and_skill(name, loaded, corpus)
        about = f"checkpoint {path}, preset {loaded.settings.preset}"
        entrant = Entrant(name, kind, about, read_clips(paths), index, facts_of(loaded), skill)
        if begun:
            found = self._continuations.add(name, loaded, begun)
            if prompts is self._prompts:
                self._continuation = found.continuation
            return replace(entrant, continuation=found.continuation, resynthesis=found.resynthesis)
        return replace(entrant, continuation=self._continuation) if prompts is self._prompts else entrant

    def _copies_and_skill(
        self, name: str, loaded: Checkpoint, corpus: Corpus | None
    ) -> tuple[LandmarkIndex | None, dict[str, Value]]:
        """What a checkpoint may have copied from, and its skill, as far as its recordings are here."""
        try:
            learned = corpus or self._open(self._places(loaded))
        except (CorpusError, EvaluationError) as error:
            self._notes.append(f"{name}: no copies and no skill: {error}")
            return None, {}
        index, skill = None, {}
        try:
            index = self._learned(loaded, learned)
            if loaded.ancestors and not self._request.trained_on:
                self._notes.append(
                    f"{name}: copies of what it learned from before it was trained further are not found"
                )
        except (CorpusError, EvaluationError) as error:
            self._notes.append(f"{name}: no copies: {error}")
        if known := held_out_but_learned(loaded.split, loaded.ancestors):
            self._notes.append(
                f"{name}: {len(known)} of the {len(loaded.split['validation'])} recordings that it holds out are of "
                "works that it learned from, so its skill is not that on unheard music"
            )
        try:
            progress = self._counted(f"skill of {name}")
            skill = skill_values(measure_skill(loaded, learned, seed=self._request.seed, progress=progress))
        except EvaluationError as error:
            self._notes.append(f"{name}: no skill: {error}")
        return index, skill

    def _places(self, loaded: Checkpoint) -> Sequence[Place]:
        """Where the recordings of a checkpoint are, as it says itself or the user does."""
        places, named = loaded.split["places"], self._request.trained_on
        if named and not (places and all(map(is_here, places))):
            return [named]
        if not places:
            raise EvaluationError(
                "it does not say where the recordings are that it was trained on; name them with --trained-on FOLDER"
            )
        return list(places)

    def _excerpts(self, name: str, loaded: Checkpoint) -> list[Excerpt]:
        folder = self._request.prompts
        if not folder:
            return loaded.excerpts
        corpus = self._open([folder])
        learned = trained_on(ancestors_with(loaded))
        if n_learned := sum(recording in learned for recording in corpus):
            self._notes.append(
                f"{name}: of the {len(corpus)} recordings of {folder}, from which clips go on, it was trained on "
                f"{n_learned}, or on their works"
            )
        return choose_excerpts(fitted_to(pieces_of(corpus, loaded.codec), loaded.codec))

    def _begun(self, name: str, loaded: Checkpoint, path: Path, n_clips: int) -> list[Begun]:
        """Prompts whose recordings go on long enough; none if there are no such."""
        found = openings(loaded.excerpts, self._home(loaded), path, loaded.codec.block_size)
        n_short = sum(opening.n_places(self._n_samples) == 0 for opening in found)
        long_enough = f"a prompt of {PROMPT_SECONDS:g} s and {self._request.seconds:g} s more"
        if n_short == len(found):
            self._notes.append(
                f"{name}: the anchors continuation and resynthesis are left out, as no recording at hand has room for "
                f"{long_enough}"
            )
            return []
        if n_short:
            self._notes.append(
                f"{name}: no clip begins from {n_short} of {len(found)} excerpts: no room for {long_enough}"
            )
        return choose(found, self._n_samples, n_clips, seed=self._request.seed)

    def _home(self, loaded: Checkpoint) -> Corpus | None:
        """Where a checkpoint's prompts are from, if that is at hand."""
        try:
            return self._open([self._request.prompts] if self._request.prompts else self._places(loaded))
        except (CorpusError, EvaluationError):
            return None

    def _learned(self, loaded: Checkpoint, corpus: Corpus) -> LandmarkIndex:
        if self._request.trained_on:
            return self._index(self._open([self._request.trained_on]))
        names = {recording.name for recording in corpus}
        if gone := [name for name in loaded.split["training"] if name not in names]:
            raise EvaluationError(f"{corpus.where}: lacks {', '.join(gone)}")
        return self._index(corpus.subset(loaded.split["training"]))

    def _index(self, corpus: Corpus) -> LandmarkIndex:
        key = tuple(recording.findings.digest for recording in corpus)
        if key not in self._indices:
            self._indices[key] = LandmarkIndex.of(corpus, progress=self._counted("fingerprinting"))
        return self._indices[key]

    def _counted(self, description: str) -> Callable[[int, int], object]:
        """A stage whose parts are counted by whoever does them, (done, in all)."""
        advanced: list[Any] = []

        def progress(done: int, total: int) -> None:
            if not advanced:
                advanced.append(self._stage(description, total))
            advanced[0](1)

        return progress


def _key(places: Sequence[Place]) -> tuple[str, ...]:
    return tuple(resolved(place) for place in places)
