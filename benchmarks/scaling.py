"""`python -m benchmarks.scaling` prints the tables of docs/scale.md: arithmetic and a simulation, no measurement."""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.costs import (
    BLOCKS_PER_HOUR,
    GRADIENT_BYTES,
    Machine,
    costs_of,
    products_of,
    training_seconds,
)
from benchmarks.workers import Setup, simulate
from pipeline.codecs import make_codec
from pipeline.config import preset_named
from waveforms.dsp.blocks import BLOCK_SIZE

FLOW = preset_named("flow")
BATCH, LENGTH = FLOW.training.batch_size, FLOW.training.sequence_blocks
STEP_BLOCKS = BATCH * LENGTH  # 192 with sound
CODEC, PRODUCTS = make_codec(FLOW.codec), products_of(FLOW)
BLOCK_BYTES = 2 * BLOCK_SIZE  # in a WAV file: 16 bits, one channel
LATENT_BYTES = 2 * CODEC.n_frames * (CODEC.dims + CODEC.conditioning_dims)  # a block with its conditioning, in 16 bits

PASSES = {1: 5, 100: 5, 10_000: 1, 1_000_000: 1}  # by hours

# Measured, as docs/scale.md describes.
STEP_SECONDS = 1.8  # one core
READER_RATE = 4500.0  # blocks a second from one reading thread, with the rows of notes beside them
GLOO_BANDWIDTH, GLOO_HOP = 82.3e6 / 0.23, 5e-5
# Assumed or published.
TWO_CORES_RATE = 1.6 * STEP_BLOCKS / STEP_SECONDS
OPEN_SECONDS = 1e-3  # until shared storage responds, for each window of a batch
GPU_PEAK, GPU_SHARE, N_GPUS = 989e12, 0.3, 8  # H100, dense bfloat16
CORES_SHARE = 0.7  # share of 64 times one core: they share memory

GPU_RATE = GPU_PEAK * GPU_SHARE * STEP_BLOCKS / PRODUCTS.step_flops
MACHINES = (
    Machine("two cores", TWO_CORES_RATE),
    Machine("64 cores", 64 * CORES_SHARE * STEP_BLOCKS / STEP_SECONDS),
    Machine("8 GPUs, as it reads today", N_GPUS * GPU_RATE, N_GPUS * READER_RATE),
    Machine("8 GPUs, fed", N_GPUS * GPU_RATE),
)

CORE = Setup("a core each on one machine", STEP_SECONDS, GRADIENT_BYTES, GLOO_BANDWIDTH, GLOO_HOP, 0.0)
CORE = replace(CORE, batch_bytes=STEP_BLOCKS * BLOCK_BYTES, reader=READER_RATE * BLOCK_BYTES)
NODE = replace(
    CORE,
    name="two cores each, 10 Gb/s",
    compute=STEP_BLOCKS / TWO_CORES_RATE,
    bandwidth=1.25e9,
    storage=2e9,
    latency=BATCH * OPEN_SECONDS,
)
GPU = replace(
    CORE,
    name="GPU, as it reads today",
    compute=STEP_BLOCKS / GPU_RATE,
    bandwidth=5e10,
    hop=5e-6,
    storage=1e11,
    latency=BATCH * OPEN_SECONDS,
)
FED = replace(GPU, name="GPU, latents ready", batch_bytes=STEP_BLOCKS * LATENT_BYTES, reader=1e10, latency=0.0)
LARGE = replace(FED, name="the same, 192 sequences a GPU", compute=32 * FED.compute, batch_bytes=32 * FED.batch_bytes)
SETUPS = {CORE: (1, 2, 8, 64), NODE: (1, 8, 64, 512, 4096)} | dict.fromkeys((GPU, FED, LARGE), (1, 8, 64, 512, 4096))


