"""Simulates workers that train together: each fetches and computes its part, and all wait for the last one.

fetch s begins   when fetch s - 1 has ended and step s - depth has begun
step s begins    when fetch s has ended and the gradients of step s - 1 are exchanged
step s ends      when the last worker has computed, and the gradients are exchanged
"""

from dataclasses import dataclass

import numpy as np

N_STEPS, N_WARM_UP = 150, 20


@dataclass(frozen=True)
class Setup:
    """Workers, their storage and their network; every worker has a batch of the same size.

    Attributes:
        name: its name in tables.
        compute: mean seconds in which a worker computes a step that is not slow.
        gradient_bytes: bytes that are exchanged in a step.
        bandwidth: bytes a second over the link of a worker.
        hop: seconds from a worker to the next one.
        batch_bytes: bytes that a worker reads for a step.
        reader: bytes a second that one worker can read.
        storage: bytes a second that all workers can read together.
        latency: seconds until storage responds.
        jitter: std of the logarithm of the seconds of a step.
        slow_share: the share of the steps of a worker that are slow.
        slow_factor: how many times longer slow steps take.
        depth: batches that are fetched ahead.
    """

    name: str
    compute: float
    gradient_bytes: float
    bandwidth: float
    hop: float
    batch_bytes: float
    reader: float = float("inf")
    storage: float = float("inf")
    latency: float = 0.0
    jitter: float = 0.05
    slow_share: float = 1e-3
    slow_factor: float = 2.0
    depth: int = 1

    def exchange(self, n: int) -> float:
        """Compute the seconds of a ring all-reduce among n workers (Patarasuk & Yuan 2009)."""
        return 2 * (n - 1) / n * self.gradient_bytes / self.bandwidth + 2 * (n - 1) * self.hop

    def fetch(self, n: int) -> float:
        """Compute the seconds after which each of n workers that read at once has a batch."""
        return self.latency + self.batch_bytes / min(self.reader, self.storage / n)


@dataclass(frozen=True)
class Share:
    """The mean step of n workers, divided by what its seconds are spent on."""

    compute: float
    stragglers: float
    exchange: float
    input: float

    @property
    def step(self) -> float:
        """The seconds of the step."""
        return self.compute + self.stragglers + self.exchange + self.input

    @property
    def efficiency(self) -> float:
        """The share of a step in which a mean worker computes."""
        return self.compute / self.step

    @property
    def limit(self) -> str:
        """The part that takes most seconds."""
        return max(("compute", "stragglers", "exchange", "input"), key=lambda part: float(getattr(self, part)))


def simulate(setup: Setup, n: int, *, seed: int = 0) -> Share:
    """Simulate n workers for N_STEPS steps after N_WARM_UP.

    Stragglers are the seconds for which the others would wait for the slowest worker if all had their input at once.
    Input is what a step takes beyond computing, stragglers and exchange.
    """
    rng = np.random.default_rng([seed, n])
    fetch, exchange = setup.fetch(n), setup.exchange(n)
    fetched, end = np.zeros(n), 0.0
    begun = [np.zeros(n)] * setup.depth  # when the last so many steps began
    ends, slowest = [], []
    for _ in range(N_WARM_UP + N_STEPS):
        fetched = np.maximum(fetched, begun[0]) + fetch
        begin = np.maximum(fetched, end)
        begun = [*begun[1:], begin]
        compute = _compute(setup, n, rng)
        end = float((begin + compute).max()) + exchange
        ends.append(end)
        slowest.append(float(compute.max()))
    step = (ends[-1] - ends[N_WARM_UP - 1]) / N_STEPS
    latest = float(np.mean(slowest[N_WARM_UP:]))
    return Share(setup.compute, latest - setup.compute, exchange, max(step - latest - exchange, 0.0))


def _compute(setup: Setup, n: int, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Sample the seconds in which each worker computes, (n,): lognormal with the mean `compute`, rarely slow."""
    seconds = setup.compute * rng.lognormal(-(setup.jitter**2) / 2, setup.jitter, n)
    return np.where(rng.random(n) < setup.slow_share, setup.slow_factor, 1.0) * seconds
