"""Which notes of two transcriptions are the same ones."""

import numpy as np
from numpy.typing import NDArray

from waveforms.notes.events import Notes

TOLERANCE = 0.05  # seconds between onsets of one note, the custom of MIREX


def match(reference: Notes, estimated: Notes, tolerance: float = TOLERANCE) -> NDArray[np.int64]:
    """Pair notes of one pitch whose onsets lie within a tolerance, as many as can be; each note is used once.

    On a line, and with one tolerance for all, taking the earliest partner that is left gives the most pairs.

    Returns:
        (n_pairs, 2), numbers of the reference's and of the estimated notes.
    """
    pairs = []
    for pitch in np.intersect1d(reference.pitches, estimated.pitches):
        of_reference, of_estimated = (np.flatnonzero(notes.pitches == pitch) for notes in (reference, estimated))
        i = j = 0
        while i < len(of_reference) and j < len(of_estimated):
            late = estimated.onsets[of_estimated[j]] - reference.onsets[of_reference[i]]
            if abs(late) <= tolerance:
                pairs.append((of_reference[i], of_estimated[j]))
            i += late >= -tolerance
            j += late <= tolerance
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)
