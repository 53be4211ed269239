"""What `quarterwave train` can be asked for, as a value that Python code can make as well.

>>> request = TrainRequest(["recordings"], values={"steps": 100})
>>> request.folder.as_posix()
'checkpoints/recordings-flow'
>>> TrainRequest(["recordings"], values={"steps": 0})
Traceback (most recent call last):
pipeline.errors.SettingsError: steps must be at least 1 and not 0
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.checkpoint import read_document
from pipeline.config import DEFAULT_PRESET, LAST, Settings, TrainingSettings, preset_named
from pipeline.errors import CheckpointError, OutputError, SettingsError
from waveforms.corpus.places import Place

_OF_TRAINING = {setting.name for setting in dataclasses.fields(TrainingSettings)}
_OF_RESUMED = {"steps", "patience"}  # settings that a resumed run may change: how long it goes on


@dataclass(frozen=True)
class TrainRequest:
    """A run to train, new or resumed.

    Attributes:
        places: folders of recordings, manifests (NAME.jsonl), and URLs of either.
        out: the run's folder, in which its checkpoints are written; None is `checkpoints/PLACE-PRESET`.
        preset: the name of a preset, or a complete set of settings; None is the default preset.
        values: settings that differ from the preset's, by name.
        held_out: names and patterns of recordings to hold out, with all others of the same works; None leaves the
            choice to manifests and names.
        start: a checkpoint file whose weights, codec and settings the run begins with.
        music: a folder of MIDI files to learn from as well.
        resume: go on with the run in `out`, with its own preset, split, weights and music.
        force: begin a new run even where `out` holds one.

    Raises:
        SettingsError: there is no place, a setting is not legal, or fields exclude each other. The messages name the
            command line's flags.
    """

    places: Sequence[Place]
    out: str | Path | None = None
    preset: str | Settings | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    held_out: Sequence[str] | None = None
    start: str | Path | None = None
    music: str | Path | None = None
    resume: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.places, str | Path) or not self.places:
            raise SettingsError(f"places must be a list of one folder of recordings or more, and not {self.places!r}")
        if self.resume:
            self._check_resumed()
        elif self.start is not None:
            self._check_started()
        else:
            self._new_settings()

    @property
    def folder(self) -> Path:
        """The run's folder.

        Raises:
            CheckpointError: its name has the preset of `start`, which cannot be read.
        """
        if self.out is not None:
            return Path(self.out)
        preset = DEFAULT_PRESET if self.resume else self.settings().preset
        return Path("checkpoints") / f"{_name_of(self.places)}-{preset}"

    def settings(self) -> Settings:
        """All settings of the run: the preset's, or those of the checkpoint that it begins or goes on with.

        Raises:
            CheckpointError: the checkpoint cannot be read, or there is no run to resume.
            SettingsError: the checkpoint's settings are not legal.
        """
        if self.resume:
            last = self.folder / LAST
            if not last.exists():
                raise CheckpointError(f"{last}: no such file, so there is no run to go on with; leave out --resume")
            return _settings_in(last).with_values(self.values)
        if self.start is not None:
            return _settings_in(Path(self.start)).with_values(self.values)
        return self._new_settings()

    def check_folder(self) -> None:
        """Refuse to overwrite a run.

        Raises:
            OutputError: the folder holds a run, and the request is neither to resume nor to overwrite it.
        """
        if (self.folder / LAST).exists() and not (self.resume or self.force):
            raise OutputError(f"{self.folder}: holds a run already; --resume goes on with it, --force starts afresh")

    def _new_settings(self) -> Settings:
        preset = self.preset if isinstance(self.preset, Settings) else preset_named(self.preset or DEFAULT_PRESET)
        return preset.with_values(self.values)

    def _check_resumed(self) -> None:
        if self.preset or self.held_out or self.start or self.music:
            raise SettingsError(
                "--resume goes on with the run's own preset, split, weights and music: leave out --preset, --held-out, "
                "--from and --music"
            )
        if fixed := sorted(self.values.keys() - _OF_RESUMED):
            raise SettingsError(
                f"--resume goes on with the settings in {self.folder}, but for --steps and --patience: "
                f"leave out {_flags(fixed)}"
            )

    def _check_started(self) -> None:
        fixed = ["preset"] * bool(self.preset) + sorted(self.values.keys() - _OF_TRAINING)
        if fixed:
            raise SettingsError(f"--from takes the preset and its sizes from {self.start}: leave out {_flags(fixed)}")


def _settings_in(path: Path) -> Settings:
    return Settings.from_json(read_document(path)["settings"])


def _flags(names: Sequence[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)


def _name_of(places: Sequence[Place]) -> str:
    """`takes` for takes/ and for takes.jsonl, `takes+2` where there are two more."""
    name = Path(places[0]).resolve().name.removesuffix(".jsonl")
    return name if len(places) == 1 else f"{name}+{len(places) - 1}"
