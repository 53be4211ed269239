"""Learning and rendering: settings, codecs, models, training, roll-outs, evaluation.

The names in `__all__` are the library's; docs/library.md shows them at work. Each is imported when it is first used, so
`import pipeline` needs no torch.

>>> import pipeline
>>> pipeline.Sampling(temperature=0.9).top_p
1.0
>>> pipeline.Sampling(temperature=3.0)
Traceback (most recent call last):
pipeline.errors.SettingsError: temperature must be between 0 and 2 and not 3.0
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint, load
    from pipeline.config import Sampling
    from pipeline.evaluation.request import EvaluationRequest
    from pipeline.evaluation.run import evaluate
    from pipeline.prompts import PromptRequest
    from pipeline.rendering import RenderRequest, render
    from pipeline.session import Session
    from pipeline.training.loop import train
    from pipeline.training.request import TrainRequest
    from waveforms.corpus import Corpus
    from waveforms.errors import QuarterwaveError

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "Corpus",
    "EvaluationRequest",
    "PromptRequest",
    "QuarterwaveError",
    "RenderRequest",
    "Sampling",
    "Session",
    "TrainRequest",
    "evaluate",
    "load",
    "render",
    "train",
]

_MODULES = {
    "Checkpoint": "pipeline.checkpoint",
    "Corpus": "waveforms.corpus",
    "EvaluationRequest": "pipeline.evaluation.request",
    "PromptRequest": "pipeline.prompts",
    "QuarterwaveError": "waveforms.errors",
    "RenderRequest": "pipeline.rendering",
    "Sampling": "pipeline.config",
    "Session": "pipeline.session",
    "TrainRequest": "pipeline.training.request",
    "evaluate": "pipeline.evaluation.run",
    "load": "pipeline.checkpoint",
    "render": "pipeline.rendering",
    "train": "pipeline.training.loop",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
