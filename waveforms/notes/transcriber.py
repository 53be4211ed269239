"""Transcribes recordings of piano with a small network that was trained on a sampled piano.

    samples -> at one loudness -> spectrograms -> network with hidden state -> tracking -> notes

`tools/train_transcriber.py` trains it; `transcriber.md` describes the training data and how well it transcribes.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from waveforms.audio import Waveform
from waveforms.audio.loudness import LoudnessMeter
from waveforms.notes.events import Notes
from waveforms.notes.network import CONTEXT, Network
from waveforms.notes.spectrogram import FRAME_SAMPLES, PADDING, to_spectrograms
from waveforms.notes.tracking import Tracker

WEIGHTS = Path(__file__).with_name("transcriber.safetensors")
LOUDNESS = -23.0  # LUFS of all input: a file's loudness says nothing about the velocities of its notes
N_CHUNK = 250  # frames transcribed at a time, 5 s: memory does not grow with the recording
_N_BEFORE = CONTEXT * FRAME_SAMPLES + PADDING  # samples that a chunk needs before and after its own


def transcribe(waveform: Waveform) -> Notes:
    """Transcribe a waveform.

    Args:
        waveform: mono float32 (n_samples,) at SAMPLE_RATE, finite.
    """
    meter = LoudnessMeter()
    meter.add(waveform)
    return transcribe_stream([waveform], meter.integrated())


def transcribe_stream(pieces: Iterable[Waveform], loudness: float) -> Notes:
    """Transcribe a recording that comes in pieces, in memory that grows only with its notes.

    Args:
        pieces: the recording's samples, mono float32 at SAMPLE_RATE, finite; the length of pieces does not matter.
        loudness: integrated loudness of all samples, in LUFS; -inf is silence.
    """
    if loudness == -np.inf:
        return Notes.of([])
    tracker = Tracker()
    rows = [row for frames in _frames(pieces, 10 ** ((LOUDNESS - loudness) / 20)) for row in tracker.add(frames)]
    return Notes.of([*rows, *tracker.end()])


@lru_cache
def version() -> str:
    """Return a digest of the file of weights."""
    return hashlib.blake2b(WEIGHTS.read_bytes(), digest_size=8).hexdigest()


def _frames(pieces: Iterable[Waveform], gain: float) -> Iterator[NDArray[np.float32]]:
    """Run the network chunk by chunk: (n_frames, N_KEYS, 3)."""
    network, state = _network(), None
    for chunk in _chunks(pieces):
        short, long = to_spectrograms(torch.from_numpy(chunk * np.float32(gain)))
        with torch.inference_mode():
            logits, state = network(short[None], long[None], state)
        yield logits[0].sigmoid().numpy()


def _chunks(pieces: Iterable[Waveform]) -> Iterator[Waveform]:
    """Yield N_CHUNK frames at a time with context around them; zeros surround the recording.

    Whole frames: the last samples are completed with zeros.
    """
    n_step = N_CHUNK * FRAME_SAMPLES
    held = np.zeros(_N_BEFORE, np.float32)
    for piece in pieces:
        held = np.concatenate((held, piece))
        while len(held) >= n_step + 2 * _N_BEFORE:
            yield held[: n_step + 2 * _N_BEFORE]
            held = held[n_step:]
    while len(held) > _N_BEFORE:
        n_frames = min(N_CHUNK, -(-(len(held) - _N_BEFORE) // FRAME_SAMPLES))
        yield np.pad(held, (0, n_step + _N_BEFORE))[: n_frames * FRAME_SAMPLES + 2 * _N_BEFORE]
        held = held[n_frames * FRAME_SAMPLES :]


@lru_cache
def _network() -> Network:
    network = Network()
    network.load_state_dict({name: weight.float() for name, weight in load_file(WEIGHTS).items()})
    return network.eval().requires_grad_(False)
