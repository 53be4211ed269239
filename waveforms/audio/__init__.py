"""Audio files in and out: any format, rate and number of channels to a mono waveform at 44.1 kHz, and back as WAV."""

from waveforms.audio.files import ClipWriter, Waveform, probe, read

__all__ = ["ClipWriter", "Waveform", "probe", "read"]
