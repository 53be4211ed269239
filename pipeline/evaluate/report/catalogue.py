"""Every measure of a report, in the order in which they are shown; each room describes its own."""

from pipeline.evaluate.copies import measures as copies
from pipeline.evaluate.distances import measures as distances
from pipeline.evaluate.notes import measures as notes
from pipeline.evaluate.prediction import measures as skill
from pipeline.evaluate.sound import measures as sound

MEASURES = (
    *distances.MEASURES,
    *notes.MEASURES,
    *copies.MEASURES,
    *sound.SEAMS,
    *sound.LIFE,
    *sound.LEVEL,
    *skill.MEASURES,
)
