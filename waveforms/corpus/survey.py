"""One full reading of a file, and the record of its findings, so that the next scan need not read again."""

import hashlib
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from waveforms import SAMPLE_RATE
from waveforms.audio import decoding, files, formats, loudness, mpeg
from waveforms.audio.files import AudioInfo
from waveforms.audio.loudness import FULL_SCALE, LoudnessMeter
from waveforms.corpus import cache
from waveforms.errors import AudioError

MIN_SAMPLES = SAMPLE_RATE // 2  # 0.5 s: what is shorter holds nothing to predict from what came before
MAX_PEAK = 16.0  # +24 dB; a float file beyond it does not hold sound, or holds it on another scale
SILENCE = 2.0**-15  # one 16-bit step
_LIBRARIES = soundfile.__libsndfile_version__, soxr.__libsoxr_version__, metadata.version("pyloudnorm")


@dataclass(frozen=True)
class Findings:
    """The findings of a full reading of a usable file.

    Attributes:
        info: the header.
        n_samples: the true length of the waveform at SAMPLE_RATE.
        peak: the largest absolute value of a sample.
        loudness: integrated loudness in LUFS (ITU-R BS.1770-4), -inf if all lies below -70 LUFS.
        n_clipped: how many samples reach full scale.
        digest: a hash of the waveform's float32 samples; files of equal digest hold the same sound.
    """

    info: AudioInfo
    n_samples: int
    peak: float
    loudness: float
    n_clipped: int
    digest: str


def survey(path: str | Path) -> Findings:
    """Return a file's findings, from its record if the file has not changed since it was last read.

    Raises:
        AudioError: the file cannot be used.
        OutputError: the cache cannot be written.
    """
    path = Path(path)
    before = _identity(path)
    recorded = _find_record(path, before)
    if isinstance(recorded, AudioError):
        raise recorded
    if recorded is not None:
        return recorded
    try:
        findings = measure(path)
    except AudioError as error:
        # What the system refuses today (a permission, a disk) it may grant tomorrow.
        if not isinstance(error.__cause__, OSError):
            _keep_record(path, before, {"problem": error.reason})
        raise
    _keep_record(path, before, {"findings": asdict(findings) | {"info": _plain(findings.info)}})
    return findings


def measure(path: str | Path) -> Findings:
    """Read a file to its end, and decode it into the `cache` if it cannot be read by seeking.

    Raises:
        AudioError: the file cannot be used.
        OutputError: the cache cannot be written.
    """
    info = files.probe(path)
    meter = LoudnessMeter()
    digest = hashlib.blake2b(digest_size=20)
    n_clipped = 0
    with ExitStack() as stack:
        draft = None if info.random_access else stack.enter_context(cache.Draft())
        for piece in files.stream(path):
            meter.add(piece)
            digest.update(piece.data)
            n_clipped += int(np.count_nonzero(np.abs(piece) >= FULL_SCALE))
            if draft:
                draft.add(piece)
        _check(info.path, meter)
        if draft and meter.peak <= 1.0:
            draft.keep(digest.hexdigest())
    if draft and meter.peak > 1.0:
        _decode_overloaded(info.path, meter.peak, digest.hexdigest())
    return Findings(info, meter.n_samples, meter.peak, meter.integrated(), n_clipped, digest.hexdigest())


def _decode_overloaded(path: Path, peak: float, digest: str) -> None:
    """Decode once more, on a scale that holds the peak, which is known only after the first time."""
    with cache.Draft(peak) as draft:
        for piece in files.stream(path):
            draft.add(piece)
        draft.keep(digest)


def _check(path: Path, meter: LoudnessMeter) -> None:
    if meter.n_samples < MIN_SAMPLES:
        legal = f"the shortest usable recording lasts {MIN_SAMPLES / SAMPLE_RATE} s"
        raise AudioError(path, f"too short: {meter.n_samples / SAMPLE_RATE:.3f} s; {legal}")
    if meter.peak < SILENCE:
        raise AudioError(path, "silent: no sample reaches one 16-bit step")
    if meter.peak > MAX_PEAK:
        legal = "float samples must lie about within ±1"
        raise AudioError(path, f"out of range: {legal}, and the largest here is {meter.peak:.6g}")


def _version() -> str:
    """Describe the programs that findings depend on; a record of others is made anew."""
    code = cache.code_digest(sys.modules[__name__], files, decoding, formats, mpeg, loudness)
    return " ".join((code, *_LIBRARIES))


def _identity(path: Path) -> dict[str, str | int]:
    """Return what identifies a file's state: its absolute path, its size and the time of its last change."""
    absolute = os.path.abspath(path)
    try:
        status = path.stat()
    except OSError:
        return {}
    return {"version": _version(), "path": absolute, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _record_name(path: Path) -> str:
    return hashlib.blake2b(os.fsencode(os.path.abspath(path)), digest_size=20).hexdigest()


def _find_record(path: Path, identity: dict[str, str | int]) -> Findings | AudioError | None:
    """Return a file's recorded findings or problem; a record that is damaged or of another state counts as none."""
    content = cache.read_record(_record_name(path))
    if content is None or not identity:
        return None
    try:
        record = json.loads(content)
        if record.pop("check") != _checksum(record) or record["identity"] != identity:
            return None
        if "problem" in record:
            return AudioError(path, record["problem"])
        found = record["findings"]
        info = AudioInfo(**(found.pop("info") | {"path": path}))
        return Findings(info=info, **found)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _keep_record(path: Path, before: dict[str, str | int], found: dict[str, Any]) -> None:
    if not before or before != _identity(path):
        return  # it changed while it was read
    record = {"identity": before, **found}
    record["check"] = _checksum(record)
    cache.write_record(_record_name(path), json.dumps(record).encode())


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=8).hexdigest()


def _plain(info: AudioInfo) -> dict[str, Any]:
    return {name: value for name, value in asdict(info).items() if name != "path"}
