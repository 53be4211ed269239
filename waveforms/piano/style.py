"""How a kind of music is played: the few numbers that a performer chooses before the first note."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """A manner of playing.

    Attributes:
        velocity: MIDI velocity where the score has no dynamic mark.
        rubato: depth of the phrase arcs in tempo, as a share of the tempo.
        articulation: how much of its written time a note that is not staccato is held; above 1 overlaps.
        pedal: share of each harmony that the pedal is down, 0 to 1.
        phrase: bars in a phrase, where the score has no fermatas to tell.
    """

    velocity: int = 64
    rubato: float = 0.12
    articulation: float = 1.03
    pedal: float = 1.0
    phrase: int = 4
