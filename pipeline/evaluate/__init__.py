"""The ears: how good a rendered clip is, and whose.

Distances to real sound, notes, traces of the corpus, seams and clicks, life, levels; one measure a file.
"""

from pipeline.errors import EvaluationError

__all__ = ["EvaluationError"]
