"""The ears: how good a rendered clip is, and whose.

entrants -> measuring, which asks every ear -> numbers -> report        all of it: evaluation

The ears:  distances, notes, copies, sound, prediction; each room's measures.py says what its numbers mean.
           networks: those that listen for distances and notes
"""

from pipeline.errors import EvaluationError

__all__ = ["EvaluationError"]
