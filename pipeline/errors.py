"""The part of the family of `waveforms.errors` that belongs to learning and rendering."""

from waveforms.errors import OutputError, QuarterwaveError

__all__ = [
    "CheckpointError",
    "EvaluationError",
    "ListeningError",
    "OutputError",
    "SettingsError",
    "TrainingError",
]


class SettingsError(QuarterwaveError):
    """A setting, or a pair of settings, is not legal."""


class CheckpointError(QuarterwaveError):
    """A checkpoint cannot be read, or does not fit."""


class TrainingError(QuarterwaveError):
    """Training cannot go on."""


class EvaluationError(QuarterwaveError):
    """Something cannot be evaluated, or not fairly."""


class ListeningError(QuarterwaveError):
    """A listening test cannot be made, or what listeners answered cannot be scored."""
