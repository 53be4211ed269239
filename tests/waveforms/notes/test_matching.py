"""Matching onsets, against an exhaustive search."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from waveforms.notes import Notes
from waveforms.notes.matching import match

SOME = st.lists(st.tuples(st.floats(0, 1), st.integers(60, 62)), max_size=15)


def notes_of(rows: list[tuple[float, int]]) -> Notes:
    return Notes.of((onset, onset + 0.01, pitch, 64) for onset, pitch in rows)


@given(SOME, SOME)
def test_no_matching_has_more_pairs(reference: list[tuple[float, int]], estimated: list[tuple[float, int]]) -> None:
    a, b = notes_of(reference), notes_of(estimated)
    near = np.abs(np.subtract.outer(a.onsets, b.onsets)) <= 0.05
    possible = near & np.equal.outer(a.pitches, b.pitches)
    pairs = match(a, b)
    assert all(possible[i, j] for i, j in pairs)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    n_most = np.count_nonzero(maximum_bipartite_matching(csr_array(possible.astype(int))) >= 0) if possible.size else 0
    assert len(pairs) == n_most
