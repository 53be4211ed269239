"""Several processes, started by the real torchrun, do what one does."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from lightning_fabric import Fabric

from pipeline import checkpoint, distributed
from pipeline.cli.main import main
from pipeline.config import BEST, LAST, Settings, preset_named
from pipeline.errors import TrainingError
from pipeline.models import Losses
from pipeline.models.base import total_loss
from pipeline.training.lanes import batches, encode_batch
from pipeline.training.pieces import fitted_to, pieces_of
from tests.pipeline.conftest import TINY, TINY_CODES, TINY_FLOW, as_flags
from tests.pipeline.training.runs import Recorder, begun, resumed, trained
from waveforms.corpus import Corpus
from waveforms.errors import AudioError

LONG = TINY | {"steps": 1000, "validate_every": 10, "patience": 1000}
AGREEMENT = 1e-5  # in loss; float32 sums in another order differ by some 1e-7

# Runs command after command of the real command line in one process, and leaves its number and their exit statuses.
DRIVER = """
import json, os, pathlib, sys
from pipeline.cli.main import main
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
        with (home / "printed").open("w") as printed:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
                    *("driver.py", json.dumps(commands)),
                ],
                cwd=home,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONWARNINGS": "error"},
                stdout=printed,
                stderr=subprocess.STDOUT,
            )

    @property
    def printed(self) -> str:
        return (self.home / "printed").read_text()

    def wait_for(self, text: str) -> None:
        for _ in range(1200):
            if text in self.printed:
                return
            assert self.process.poll() is None, self.printed
            time.sleep(0.05)
        raise AssertionError(self.printed)

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
    trained(corpus, settings, tmp_path / "one", Recorder(stop_after=100))
    command = ["train", str(corpus.where), "--out=two"]
    two = job([*command, "--preset=classic", *as_flags(LONG)], [*command, "--resume"])

    two.wait_for("step     20")
    two.kill(1, signal.SIGTERM)  # not the one that writes
    two.wait_for("stopped and saved: two/last.safetensors")
    two.wait_for("step     50")
    assert two.statuses(0) == ["130", "130"]
    two.kill(1, signal.SIGKILL)
    assert two.end() != 0
    assert "quarterwave: another process of this job has ended; --resume goes on from the last save" in two.printed
    assert two.printed.count("step     20  loss") == 1  # one of them speaks
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == [BEST, LAST, "tensorboard"]

    step = checkpoint.read_document(tmp_path / "two" / LAST)["progress"]["step"]
    assert step % 10 == 0
    resumed(corpus, tmp_path / "two", Recorder(stop_after=step + 10))
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
    trained(corpus, settings, tmp_path / "one", Recorder(stop_after=25))
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
        ["train", str(corpus.where), "--out=flow", *as_flags(TINY_FLOW | {"steps": 2, "note_rows": 3})],
        ["train", str(corpus.where), "--out=flow", "--resume", "--steps=4"],
    )
    assert two.end() == 0, two.printed
    assert [two.statuses(n) for n in range(7)] == [["1", "1"]] * 2 + [["0", "0"]] * 5
    assert "quarterwave: nowhere: a folder of recordings is needed, and there is none of this name" in two.printed
    assert "quarterwave: batch_size must be a multiple of the number of processes, 2, and not 3" in two.printed
    one, other = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert list(one) == list(other) == [10, 20, 30, 40, 50]
    for at in one:
        assert other[at] == pytest.approx(one[at], abs=AGREEMENT)
    clips = sorted((tmp_path / "clips").iterdir())
    assert len(clips) == 2 * 40
    assert [clip.name for clip in clips] == sorted(clip.name for clip in (tmp_path / "clips2").iterdir())
    for clip in clips:
        assert clip.read_bytes() == (tmp_path / "clips2" / clip.name).read_bytes(), clip.name
    assert len({name.name.split("-")[1] for name in (tmp_path / "any").iterdir()}) == 1  # one random seed for all
    assert len(list((tmp_path / "any").iterdir())) == 2 * 40


@pytest.mark.usefixtures("known_notes")
@pytest.mark.parametrize("preset", ["classic", "codes"])
@pytest.mark.parametrize("n_ranks", [2, 4])
def test_gradients_of_the_parts_add_up_to_that_of_the_batch(
    corpus: Corpus, preset: str, n_ranks: int, tmp_path: Path
) -> None:
    """Each part's mean is over what all parts count, of which some rows hold more notes than others."""
    values = {"classic": TINY | {"error": "squared"}, "codes": TINY_CODES | {"note_rows": 3}}[preset]
    settings = preset_named(preset).with_values(values)
    run = begun(corpus, settings, tmp_path).checkpoint
    model = run.model.eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(0))
    pieces = fitted_to(pieces_of(corpus, run.codec), run.codec)

    def losses(rank: int, n: int) -> Losses:
        lanes = batches(pieces, pieces, 4, settings.model.note_sequences, 6, run.codec, seed=0, rank=rank, n_ranks=n)
        latents = encode_batch(next(lanes), run.codec, torch.device("cpu"))
        return model.loss(latents, model.init_state(latents.n_rows))[0]

    def gradient(parts: Losses) -> torch.Tensor:
        model.zero_grad()
        total_loss(parts).backward()  # type: ignore[no-untyped-call]
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    whole = gradient(losses(0, 1))
    of_ranks = [losses(rank, n_ranks) for rank in range(n_ranks)]
    numbers = {name: sum(parts[name].n for parts in of_ranks) for name in of_ranks[0]}
    assert preset == "classic" or len({parts["keys"].n for parts in of_ranks}) > 1
    parts = sum(gradient({n: part._replace(n=numbers[n]) for n, part in each.items()}) for each in of_ranks)
    torch.testing.assert_close(parts, whole, atol=2e-6 * float(whole.abs().max()), rtol=1e-3)


@pytest.mark.parametrize(
    ("environment", "started"),
    [
        ({}, (1, 1)),
        ({"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8", "SLURM_NTASKS": "2"}, (4, 2)),
        ({"SLURM_NTASKS": "6", "SLURM_NTASKS_PER_NODE": "3", "SLURM_NNODES": "2"}, (3, 2)),
        ({"SLURM_NTASKS": "6", "SLURM_NTASKS_PER_NODE": "3", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "bash"}, (1, 1)),
    ],
)
def test_processes_are_counted_as_they_were_started(environment: dict[str, str], started: tuple[int, int]) -> None:
    assert distributed.launched_processes(environment) == started


def test_an_exchange_that_fails_names_a_lost_process() -> None:
    """One process has nobody to lose, and what does not fit in memory is nobody's end."""
    two, alone = (cast(Fabric, SimpleNamespace(world_size=n)) for n in (2, 1))
    with pytest.raises(TrainingError) as caught, distributed.lost_process_reported(two):
        raise RuntimeError("Connection closed by peer")
    sentence = "another process of this job has ended; --resume goes on from the last save (Connection closed by peer)"
    assert str(caught.value) == sentence
    with pytest.raises(torch.OutOfMemoryError), distributed.lost_process_reported(two):
        raise torch.OutOfMemoryError("tried to allocate 20 GiB")
    with pytest.raises(RuntimeError, match="shapes"), distributed.lost_process_reported(alone):
        raise RuntimeError("shapes do not match")


def test_a_fault_passes_from_process_to_process() -> None:
    again = pickle.loads(pickle.dumps(AudioError("a.wav", "silent: hush")))
    assert (str(again), again.path, again.reason) == ("a.wav: silent: hush", Path("a.wav"), "silent: hush")
