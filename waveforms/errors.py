"""The exceptions that users see, as one family.

    QuarterwaveError          anything a user can mend; the command line prints it and exits with 1
    ├── AudioError            one file cannot be used; names the file and the reason
    ├── CorpusError           a folder cannot be used
    ├── OutputError           a file or folder cannot be written
    └── (pipeline.errors)     SettingsError, CheckpointError, TrainingError, EvaluationError, ListeningError

The library raises; only `pipeline.cli` prints and exits. A message says what is legal, then what came.
"""

from pathlib import Path


class QuarterwaveError(Exception):
    """The root: a fault that the user can mend, described in one sentence."""


class AudioError(QuarterwaveError):
    """One audio file cannot be used.

    Attributes:
        path: the file.
        reason: why, without the file's name, for tables.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type["AudioError"], tuple[Path, str]]:
        """Pickle both parts, so that it can pass from process to process."""
        return type(self), (self.path, self.reason)


class CorpusError(QuarterwaveError):
    """A folder of recordings cannot be used."""


class OutputError(QuarterwaveError):
    """A result cannot be written to the place that the user asked for."""
