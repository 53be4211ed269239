"""What this machine is, and what it can do at most: multiply matrices, copy memory, read a disk."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.figures import Figure
from benchmarks.timing import Work, median_seconds, timed

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
N_BYTES = 1 << 29  # copied or read: far more than any cache holds

_SIZE, _N_PRODUCTS = 2048, 10
OPERATIONS = _N_PRODUCTS * 2 * _SIZE**3  # in the work `multiply`: a product takes 2 * size**3


def describe() -> dict[str, str]:
    """Describe processor, threads, memory, GPU and versions in words."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
    } | {name: version(name) for name in ("quarterwave", "torch", "numpy")}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def precisions(device: str = "cpu") -> tuple[str, ...]:
    """Return the arithmetics to measure, the fastest last: bfloat16 where the device has instructions for it.

    Emulated bfloat16 is so much slower than float32 that the benchmark would hardly end.
    """
    instructions = torch.cpu.get_capabilities()
    has_bfloat16 = any(instructions.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return tuple(DTYPES) if has_bfloat16 or device != "cpu" else ("float32",)


def multiply(precision: str, device: str = "cpu") -> Work:
    """Multiply matrices; it takes OPERATIONS in all."""
    a, b = (torch.randn(_SIZE, _SIZE).to(device, DTYPES[precision]) for _ in range(2))

    def products() -> None:
        for _ in range(_N_PRODUCTS):
            a @ b

    return timed(products)


def read(n_bytes: int, n_times: int) -> Work:
    """Read and add up the same bytes `n_times`; what caches hold comes from there."""
    numbers = torch.ones(n_bytes // 4)
    return timed(lambda: [numbers.sum() for _ in range(n_times)])


def copy() -> Work:
    """Copy N_BYTES: it reads as many and writes as many."""
    source = torch.ones(N_BYTES, dtype=torch.uint8)  # zeros that were never written are one page, and in a cache
    target = torch.empty_like(source)
    target.fill_(1)
    return timed(lambda: target.copy_(source))


def read_disk(folder: Path) -> Work:
    """Read N_BYTES that the system was asked to forget; where it cannot be asked, they come from its memory."""
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
    """Measure what the machine can do."""
    works = {precision: multiply(precision) for precision in precisions()} | {"copy": copy(), "disk": read_disk(folder)}
    seconds = median_seconds(works, n_rounds)
    (folder / "bytes").unlink()
    rates = {name: OPERATIONS / seconds[name] / 1e9 for name in precisions()}
    return [
        *(Figure("machine", f"matrix products, {name}", rate, "GFLOP/s") for name, rate in rates.items()),
        Figure("machine", "memory copied, read and written", 2 * N_BYTES / seconds["copy"] / 1e9, "GB/s"),
        Figure("machine", "disk read", N_BYTES / seconds["disk"] / 1e9, "GB/s"),
    ]
