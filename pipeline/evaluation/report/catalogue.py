"""Every measure of a report, in the order in which they are shown; each room describes its own."""

from pipeline.evaluation.copies import measures as copies
from pipeline.evaluation.distances import measures as distances
from pipeline.evaluation.notes import measures as notes
from pipeline.evaluation.prediction import measures as skill
from pipeline.evaluation.report.data import Measure
from pipeline.evaluation.sound import measures as sound


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
