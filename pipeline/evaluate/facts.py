"""What a checkpoint is: its settings and how it was trained, for readers who compare."""

from collections.abc import Sequence
from dataclasses import asdict

from pipeline.checkpoint import Checkpoint
from pipeline.evaluate.report import System
from pipeline.settings import SECTIONS

Fact = str | float

RESULTS = ("weights", "steps", "training minutes", "held-out loss")  # shown even where they are the same


def facts_of(checkpoint: Checkpoint) -> dict[str, Fact]:
    """Settings by name, and what came of them. The loss compares within one representation alone."""
    settings = checkpoint.settings
    facts: dict[str, Fact] = {"preset": settings.preset}
    for section in SECTIONS:
        facts |= {
            "steps at most" if name == "steps" else name: value
            for name, value in asdict(getattr(settings, section)).items()
        }
    facts["recordings learned from"] = len(checkpoint.split["training"])
    facts["weights"] = sum(parameter.numel() for parameter in checkpoint.predictor.parameters())
    if checkpoint.history:
        last = checkpoint.history[-1]
        facts["steps"] = last["step"]
        facts["training minutes"] = last["seconds"] / 60
        facts["held-out loss"] = last["loss"]
    return facts


def differing(systems: Sequence[System]) -> list[str]:
    """Names of the facts to show side by side: RESULTS, and before them what is not the same for all."""
    names = list(dict.fromkeys(name for system in systems for name in system.facts))
    differ = [name for name in names if len({repr(system.facts.get(name)) for system in systems}) > 1]
    results = [name for name in RESULTS if name in names]
    return [name for name in differ if name not in results] + results
