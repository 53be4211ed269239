"""What recordings do after prompts: the right samples, room for them, and what a codec makes of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.checkpoint import Checkpoint, Excerpt, save
from pipeline.codecs import Example, make_codec
from pipeline.config import preset_named
from pipeline.evaluation.continuation import ContinuationAnchors, ContinuedPrompt, choose_continued, prompt_sources
from pipeline.evaluation.rendering import PROMPT_SECONDS, resynthesise
from pipeline.evaluation.request import EvaluationRequest
from pipeline.evaluation.systems import Collector
from pipeline.models import make_model
from pipeline.training.lineage import named_split
from pipeline.training.pieces import Piece, choose_excerpts
from tests.pipeline.conftest import TINY, TINY_FLOW
from tests.pipeline.evaluation.playing import playing
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.events import Notes
from waveforms.notes.transcriber import transcribe

N_PROMPT = round(PROMPT_SECONDS * SAMPLE_RATE)
SECONDS = {"long": 40.0, "just": 15.0, "short": 14.75}
N_BLOCKS = 40  # 10 s
PATH = Path("run/best.safetensors")


@pytest.fixture
def corpus(record: Callable[..., Path], tmp_path: Path) -> Corpus:
    for n, (name, seconds) in enumerate(SECONDS.items()):
        record(f"takes/{name}.wav", playing(n, seconds))
    return Corpus.open(tmp_path / "takes")


def checkpoint(preset: str = "classic", **values: object) -> Checkpoint:
    settings = preset_named(preset).with_values((TINY_FLOW if preset == "flow" else TINY) | values)
    codec = make_codec(settings.codec)
    return Checkpoint(settings, make_model(settings, codec), codec, {})


def excerpts_of(corpus: Corpus) -> list[Excerpt]:
    return choose_excerpts([Piece(recording.name, BLOCK_SIZE, None, recording) for recording in corpus])


def is_what_follows(each: ContinuedPrompt, corpus: Corpus) -> None:
    """The prompt is a stretch of its recording, and the continuation what comes then, to the bit of 16."""
    recording = corpus[each.origin.excerpt.source]
    at = int(float(each.prompt.source.split(" @ ")[1].split(" ")[0]) * SAMPLE_RATE)
    expected = recording.read(at, at + N_PROMPT + N_BLOCKS * BLOCK_SIZE)
    assert at + len(expected) <= recording.n_samples
    assert np.abs(each.prompt.waveform - expected[:N_PROMPT]).max() <= 2**-15
    assert np.abs(each.continuation("x", N_BLOCKS * BLOCK_SIZE).read() - expected[N_PROMPT:]).max() <= 2**-15


def test_a_continuation_is_what_the_recording_does_next(corpus: Corpus) -> None:
    found = prompt_sources(excerpts_of(corpus), corpus, PATH, BLOCK_SIZE)
    prompts = choose_continued(found, N_BLOCKS * BLOCK_SIZE, 24, seed=1)
    for each in prompts:
        is_what_follows(each, corpus)
    assert {each.origin.excerpt.source for each in prompts} == {"long.wav", "just.wav"}  # the other has no room
    seconds = [each.stop / SAMPLE_RATE for each in prompts if each.origin.excerpt.source == "long.wav"]
    assert max(seconds) > 15.0  # excerpts last 20 s, the recording goes on behind them
    assert [each.stop for each in prompts] == [
        each.stop for each in choose_continued(found, N_BLOCKS * BLOCK_SIZE, 24, seed=1)
    ]
    segment = prompts[0].continuation("one", BLOCK_SIZE)
    assert segment.source == f"{corpus[prompts[0].origin.excerpt.source].path} @ {prompts[0].stop / SAMPLE_RATE:g} s"


def test_a_checkpoint_alone_continues_within_its_excerpts(corpus: Corpus) -> None:
    found = prompt_sources(excerpts_of(corpus), None, PATH, BLOCK_SIZE)
    prompts = choose_continued(found, N_BLOCKS * BLOCK_SIZE, 24, seed=1)
    for each in prompts:
        is_what_follows(each, corpus)
        assert each.stop <= len(each.origin.excerpt.samples) - N_BLOCKS * BLOCK_SIZE
        assert each.continuation("one", BLOCK_SIZE).source == f"{PATH} @ {each.stop / SAMPLE_RATE:g} s"


def test_a_recording_of_the_same_name_is_not_always_the_excerpts(corpus: Corpus) -> None:
    excerpts = excerpts_of(corpus)
    other = [replace(p, samples=p.samples.clone()) for p in excerpts]
    other[0].samples[12_345] += 100
    found = prompt_sources(other, corpus, PATH, BLOCK_SIZE)
    assert [source.path == PATH for source in found] == [True, *[False] * (len(other) - 1)]


def test_places_by_hand() -> None:
    excerpt = Excerpt("a.wav", 0.0, torch.zeros(80 * BLOCK_SIZE, dtype=torch.int16), Notes.of([]))
    (alone,) = prompt_sources([excerpt], None, PATH, BLOCK_SIZE)
    assert [alone.n_places(n * BLOCK_SIZE) for n in (0, 40, 59, 60, 61, 240)] == [61, 21, 2, 1, 0, 0]


def resynthesised(checkpoint: Checkpoint, prompts: list[ContinuedPrompt], folder: Path) -> list[np.ndarray]:
    done: list[int] = []
    recordings = [each.with_continuation((N_BLOCKS + 10) * BLOCK_SIZE) for each in prompts]
    waveforms = [segment.read() for segment in resynthesise(checkpoint, recordings, folder, done.append)]
    assert sum(done) == sum(map(len, waveforms)) == len(prompts) * (N_BLOCKS + 10) * BLOCK_SIZE
    return waveforms


def test_a_lossless_codec_gives_the_continuation_back(corpus: Corpus, tmp_path: Path) -> None:
    """Of 12.5 s behind 5 s of prompt: more than is decoded at a time."""
    prompts = choose_continued(
        prompt_sources(excerpts_of(corpus), corpus, PATH, BLOCK_SIZE), (N_BLOCKS + 10) * BLOCK_SIZE, 2, seed=0
    )
    for each, waveform in zip(prompts, resynthesised(checkpoint(), prompts, tmp_path), strict=True):
        assert np.abs(waveform - each.continuation("x", len(waveform)).read()).max() < 1e-5


def test_a_lossy_one_loses_phases_and_keeps_its_place(corpus: Corpus, tmp_path: Path) -> None:
    """Levels of 50 ms go with the recording's, and with no other moment's."""
    prompts = choose_continued(
        prompt_sources(excerpts_of(corpus), corpus, PATH, BLOCK_SIZE), (N_BLOCKS + 10) * BLOCK_SIZE, 1, seed=0
    )
    loaded = checkpoint("flow", dims=400)
    waveform = playing(3, 20.0)
    padded = torch.from_numpy(np.pad(waveform, loaded.codec.padding))
    loaded.codec.fit([Example(padded, transcribe(waveform), 0)])
    (waveform,) = resynthesised(loaded, prompts, tmp_path)
    levels = [
        np.log(np.square(w).reshape(-1, 2205).mean(1))
        for w in (waveform, prompts[0].continuation("x", len(waveform)).read())
    ]
    assert np.corrcoef(levels)[0, 1] > 0.9
    assert np.corrcoef(np.roll(levels[0], 4), levels[1])[0, 1] < 0.7


def test_checkpoints_share_the_anchors_that_are_the_same(corpus: Corpus, tmp_path: Path) -> None:
    found = prompt_sources(excerpts_of(corpus), corpus, PATH, BLOCK_SIZE)
    ours, theirs = (choose_continued(found, 4 * BLOCK_SIZE, 2, seed=seed) for seed in (0, 1))
    tasks: list[str] = []

    def start(description: str, total: int) -> Callable[[int], None]:
        tasks.append(description)
        return lambda n: None

    continuations = ContinuationAnchors(tmp_path / "clips", 4 * BLOCK_SIZE, start)
    names = [
        (each.continuation, each.resynthesis)
        for each in (
            continuations.add("a", checkpoint(), ours),
            continuations.add("b", checkpoint(width=8), ours),
            continuations.add("c", checkpoint(overlap=100), ours),
            continuations.add("d", checkpoint(), theirs),
        )
    ]
    assert names == [
        ("continuation", "resynthesis"),
        ("continuation", "resynthesis"),
        ("continuation", "resynthesis of c"),
        ("continuation of d", "resynthesis of d"),
    ]
    anchors = continuations.systems
    assert list(anchors) == ["continuation", "resynthesis", "resynthesis of c", "continuation of d", "resynthesis of d"]
    assert tasks == ["resynthesis", "resynthesis of c", "resynthesis of d"]
    assert [(anchor.continuation, anchor.resynthesis) for anchor in anchors.values()] == [
        ("", "resynthesis"),
        ("continuation", ""),
        ("continuation", ""),
        ("", "resynthesis of d"),
        ("continuation of d", ""),
    ]
    for anchor in anchors.values():
        assert [segment.n_samples for segment in anchor.segments] == [4 * BLOCK_SIZE] * 2


def test_only_prompts_with_room_are_begun_from_and_the_others_are_counted(corpus: Corpus, tmp_path: Path) -> None:
    split = named_split(corpus.subset(["just.wav", "short.wav"]), corpus.subset(["long.wav"]))
    folder = Path(corpus.places[0])
    path = tmp_path / "one.safetensors"
    save(replace(checkpoint(), split=split), path)
    request = EvaluationRequest(
        [f"a={path}", f"b={path}", f"clips={folder}"],
        out=tmp_path / "out",
        prompts=folder,
        classic=folder,
        n_clips=2,
    )
    found = Collector(request, lambda description, n_parts: lambda n_done: None).collect()
    for name in ("a", "b"):
        note = f"{name}: no clip begins from 1 of 4 excerpts: no room for a prompt of 5 s and 10 s more"
        assert note in found.notes
    assert [each.name for each in found.systems][2:6] == ["clips", "real", "continuation", "resynthesis"]
    held = {each.name: (each.continuation, each.resynthesis) for each in found.systems if each.continuation}
    both = ("continuation", "resynthesis")
    assert held == {"a": both, "b": both, "resynthesis": ("continuation", "")}
