"""What a checkpoint is: its settings and how it was trained, for readers who compare."""

from dataclasses import asdict

from pipeline.checkpoint import Checkpoint
from pipeline.config import SECTIONS
from pipeline.evaluation.report import Fact


def facts_of(checkpoint: Checkpoint) -> dict[str, Fact]:
    """Settings by name, and what came of them: steps, minutes and loss of the weights in this file.

    Those of a run's best checkpoint end at its best step. The loss compares within one codec alone.
    """
    settings = checkpoint.settings
    facts: dict[str, Fact] = {"preset": settings.preset}
    for section in SECTIONS:
        facts |= {
            "steps at most" if name == "steps" else name: value
            for name, value in asdict(getattr(settings, section)).items()
        }
    facts["recordings learned from"] = len(checkpoint.split["training"])
    facts["weights"] = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    if checkpoint.history:
        last = checkpoint.history[-1]
        facts["steps"] = last["step"]
        facts["minutes of these steps"] = last["seconds"] / 60
        facts["held-out loss"] = last["loss"]
    return facts
