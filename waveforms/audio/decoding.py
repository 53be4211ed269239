"""An open sound file as mono pieces, resampled and regrouped: the inside of `audio.stream`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from waveforms import SAMPLE_RATE
from waveforms.errors import AudioError

Waveform = npt.NDArray[np.float32]

MAX_FRAMES = 1 << 48  # beyond any file: libsndfile answers 2**63 - 1 where a header does not tell
_N_VALUES_PER_READ = 1 << 18  # frames × channels, so that 64 channels cost no more memory than one
_N_MP3_FRAME = 1152


def mono_pieces(path: Path, file: soundfile.SoundFile) -> Iterator[Waveform]:
    """Yield the mean of the channels at the file's own rate.

    Raises:
        AudioError: a sample is not finite, or fewer frames come than the header promises.
    """
    n_frames_per_read = max(1, _N_VALUES_PER_READ // file.channels)
    position = 0
    n_read = n_frames_per_read
    while n_read == n_frames_per_read:  # fewer is the end; libsndfile would jump a gap in a damaged file
        frames = _read(path, file, n_frames_per_read, position)
        n_read = len(frames)
        yield mixed(path, frames, position, file.samplerate)
        position += n_read
    if position + _tolerance(file) < file.frames < MAX_FRAMES:
        raise cut_short(path, file.frames, position, file.samplerate)


def window(path: Path, file: soundfile.SoundFile, start: int, stop: int) -> Waveform:
    """Seek, and read frames [start, stop) as mono.

    Raises:
        AudioError: a sample is not finite, or the frames are not there.
    """
    file.seek(start)
    waveform = np.empty(stop - start, np.float32)
    n_frames_per_read = max(1, _N_VALUES_PER_READ // file.channels)
    for position in range(start, stop, n_frames_per_read):
        n_wanted = min(n_frames_per_read, stop - position)
        frames = _read(path, file, n_wanted, position)
        if len(frames) < n_wanted:
            raise cut_short(path, file.frames, position + len(frames), file.samplerate)
        waveform[position - start :][:n_wanted] = mixed(path, frames, position, file.samplerate)
    return waveform


def mixed(path: Path, frames: Waveform, position: int, sample_rate: int) -> Waveform:
    """Average the channels, (n_frames, n_channels) -> (n_frames,).

    Added one by one rather than by np.mean, whose order of summation may vary with the length:
    a window must equal the same slice of the whole to the bit.
    """
    mono = frames[:, 0].copy()
    for channel in range(1, frames.shape[1]):
        mono += frames[:, channel]
    mono /= np.float32(frames.shape[1])
    finite = np.isfinite(mono)
    if not finite.all():
        first = int(np.argmin(finite))
        seconds = (position + first) / sample_rate
        raise AudioError(path, f"not finite: the sample at {seconds:.3f} s is {mono[first]}")
    return mono


def resampled(pieces: Iterable[Waveform], source_rate: int) -> Iterator[Waveform]:
    """Resample pieces of one waveform to SAMPLE_RATE; the cuts between them leave no trace."""
    # soxr's HQ: flat to 0.91 of the lower Nyquist frequency, images and aliases below -100 dB.
    resampler = soxr.ResampleStream(source_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for piece in pieces:
        yield resampler.resample_chunk(piece)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def regrouped(pieces: Iterable[Waveform], n_samples: int) -> Iterator[Waveform]:
    """Cut pieces of any length into pieces of n_samples; the last may be shorter, none is empty."""
    rest = np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate((rest, piece)) if len(rest) else piece
        n_whole = len(rest) // n_samples * n_samples
        for start in range(0, n_whole, n_samples):
            yield rest[start : start + n_samples]
        rest = rest[n_whole:]
    if len(rest):
        yield rest


def cut_short(path: Path, n_promised: int, n_found: int, sample_rate: int) -> AudioError:
    """Make the error of a file that ends before its header says it does."""
    promised, found = n_promised / sample_rate, n_found / sample_rate
    return AudioError(path, f"truncated: its header promises {promised:.2f} s and {found:.2f} s can be decoded")


def _read(path: Path, file: soundfile.SoundFile, n_frames: int, position: int) -> Waveform:
    """Read up to n_frames, (n_frames, n_channels)."""
    try:
        frames: Waveform = file.read(n_frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        complaint = error.error_string.removeprefix("Error : ").rstrip(".") or "no reason given"
        where = f"cannot be decoded beyond {position / file.samplerate:.2f} s"
        raise AudioError(path, f"damaged: {where} ({complaint})") from error
    return frames


def _tolerance(file: soundfile.SoundFile) -> int:
    """Tell how many frames fewer than the header's count may come without the file being cut short."""
    if file.format != "MP3":
        return 0
    return 2 * _N_MP3_FRAME  # writers disagree on whether the frame that holds the count is counted
