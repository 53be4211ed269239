"""Pictures of clips: a waveform and a log-frequency spectrogram over one time axis, with blocks and prompt marked.

They are for looking at before listening: onsets are edges, notes are lines, a collapse is an empty or uniform field.
"""

from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.notes.events import Notes

SECONDS_SHOWN = 30  # more would not be legible on one page
BINS_PER_OCTAVE = 24
LOWEST = librosa.note_to_hz("A0")  # the piano's lowest key
N_OCTAVES = 9  # up to 14 kHz
HOP = 1024
DECIBELS_SHOWN = 80
NO_NOTES = Notes.of([])
COLUMNS = 2400  # of the waveform's envelope: two a pixel


def draw_clip(
    waveform: Waveform, *, block_seconds: float, prompt_samples: int = 0, title: str = "", notes: Notes = NO_NOTES
) -> Figure:
    """Draw a waveform of which the first `prompt_samples` are the prompt; time 0 is where the prompt ends.

    At most SECONDS_SHOWN are drawn, and the title says so where that leaves something out. Notes, in seconds from where
    the prompt ends, are lines at their fundamentals, a dot at each onset.
    """
    n_shown = min(len(waveform), SECONDS_SHOWN * SAMPLE_RATE)
    if n_shown < len(waveform):
        title += f" (the first {SECONDS_SHOWN} s of {len(waveform) / SAMPLE_RATE:g} s)"
    shown, start = waveform[:n_shown], -prompt_samples / SAMPLE_RATE
    figure = Figure(figsize=(12, 6), layout="constrained", dpi=100)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2.4))
    _draw_waveform(top, shown, start)
    image = _draw_spectrogram(bottom, shown, start)
    _draw_notes(bottom, notes, start, start + n_shown / SAMPLE_RATE)
    for axes in (top, bottom):
        for edge in np.arange(start, start + n_shown / SAMPLE_RATE, block_seconds):
            axes.axvline(edge, color="grey", linewidth=0.4, alpha=0.5)
        if prompt_samples:
            axes.axvline(0, color="crimson", linewidth=1.6)
    if prompt_samples:
        top.annotate(
            "prompt end",
            (0, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -4),
            textcoords="offset points",
            va="top",
            color="crimson",
        )
    top.set_title(title, loc="left", fontsize=10)
    bottom.set_xlabel("seconds (a grey line at each block's edge)")
    figure.colorbar(image, ax=bottom, label="dB re the loudest", pad=0.01)
    return figure


def spectrogram(waveform: Waveform) -> npt.NDArray[np.float32]:
    """Tell what sounds when: decibels below the loudest bin, from -DECIBELS_SHOWN to 0, the lowest key first.

    Shape:
        (n_samples,) -> (N_OCTAVES * BINS_PER_OCTAVE, n_samples // HOP + 1)
    """
    bins = np.abs(
        librosa.vqt(
            waveform,
            sr=SAMPLE_RATE,
            hop_length=HOP,
            fmin=LOWEST,
            n_bins=N_OCTAVES * BINS_PER_OCTAVE,
            bins_per_octave=BINS_PER_OCTAVE,
        )
    )
    loudest = max(float(bins.max()), 1e-5)
    decibels: npt.NDArray[np.float32] = librosa.amplitude_to_db(bins, ref=loudest, top_db=DECIBELS_SHOWN)
    return decibels


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, format="png")


def _draw_waveform(axes: Axes, waveform: Waveform, start: float) -> None:
    step = max(len(waveform) // COLUMNS, 1)
    columns = waveform[: len(waveform) // step * step].reshape(-1, step)
    times = start + np.arange(len(columns)) * step / SAMPLE_RATE
    axes.fill_between(times, columns.min(1), columns.max(1), linewidth=0.5, color="steelblue")
    axes.set_ylim(-1, 1)
    axes.set_ylabel("waveform")


def _draw_spectrogram(axes: Axes, waveform: Waveform, start: float) -> QuadMesh:
    decibels = spectrogram(waveform)
    times = start + np.arange(decibels.shape[1] + 1) * HOP / SAMPLE_RATE
    pitches = LOWEST * 2 ** ((np.arange(len(decibels) + 1) - 0.5) / BINS_PER_OCTAVE)
    image = axes.pcolormesh(times, pitches, decibels, vmin=-DECIBELS_SHOWN, vmax=0, cmap="magma", rasterized=True)
    axes.set_yscale("log")
    octaves = [55 * 2**n for n in range(N_OCTAVES)]
    axes.set_yticks(octaves, [f"{f:g}" for f in octaves])
    axes.minorticks_off()
    axes.set_ylabel("Hz (octaves of A)")
    return image


def _draw_notes(axes: Axes, notes: Notes, start: float, stop: float) -> None:
    shown = notes.between(start, stop)
    heights = librosa.midi_to_hz(shown.pitches)
    axes.hlines(heights, shown.onsets, np.minimum(shown.offsets, stop), color="cyan", linewidth=0.8, alpha=0.7)
    axes.plot(shown.onsets, heights, linestyle="none", marker=".", markersize=3, color="cyan")