def rows_of_sizes() -> Iterator[tuple[str, ...]]:
    """Make the table of what each size costs before training."""
    yield "hours", "recordings", "blocks", "WAV", "FLAC", "index", "notes", "names"
    for hours in PASSES:
        costs = costs_of(hours)
        yield (
            f"{hours:,}".replace(",", " "),
            _count(costs.n_recordings),
            _count(costs.n_blocks),
            _bytes(costs.wav_bytes),
            _bytes(costs.wav_bytes / 2),
            _bytes(costs.index_bytes),
            _bytes(costs.notes_bytes),
            _bytes(costs.header_bytes),
        )


def rows_of_starts() -> Iterator[tuple[str, ...]]:
    """Make the table of the time of one core before the first step: once, and whenever training begins."""
    yield "hours", "first opening", "transcription, once", "later opening", "profiles", "transcribed notes refined"
    for hours in PASSES:
        costs = costs_of(hours)
        seconds = (
            costs.survey_seconds,
            costs.transcription_seconds,
            costs.open_seconds,
            costs.profile_seconds,
            costs.refining_seconds,
        )
        yield f"{hours:,}".replace(",", " "), *map(_time, seconds)


def rows_of_training() -> Iterator[tuple[str, ...]]:
    """Make the table of how long each machine trains, and in how many steps."""
    yield "hours", "passes", *(machine.name for machine in MACHINES), "steps in all"
    for hours, n_passes in PASSES.items():
        times = (_time(training_seconds(hours, n_passes, machine)) for machine in MACHINES)
        steps = hours * BLOCKS_PER_HOUR * n_passes / STEP_BLOCKS
        yield f"{hours:,}".replace(",", " "), str(n_passes), *times, _count(steps)


def rows_of_machines() -> Iterator[tuple[str, ...]]:
    """Make the table of how many machines finish in a day, if no time is lost between them."""
    yield "hours", *(machine.name for machine in MACHINES)
    for hours, n_passes in PASSES.items():
        days = (training_seconds(hours, n_passes, machine) / 86400 for machine in MACHINES)
        yield f"{hours:,}".replace(",", " "), *(str(math.ceil(n)) for n in days)


def rows_of_workers() -> Iterator[tuple[str, ...]]:
    """Make the table of what workers spend their time on, by their number."""
    yield "workers", "N", "step", "computing", "stragglers", "exchange", "input", "most goes to"
    for setup, numbers in SETUPS.items():
        for n in numbers:
            share = simulate(setup, n)
            parts = (share.compute, share.stragglers, share.exchange, share.input)
            shares = (f"{100 * part / share.step:.0f} %" for part in parts)
            yield setup.name, str(n), _time(share.step), *shares, share.limit


def table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows, of which the first is the head, as Markdown."""
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest))


def _count(number: float) -> str:
    return _in(number, ((1, ""), (1e3, " thousand"), (1e6, " million"), (1e9, " billion")))


def _bytes(number: float) -> str:
    return _in(number, ((1, " B"), (1e3, " kB"), (1e6, " MB"), (1e9, " GB"), (1e12, " TB")))


def _time(seconds: float) -> str:
    return _in(seconds, ((1e-3, " ms"), (1, " s"), (60, " min"), (3600, " h"), (86400, " days")))


def _in(number: float, units: Sequence[tuple[float, str]]) -> str:
    """Format with two significant figures or more, in the largest unit that the number reaches."""
    size, name = max(((s, n) for s, n in units if s <= number), default=units[0])
    value = number / size
    return f"{value:.0f}{name}" if value >= 9.95 else f"{value:.2g}{name}"


def main() -> int:
    """Print the tables."""
    rows = f"{BATCH} rows of sound and {FLOW.model.note_sequences} of notes"
    forward, step = PRODUCTS.forward_flops / 1e9, PRODUCTS.step_flops / 1e9
    print(f"a step, {rows}: {forward:.1f} GFLOPs forward, {step:.1f} in all\n")
    for rows_of in (rows_of_sizes(), rows_of_starts(), rows_of_training(), rows_of_machines(), rows_of_workers()):
        print(table(list(rows_of)), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
