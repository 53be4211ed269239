"""Every measure of a report, in the order in which they are shown; each room describes its own."""

from pipeline.evaluation import metrics_copies as copies
from pipeline.evaluation import metrics_distances as distances
from pipeline.evaluation import metrics_notes as notes
from pipeline.evaluation import metrics_skill as skill
from pipeline.evaluation import metrics_sound as sound
from pipeline.evaluation.report import Measure


def measures(*, continued: bool = True, thorough: bool = False) -> tuple[Measure, ...]:
    """The measures of a report.

    Args:
        continued: whether the anchors continuation and resynthesis are there.
        thorough: whether the thorough transcriber heard notes, too.
    """
    of_notes = notes.MEASURES + notes.CONTINUED * continued
    return (
        *distances.MEASURES,
        *of_notes,
        *notes.thorough(of_notes * thorough),
        *copies.MEASURES,
        *sound.SEAMS,
        *sound.FAULTS,
        *sound.LIFE,
        *sound.LEVEL,
        *skill.MEASURES,
    )


MEASURES = measures()
