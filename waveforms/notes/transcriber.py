"""The notes of a recording of piano: heard by a small network that the sampled piano has taught.

    samples -> at one loudness -> spectrograms -> network, its state carried along -> tracking -> notes

`tools/teach_transcriber.py` teaches it, and `transcriber.md` tells with what, and how well it hears.
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
from waveforms.notes.spectrogram import FRAME_SAMPLES, MARGIN, to_spectrograms
from waveforms.notes.tracking import Tracker

WEIGHTS = Path(__file__).with_name("transcriber.safetensors")
LOUDNESS = -23.0  # LUFS at which everything is heard: how loud a file is says nothing of how hard the keys are struck
N_CHUNK = 250  # frames transcribed at a time, 5 s: memory does not grow with the recording
_N_BEFORE = CONTEXT * FRAME_SAMPLES + MARGIN  # samples that a chunk needs before and after its own


def transcribe(waveform: Waveform) -> Notes:
    """Hear the notes of a waveform.

    Args:
        waveform: mono float32 (n_samples,) at SAMPLE_RATE, finite.
    """
    meter = LoudnessMeter()
    meter.add(waveform)
    return transcribe_stream([waveform], meter.integrated())


def transcribe_stream(pieces: Iterable[Waveform], loudness: float) -> Notes:
    """Hear the notes of a recording that comes in pieces, in memory to which only its notes add.

    Args:
        pieces: the recording's samples, mono float32 at SAMPLE_RATE, finite; how they are cut changes nothing.
        loudness: integrated, of all of them, in LUFS; -inf is silence.
    """
    if loudness == -np.inf:
        return Notes.of([])
    tracker = Tracker()
    rows = [row for frames in _frames(pieces, 10 ** ((LOUDNESS - loudness) / 20)) for row in tracker.add(frames)]
    return Notes.of([*rows, *tracker.end()])


@lru_cache
def version() -> str:
    """What tells these weights from others: the beginning of a digest of their file."""
    return hashlib.blake2b(WEIGHTS.read_bytes(), digest_size=8).hexdigest()


def _frames(pieces: Iterable[Waveform], gain: float) -> Iterator[NDArray[np.float32]]:
    """What the network says, chunk by chunk: (n_frames, N_KEYS, 3)."""
    network, state = _network(), None
    for chunk in _chunks(pieces):
        short, long = to_spectrograms(torch.from_numpy(chunk * np.float32(gain)))
        with torch.inference_mode():
            logits, state = network(short[None], long[None], state)
        yield logits[0].sigmoid().numpy()


def _chunks(pieces: Iterable[Waveform]) -> Iterator[Waveform]:
    """N_CHUNK frames at a time with what lies around them; zeros before and behind the recording.

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
