"""The thorough transcriber: transkun, through its own package, for those who have it and time.

Yan & Duan, "Scoring time intervals using non-hierarchical transformer for automatic piano transcription"
(ISMIR 2024; MIT). It needs one to three times as long as the music lasts, on a core.
"""

import importlib
import json
import warnings
from importlib import resources
from typing import Any

import numpy as np
import torch

from pipeline.errors import EvaluationError
from pipeline.evaluation.transcription import Transcription
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform

_ADVICE = (
    "install it with `pip install --no-deps transkun==2.0.1` and `pip install pretty-midi mir-eval`, "
    "which is what `make thorough` does"
)


class Thorough:
    """Hears notes with transkun; its velocities are the network's own. Deterministic, on the CPU.

    Args:
        model: the package's TransKun, or what has its `transcribe` and its `fs`.
    """

    name = "transkun"

    def __init__(self, model: Any) -> None:
        self._model = model

    def transcribe(self, waveform: Waveform) -> Transcription:
        """Write down a clip's notes; see `transcribers.Transcriber`."""
        if len(waveform) == 0 or not np.isfinite(waveform).all():
            raise EvaluationError("a waveform must have samples, and finite ones, to be transcribed")
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's own; ours are errors in the tests
            notes = self._model.transcribe(torch.from_numpy(waveform.astype(np.float32)).unsqueeze(1))
        heard = [(note.start, note.end, note.pitch, note.velocity) for note in notes if note.pitch > 0]  # not pedals
        return Transcription.of(heard, len(waveform) / SAMPLE_RATE)


def load_thorough() -> Thorough:
    """Build the network of the installed package, with the weights that it brings.

    Raises:
        EvaluationError: the package is not there, or not the one that we know.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports what torch has deprecated
            module: Any = importlib.import_module("transkun.ModelTransformer")
        return Thorough(_model(module))
    except ImportError as error:
        raise EvaluationError(f"the thorough transcriber is the package transkun ({error}); {_ADVICE}") from error
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise EvaluationError(f"the package transkun must be version 2.0.1 ({error}); {_ADVICE}") from error


def _model(module: Any) -> Any:
    folder = resources.files("transkun") / "pretrained"
    settings = module.ModelConfig()
    vars(settings).update(json.loads((folder / "2.0.conf").read_text())["Model"]["config"])
    model = module.TransKun(settings)
    if model.fs != SAMPLE_RATE:
        raise ValueError(f"it hears {model.fs} Hz and not {SAMPLE_RATE}")
    with (folder / "2.0.pt").open("rb") as file:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()
