import numpy as np
import torch

from pipeline.predictors.traces import FADES, n_traces, traces_of


def strikes(*shape: int) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.2).float()


def test_a_trace_is_the_sum_of_what_is_left_of_every_strike() -> None:
    keys = strikes(40, 3)
    found = traces_of(keys)
    assert found.shape == (41, n_traces(3))
    assert not found[0].any()
    for n, fade in enumerate(FADES):
        for key in range(3):
            when = np.flatnonzero(keys[:, key])
            for now in range(1, 41):
                left = np.exp(-(now - 1 - when[when < now]) / fade).sum()  # a strike counts from the next slice on
                np.testing.assert_allclose(found[now, 3 * n + key], left, rtol=1e-4)


def test_traces_go_on_from_those_that_are_there() -> None:
    keys = strikes(2, 30, 4)
    whole = traces_of(keys)
    first = traces_of(keys[:, :13])
    assert torch.equal(first, whole[:, :14])
    torch.testing.assert_close(traces_of(keys[:, 13:], first[:, -1]), whole[:, 13:])


def test_without_keys_there_are_no_traces() -> None:
    assert n_traces(0) == 0
    assert traces_of(torch.zeros(2, 5, 0)).shape == (2, 6, 0)
