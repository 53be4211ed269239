"""How near clips come to real music: `evaluate(EvaluationRequest(["clips/"], reference=Path("recordings/")))`.

request -> systems: segments of clips, anchors -> measured clips -> aggregation, distances, prediction -> report

What a number means stands in `metrics`, one row each.
"""

from pipeline.errors import EvaluationError
from pipeline.evaluation.request import EvaluationRequest
from pipeline.evaluation.run import Evaluation, evaluate

__all__ = ["Evaluation", "EvaluationError", "EvaluationRequest", "evaluate"]
