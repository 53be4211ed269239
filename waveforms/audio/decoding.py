"""An open sound file -> mono pieces at its own rate -> pieces at SAMPLE_RATE, all of one length."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from waveforms import SAMPLE_RATE
from waveforms.audio.formats import Sound
from waveforms.errors import AudioError

Waveform = npt.NDArray[np.float32]

_MAX_FRAMES = 1 << 48  # beyond any file: libsndfile reports 2**63 - 1 if a header holds no length
_N_VALUES_PER_READ = 1 << 18  # frames * channels, so that 64 channels cost no more memory than one
_N_MP3_FRAME = 1152


def count_frames(sound: Sound) -> int:
    """Return a file's length in frames: what its header says, or a count if the header holds none.

    A FLAC file that was written to a pipe holds none.
    """
    if sound.frames <= _MAX_FRAMES:
        return int(sound.frames)
    n_frames = sum(len(piece) for piece in mono_pieces(sound))
    sound.seek(0)
    return n_frames


def mono_pieces(sound: Sound) -> Iterator[Waveform]:
    """Yield the mean of the channels at the file's own rate.

    Raises:
        AudioError: a sample is not finite, or fewer frames come than the header promises.
    """
    n_frames_per_read = max(1, _N_VALUES_PER_READ // sound.channels)
    position = 0
    n_read = n_frames_per_read
    while n_read == n_frames_per_read:  # fewer is the end; libsndfile would jump a gap in a damaged file
        frames = _read(sound, n_frames_per_read, position)
        n_read = len(frames)
        yield _mixed(sound, frames, position)
        position += n_read
    if position + _tolerance(sound) < sound.frames < _MAX_FRAMES:
        raise _truncated(sound, position)


def window(sound: Sound, start: int, stop: int) -> Waveform:
    """Seek, and read frames [start, stop) as mono.

    Raises:
        AudioError: a sample is not finite, or the frames are not there.
    """
    sound.seek(start)
    waveform = np.empty(stop - start, np.float32)
    n_frames_per_read = max(1, _N_VALUES_PER_READ // sound.channels)
    for position in range(start, stop, n_frames_per_read):
        n_wanted = min(n_frames_per_read, stop - position)
        frames = _read(sound, n_wanted, position)
        if len(frames) < n_wanted:
            raise _truncated(sound, position + len(frames))
        waveform[position - start :][:n_wanted] = _mixed(sound, frames, position)
    return waveform


def resampled(pieces: Iterable[Waveform], source_rate: int) -> Iterator[Waveform]:
    """Resample pieces of one waveform to SAMPLE_RATE; the result does not depend on where the pieces begin."""
    # soxr's HQ: flat to 0.91 of the lower Nyquist frequency, images and aliases below -100 dB.
    resampler = soxr.ResampleStream(source_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for piece in pieces:
        yield resampler.resample_chunk(piece)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def regrouped(pieces: Iterable[Waveform], n_samples: int) -> Iterator[Waveform]:
    """Cut pieces of any length into pieces of n_samples; the last may be shorter, none is empty.

    >>> [len(piece) for piece in regrouped([np.zeros(5), np.zeros(2)], 3)]
    [3, 3, 1]
    """
    rest = np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate((rest, piece)) if len(rest) else piece
        n_whole = len(rest) // n_samples * n_samples
        for start in range(0, n_whole, n_samples):
            yield rest[start : start + n_samples]
        rest = rest[n_whole:]
    if len(rest):
        yield rest


def _mixed(sound: Sound, frames: Waveform, position: int) -> Waveform:
    """Average the channels, (n_frames, n_channels) -> (n_frames,).

    The channels are added one by one: np.mean's order of summation may vary with the length, and an excerpt must equal
    the same samples of the whole to the bit.
    """
    mono = frames[:, 0].copy()
    for channel in range(1, frames.shape[1]):
        mono += frames[:, channel]
    mono /= np.float32(frames.shape[1])
    finite = np.isfinite(mono)
    if not finite.all():
        first = int(np.argmin(finite))
        seconds = (position + first) / sound.samplerate
        raise AudioError(sound.path, f"not finite: the sample at {seconds:.3f} s is {mono[first]}")
    return mono


def _read(sound: Sound, n_frames: int, position: int) -> Waveform:
    """Read up to n_frames, (n_frames, n_channels)."""
    try:
        frames: Waveform = sound.read(n_frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        complaint = error.error_string.removeprefix("Error : ").rstrip(".") or "no reason given"
        where = f"cannot be decoded beyond {position / sound.samplerate:.2f} s"
        raise AudioError(sound.path, f"damaged: {where} ({complaint})") from error
    return frames


def _truncated(sound: Sound, n_found: int) -> AudioError:
    """Make the error of a file that ends before its header says it does."""
    promised, found = sound.frames / sound.samplerate, n_found / sound.samplerate
    return AudioError(sound.path, f"truncated: its header promises {promised:.2f} s and {found:.2f} s can be decoded")


def _tolerance(sound: Sound) -> int:
    """Return how many frames may be missing from the header's count in a whole file."""
    if sound.format != "MP3":
        return 0
    return 2 * _N_MP3_FRAME  # writers disagree on whether the frame that holds the count is counted
