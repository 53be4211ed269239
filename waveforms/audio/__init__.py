"""Audio files in and out: any format, rate and number of channels to a mono waveform at 44.1 kHz, and back as WAV.

files -> decoding -> formats -> mpeg        a file read: each module calls the next one only
writing -> marks                            a clip written
"""

from waveforms.audio.decoding import Waveform
from waveforms.audio.files import AudioInfo, probe, read
from waveforms.audio.writing import ClipWriter

__all__ = ["AudioInfo", "ClipWriter", "Waveform", "probe", "read"]
