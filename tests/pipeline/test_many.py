"""Several processes, started by the real torchrun, do what one does."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline import checkpoint, processes
from pipeline.cli import main
from pipeline.errors import SettingsError, TrainingError
from pipeline.predictors import make_predictor
from pipeline.representations import make_representation
from pipeline.settings import BEST, LAST, Settings
from pipeline.train import begin, train
from pipeline.windows import Batch, Position, batches, read_batch, sweep, windows
from tests.pipeline.conftest import TINY, TINY_CODES, TINY_FLOW, as_flags
from tests.pipeline.test_train import Silent
from waveforms.corpus import Corpus
from waveforms.errors import AudioError

LONG = TINY | {"steps": 1000, "validate_every": 10, "patience": 1000}
AGREEMENT = 1e-5  # in loss; float32 sums in another order differ by some 1e-7

# Runs command after command of the real command line in one process, and leaves its number and their exit statuses.
DRIVER = """
import json, os, pathlib, sys
from pipeline.cli import main
rank = os.environ["RANK"]
pathlib.Path("pid-" + rank).write_text(str(os.getpid()))
for n, arguments in enumerate(json.loads(sys.argv[1])):
    status = main(arguments)
    pathlib.Path(f"status-{n}-{rank}").write_text(str(status))
"""


class Job:
    """Two processes under torchrun that run some commands one after another."""

    def __init__(self, home: Path, *commands: list[str]) -> None:
        (home / "driver.py").write_text(DRIVER)
        self.home = home
        with (home / "told").open("w") as told:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
                    *("driver.py", json.dumps(commands)),
                ],
                cwd=home,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "error"},
                stdout=told,
                stderr=subprocess.STDOUT,
            )

    @property
    def told(self) -> str:
        return (self.home / "told").read_text()

    def wait_for(self, text: str) -> None:
        for _ in range(1200):
            if text in self.told:
                return
            assert self.process.poll() is None, self.told
            time.sleep(0.05)
        raise AssertionError(self.told)

    def kill(self, rank: int, number: signal.Signals) -> None:
        os.kill(int((self.home / f"pid-{rank}").read_text()), number)

    def end(self) -> int:
        return self.process.wait(timeout=120)

    def statuses(self, command: int) -> list[str]:
        return [(self.home / f"status-{command}-{rank}").read_text() for rank in (0, 1)]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    jobs = []

    def start(*commands: list[str]) -> Job:
        jobs.append(Job(tmp_path, *commands))
        return jobs[-1]

    yield start
    for started in jobs:
        if started.process.poll() is None:
            started.process.terminate()
            started.process.wait()


def losses(run: Path) -> dict[int, tuple[float, float, float]]:
    """By step: the training loss, the validation loss and that of a baseline."""
    return {
        int(row["step"]): (row["training_loss"], row["loss"], row["repeat"])
        for row in checkpoint.load(run / LAST).history
    }


def test_two_processes_train_what_one_trains_stop_together_and_go_on_as_one(
    corpus: Corpus, tiny: Settings, tmp_path: Path, job: Callable[..., Job]
) -> None:
    settings = tiny.with_values(LONG)
    train(begin(corpus, settings, None, Silent()), corpus, tmp_path / "one", Silent(stop_after=100))
    command = ["train", str(corpus.where), "--out=two"]
    two = job([*command, "--preset=classic", *as_flags(LONG)], [*command, "--resume"])

    two.wait_for("step     20")
    two.kill(1, signal.SIGTERM)  # not the one that writes
    two.wait_for("stopped and saved: two/last.safetensors")
    two.wait_for("step     50")
    assert two.statuses(0) == ["130", "130"]
    two.kill(1, signal.SIGKILL)
    assert two.end() != 0
    assert "quarterwave: another process of this job has ended; --resume goes on from the last save" in two.told
    assert two.told.count("step     20  loss") == 1  # one of them speaks
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == [BEST, LAST, "tensorboard"]

    saved = checkpoint.load(tmp_path / "two" / LAST)
    step = saved.progress["step"]
    assert step % 10 == 0
    train(saved, corpus, tmp_path / "two", Silent(stop_after=step + 10))
    one, other = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert list(other) == list(range(10, step + 11, 10))
    common = one.keys() & other.keys()
    assert max(common) >= 60
    for at in common:
        assert other[at] == pytest.approx(one[at], abs=AGREEMENT)


def test_two_processes_go_on_with_a_run_of_one_and_render_its_bytes(
    corpus: Corpus, tiny: Settings, tmp_path: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tiny.with_values(LONG)
    train(begin(corpus, settings, None, Silent()), corpus, tmp_path / "one", Silent(stop_after=25))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    resume = ["train", str(corpus.where), "--resume", "--steps=50"]
    generate = ["generate", "--checkpoint=one/best.safetensors", "--clips=40", "--seconds=0.5", "--prompt-seconds=0.5"]
    generate += ["--no-pictures"]
    assert main([*resume, "--out=one"]) == 0
    assert main([*generate, "--seed=3", "--out=clips"]) == 0
    two = job(
        ["train", "nowhere", "--out=unmade"],
        ["train", str(corpus.where), "--out=odd", "--batch-size=3"],
        [*resume, "--out=two"],
        [*generate, "--seed=3", "--out=clips2"],
        [*generate, "--out=any"],
        ["train", str(corpus.where), "--out=flow", *as_flags(TINY_FLOW | {"steps": 2})],
        ["train", str(corpus.where), "--out=codes", "--preset=codes", *as_flags(TINY_CODES | {"steps": 2})],
    )
    assert two.end() == 0, two.told
    assert [two.statuses(n) for n in range(7)] == [["1", "1"]] * 2 + [["0", "0"]] * 5
    assert "quarterwave: nowhere: a folder of recordings is needed, and there is none of this name" in two.told
    assert "quarterwave: batch_size must be a multiple of the number of processes, 2, and not 3" in two.told
    one, other = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert list(one) == list(other) == [10, 20, 30, 40, 50]
    for at in one:
        assert other[at] == pytest.approx(one[at], abs=AGREEMENT)
    clips = sorted((tmp_path / "clips").iterdir())
    assert len(clips) == 2 * 40
    assert [clip.name for clip in clips] == sorted(clip.name for clip in (tmp_path / "clips2").iterdir())
    for clip in clips:
        assert clip.read_bytes() == (tmp_path / "clips2" / clip.name).read_bytes(), clip.name
    assert len({name.name.split("-")[1] for name in (tmp_path / "any").iterdir()}) == 1  # one seed, drawn for all
    assert len(list((tmp_path / "any").iterdir())) == 2 * 40


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 5])
def test_each_window_is_seen_once_an_epoch_over_all_processes(corpus: Corpus, n_ranks: int) -> None:
    def epoch(rank: int, n_ranks: int) -> list[tuple[Batch, Position]]:
        return list(islice(batches(corpus, 6, 5, (0, 0), seed=3, rank=rank, n_ranks=n_ranks), n_batches))

    def rows(parts: list[Batch]) -> Counter[tuple[bytes, int]]:
        return Counter(
            (row.numpy().tobytes(), int(n))
            for part in parts
            if part.n_counted
            for row, n in zip(part.waveforms, part.n_targets, strict=True)
        )

    n_windows = len(windows(corpus, 6, np.random.default_rng([3, 0])))
    n_batches = -(-n_windows // 5)
    ranks = [epoch(rank, n_ranks) for rank in range(n_ranks)]
    assert ranks[0][-1][1] == Position(1, 0)
    assert rows([batch for rank in ranks for batch, _ in rank]) == rows([batch for batch, _ in epoch(0, 1)])
    assert sum(batch.n_counted for rank in ranks for batch, _ in rank) == corpus.n_blocks - 1
    for step in zip(*ranks, strict=True):
        assert len({position for _, position in step}) == 1
        assert len({batch.n_in_all for batch, _ in step}) == 1
        assert sum(batch.share for batch, _ in step) == pytest.approx(1)


@pytest.mark.parametrize(("n_windows", "n_ranks"), [(8, 2), (5, 2), (3, 2), (1, 2), (3, 4)])
def test_gradients_of_the_parts_add_up_to_that_of_the_batch(
    corpus: Corpus, tiny: Settings, n_windows: int, n_ranks: int
) -> None:
    """Also where windows are of different lengths, and where a process has none of them."""
    representation = make_representation(tiny.representation)
    representation.fit(sweep(corpus, (0, 0)))
    torch.manual_seed(0)
    predictor = make_predictor(tiny.with_values({"error": "squared"}), representation.shape)
    torch.nn.init.normal_(predictor.head.dense.weight, std=0.02)  # type: ignore[union-attr,arg-type]
    plan = windows(corpus, 6)[-n_windows:]
    assert n_windows == 1 or len({window.n_targets for window in plan}) > 1

    def gradient(rank: int, n: int) -> torch.Tensor:
        batch = read_batch(corpus, plan, 6, (0, 0), rank=rank, n_ranks=n)
        predictor.zero_grad()
        sequence = representation.transform(torch.stack(batch.waveforms))
        (predictor.loss(sequence, batch.n_targets) * batch.share).backward()
        return torch.cat([p.grad.flatten() for p in predictor.parameters()])  # type: ignore[union-attr]

    whole, parts = gradient(0, 1), sum(gradient(rank, n_ranks) for rank in range(n_ranks))
    torch.testing.assert_close(parts, whole, atol=1e-6 * float(whole.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("n_ranks", [2, 3, 8])
def test_statistics_of_the_parts_are_those_of_the_corpus(corpus: Corpus, tiny: Settings, n_ranks: int) -> None:
    """Five stretches: with eight processes, three of them have nothing."""
    whole = make_representation(tiny.representation)
    whole.fit(sweep(corpus, (0, 0)))
    barrier = threading.Barrier(n_ranks)
    tensors: dict[int, torch.Tensor] = {}

    def fit(rank: int) -> None:
        def total(part: torch.Tensor) -> torch.Tensor:
            tensors[rank] = part
            barrier.wait()
            summed = sum(tensors[n] for n in range(n_ranks))
            barrier.wait()
            return summed  # type: ignore[return-value]

        fitted[rank].fit(sweep(corpus, (0, 0), rank=rank, n_ranks=n_ranks), total)

    fitted = [make_representation(tiny.representation) for _ in range(n_ranks)]
    threads = [threading.Thread(target=fit, args=(rank,)) for rank in range(n_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in fitted:
        torch.testing.assert_close(one.mean_, whole.mean_, atol=1e-9, rtol=1e-6)
        torch.testing.assert_close(one.std_, whole.std_, atol=0, rtol=1e-6)


def test_a_batch_that_cannot_be_divided_is_refused(tiny: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_joined", lambda *_: SimpleNamespace(world_size=3))
    with pytest.raises(SettingsError) as caught:
        processes.join(tiny.training)
    assert str(caught.value) == "batch_size must be a multiple of the number of processes, 3, and not 4"


@pytest.mark.parametrize(
    ("environment", "started"),
    [
        ({}, (1, 1)),
        ({"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8", "SLURM_NTASKS": "2"}, (4, 2)),
        ({"SLURM_NTASKS": "6", "SLURM_NTASKS_PER_NODE": "3", "SLURM_NNODES": "2"}, (3, 2)),
        ({"SLURM_NTASKS": "6", "SLURM_NTASKS_PER_NODE": "3", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "bash"}, (1, 1)),
    ],
)
def test_processes_are_counted_as_they_were_started(
    environment: dict[str, str], started: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes._started() == started


def test_only_faults_of_the_network_are_told_as_such() -> None:
    with pytest.raises(TrainingError, match="another process of this job has ended"), processes.loss_of_others_told():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes"), processes.loss_of_others_told():
        raise RuntimeError("shapes do not match")


def test_a_fault_passes_from_process_to_process() -> None:
    again = pickle.loads(pickle.dumps(AudioError("a.wav", "silent: hush")))
    assert (str(again), again.path, again.reason) == ("a.wav: silent: hush", Path("a.wav"), "silent: hush")
