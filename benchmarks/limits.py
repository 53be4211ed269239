"""What this machine can do at most: multiply matrices, copy memory, read a disk."""

import os
from pathlib import Path

import torch

from benchmarks.clock import Work, median_seconds, timed
from benchmarks.figures import Figure

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
N_BYTES = 1 << 29  # copied or read: far more than any cache holds

_SIZE, _N_PRODUCTS = 2048, 10
OPERATIONS = _N_PRODUCTS * 2 * _SIZE**3  # of the work `multiply`: a product takes 2 * size**3


def precisions(device: str = "cpu") -> tuple[str, ...]:
    """The arithmetics to measure, the fastest last: bfloat16 where the device has instructions for it.

    Emulated, it is so much slower than float32 that the bench would hardly end.
    """
    instructions = torch.cpu.get_capabilities()
    has_bfloat16 = any(instructions.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return tuple(DTYPES) if has_bfloat16 or device != "cpu" else ("float32",)


def multiply(precision: str, device: str = "cpu") -> Work:
    """Matrix products, OPERATIONS in all."""
    a, b = (torch.randn(_SIZE, _SIZE).to(device, DTYPES[precision]) for _ in range(2))

    def products() -> None:
        for _ in range(_N_PRODUCTS):
            a @ b

    return timed(products)


def read(n_bytes: int, n_times: int) -> Work:
    """Read and add up the same bytes so many times: from caches what they hold."""
    numbers = torch.ones(n_bytes // 4)
    return timed(lambda: [numbers.sum() for _ in range(n_times)])


def copy() -> Work:
    """Copy N_BYTES, which reads as many and writes as many."""
    source = torch.ones(N_BYTES, dtype=torch.uint8)  # zeros that were never written are one page, and in a cache
    target = torch.empty_like(source)
    target.fill_(1)
    return timed(lambda: target.copy_(source))


def read_disk(folder: Path) -> Work:
    """Read N_BYTES that the system has been told to forget. Where it cannot be told, from its memory."""
    path = folder / "bytes"
    path.write_bytes(os.urandom(1 << 20) * (N_BYTES >> 20))
    with path.open("rb") as file:
        os.fsync(file.fileno())

    def read() -> None:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 22):
                pass

    timed_read = timed(read)

    def forget_and_read() -> float:
        if hasattr(os, "posix_fadvise"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return timed_read()

    return forget_and_read


def measure(folder: Path, n_rounds: int) -> list[Figure]:
    """Rates of the machine."""
    works = {precision: multiply(precision) for precision in precisions()} | {"copy": copy(), "disk": read_disk(folder)}
    seconds = median_seconds(works, n_rounds)
    (folder / "bytes").unlink()
    rates = {name: OPERATIONS / seconds[name] / 1e9 for name in precisions()}
    return [
        *(Figure("machine", f"matrix products, {name}", rate, "GFLOP/s") for name, rate in rates.items()),
        Figure("machine", "memory copied, read and written", 2 * N_BYTES / seconds["copy"] / 1e9, "GB/s"),
        Figure("machine", "disk read", N_BYTES / seconds["disk"] / 1e9, "GB/s"),
    ]
