"""Every metric of a report, one row each: what it means, what it cannot tell, and how a clip's number is computed.

A system's number is pooled from those of its clips. Numbers that only a set of clips has (distances, note histograms,
skill) have no function here: `distances`, `note_distances` and `prediction` compute them. `aggregation` collects all.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from pipeline.evaluation.aggregation import MeasuredClip
    from pipeline.evaluation.copies import Copies
    from pipeline.evaluation.notes import NoteStatistics

Direction = Literal["higher", "lower", "reference"]
_FUNCTIONS = ("of_clip", "of_notes", "weight", "pool")


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
        id: its key in the values of a system and of a clip.
        group: it is shown with (`distances`, `notes`, `copies`, `seams`, `faults`, `life`, `level`, `skill`).
        name: in a table.
        unit: as printed after the number; "" for none.
        digits: after the decimal point.
        direction: which way is better; `reference`: the nearer to the reference's own number, the better.
        headline: whether the terminal's table and the page's first table show it.
        meaning: one sentence: what it says.
        limits: one sentence: what it cannot tell.
        of_clip: a clip's number; None: this clip has none.
        of_notes: likewise, from a clip's notes by one transcriber.
        weight: of a clip's number from its notes in a system's weighted mean.
        pool: makes a system's number of those of its clips; None: it is their mean, with an interval.
    """

    id: str
    group: str
    name: str
    unit: str
    digits: int
    direction: Direction
    headline: bool
    meaning: str
    limits: str
    of_clip: "Callable[[MeasuredClip], float | None] | None" = None
    of_notes: "Callable[[NoteStatistics], float | None] | None" = None
    weight: "Callable[[NoteStatistics], float] | None" = None
    pool: Callable[[list[float]], float] | None = None

    def to_json(self) -> dict[str, Any]:
        """All but the functions."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _FUNCTIONS}


def _longest(copies: "Copies") -> float:
    return copies.longest.seconds if copies.longest else 0.0


def _stouffer(z: list[float]) -> float:
    """One z of many (Stouffer): their sum over the root of their number."""
    return float(np.sum(z) / np.sqrt(len(z)))


_FEW = "How far from perfect: with few clips it is above 0 for real music too, so compare with the column real."
_BIASED = (
    "A distance free of bias: with fewer vectors than dimensions it is still too large; the kernel distance is not."
)
_NO_FIDELITY = "Fidelity: it hardly responds to a low-pass or to coarse samples."
_NO_MUSIC = "Music: it hardly responds to wrong notes."
_NO_ORDER = "Order: shuffled music has the same notes."
_SHORT = "The true number: the quick transcriber ends notes too early, in the reference as well."
_RIGHT = "Whether they are the right ones."
_ONE_CODEC = "Anything between checkpoints of different codecs, and how a clip sounds."
_SAMPLED = "Merit of a model that samples: a plausible block is further from the real one than a dull guess."

# fmt: off
DISTANCES = (
    Metric("gap_closed", "distances", "gap closed", "%", 0, "higher", True,
           "How far the clips are on the way from the anchor classic (0) to other real music (100): the mean over both "
           "embeddings.",
           "Whether the music is good: only how near its clips lie, as a set, to real ones."),
    Metric("gap_musicnn", "distances", "gap closed, musicnn", "%", 0, "higher", False,
           "The same in the embedding of musicnn, which represents what music is played.", _NO_FIDELITY),
    Metric("gap_aisfx", "distances", "gap closed, aisfx", "%", 0, "higher", False,
           "The same in the embedding of aisfx, which represents how a sound is made, at the full sample rate.",
           _NO_MUSIC),
    Metric("fd_musicnn", "distances", "FD musicnn", "", 1, "lower", True,
           "Frechet distance to the reference in the embedding of musicnn (what music is played).", _FEW),
    Metric("fd_aisfx", "distances", "FD aisfx", "", 0, "lower", True,
           "Frechet distance to the reference in the embedding of aisfx (how a sound is made).", _FEW),
    Metric("fd_musicnn_extrapolated", "distances", "FD musicnn, extrapolated", "", 1, "lower", False,
           "The Frechet distance extrapolated to infinitely many clips; its interval is the error of the fitted line "
           "alone.", _BIASED),
    Metric("fd_aisfx_extrapolated", "distances", "FD aisfx, extrapolated", "", 0, "lower", False,
           "The Frechet distance extrapolated to infinitely many clips; its interval is the error of the fitted line "
           "alone.", _BIASED),
    Metric("mmd_musicnn", "distances", "kernel musicnn", "", 3, "lower", True,
           "Kernel distance (squared maximum mean discrepancy, 0 to 2) to the reference; few clips do not bias it.",
           _NO_FIDELITY),
    Metric("mmd_aisfx", "distances", "kernel aisfx", "", 3, "lower", True,
           "Kernel distance (squared maximum mean discrepancy, 0 to 2) to the reference; few clips do not bias it.",
           _NO_MUSIC),
    Metric("piano", "distances", "tagged piano", "%", 0, "reference", True,
           "The mean probability of musicnn's tag piano.", "How well the piano is played, or recorded.",
           lambda clip: 100 * clip.piano),
    Metric("piano_ratio", "distances", "tagged piano, of real", "%", 0, "reference", False,
           "The same as a share of the anchor real's.", "How well the piano is played, or recorded."),
)
NOTES = (
    Metric("notes_per_second", "notes", "notes a second", "", 2, "reference", True,
           "How many notes begin in a second.",
           "Whether they are the right ones; in sound that is no music, the transcriber finds chance notes.",
           of_notes=lambda notes: notes.notes_per_second, weight=lambda notes: notes.seconds),
    Metric("polyphony", "notes", "notes at once", "", 2, "reference", True,
           "How many notes sound at once, in the mean over time.", _SHORT,
           of_notes=lambda notes: notes.polyphony, weight=lambda notes: notes.seconds),
    Metric("velocity_std", "notes", "std of velocities", "", 1, "reference", False,
           "Standard deviation of the MIDI velocities within a clip.",
           "Whether the loud notes are where music wants them.",
           of_notes=lambda notes: notes.velocity_std if notes.n_notes else None, weight=lambda notes: notes.n_notes),
    Metric("key_clarity", "notes", "clarity of key", "", 2, "reference", False,
           "How well a clip's notes fit the tonality that they fit best, -1 to 1.",
           "Whether anything happens in that tonality.",
           of_notes=lambda notes: notes.key_clarity if notes.n_notes else None, weight=lambda notes: notes.n_notes),
    Metric("median_onset_interval", "notes", "time between onsets", "s", 2, "reference", False,
           "The median time from one onset to the next, chords counted once.", "Whether there is a beat.",
           of_notes=lambda notes: float(np.median(notes.gaps)) if len(notes.gaps) else None),
    Metric("notes_drift", "notes", "notes, end to beginning", "%", 0, "reference", True,
           "Notes in a clip's last minute over those in its first; in its last and first third, where it is shorter "
           "than three minutes.",
           "Whether they are the right ones. Notes that sound already where a clip begins count, so real music has "
           "fewer at the end of short clips.",
           of_notes=lambda notes: 100 * notes.n_last / notes.n_first if notes.n_first else None,
           weight=lambda notes: notes.n_first),
    Metric("js_pitch_classes", "notes", "distance of pitch classes", "", 3, "lower", True,
           "Jensen-Shannon distance, 0 to 1, of the histogram of pitch classes from the reference's.", _NO_ORDER),
    Metric("js_divergence_pitch_classes", "notes", "divergence of pitch classes", "bit", 3, "lower", False,
           "The same as a divergence, which is the square of the distance.", _NO_ORDER),
    Metric("js_pitches", "notes", "distance of pitches", "", 3, "lower", False,
           "Jensen-Shannon distance of the histogram of the 88 pitches from the reference's.", _NO_ORDER),
    Metric("js_onset_intervals", "notes", "distance of onset times", "", 3, "lower", True,
           "Jensen-Shannon distance of the histogram of inter-onset intervals from the reference's.",
           "Order: a rhythm and its intervals in random order look alike."),
    Metric("js_polyphony", "notes", "distance of polyphony", "", 3, "lower", False,
           "Jensen-Shannon distance of the time with 0, 1, 2, ... notes at once from the reference's.",
           "Which notes they are."),
    Metric("js_velocities", "notes", "distance of velocities", "", 3, "lower", False,
           "Jensen-Shannon distance of the histogram of velocities, in 16 bins of 8 MIDI steps, from the reference's.",
           "Loudness as such: the quick transcriber estimates velocities relative to a clip's median note."),
    Metric("js_durations", "notes", "distance of durations", "", 3, "lower", False,
           "Jensen-Shannon distance of the histogram of note durations, in bins of a third of an octave from 50 ms to "
           "6.4 s, from the reference's.",
           "The true durations: the quick transcriber ends notes too early, in the reference as well."),
)
# Against the continuation of the very prompts that a checkpoint's clips begin from.
CONTINUED = (
    Metric("notes_per_second_ratio", "notes", "notes a second, of resynthesis", "%", 0, "reference", True,
           "Notes a second as a share of those in the anchor resynthesis of the same prompts.", _RIGHT),
    Metric("polyphony_ratio", "notes", "notes at once, of resynthesis", "%", 0, "reference", True,
           "Notes at once as a share of those in the anchor resynthesis of the same prompts.", _RIGHT),
    *(
        replace(
            metric, id=f"{metric.id}_continuation", name=f"{metric.name}, to continuation", headline=False,
            meaning=metric.meaning.replace("the reference's", "the anchor continuation's, of the same prompts"),
        )
        for metric in NOTES if metric.id.startswith("js_") and metric.unit == ""
    ),
)
COPIES = (
    Metric("copied", "copies", "copied", "%", 1, "lower", True,
           "How much of the clips is found in the training recordings, a prompt's own continuation aside.",
           "Copies shorter than 0.4 s, or moved in pitch or tempo. A sampled piano plays like chords alike: a quarter "
           "of the clips of unseen chorales is accused wrongly; of recordings, none.",
           lambda clip: 100 * clip.copies.share if clip.copies else None),
    Metric("continued", "copies", "continued by heart", "%", 1, "lower", False,
           "How much goes on from the prompt exactly as the prompt's own recording does.",
           "Anything where prompts were held out: what was never trained on cannot be known by heart.",
           lambda clip: 100 * clip.copies.continuation_share if clip.copies else None),
    Metric("longest_copy", "copies", "longest copy", "s", 1, "lower", True,
           "The longest excerpt, of all clips, that is in a recording sample by sample.",
           "Copies with new phases: those count as copied alone.",
           lambda clip: _longest(clip.copies) if clip.copies else None, pool=max),
)
SOUND = (
    Metric("edge_excess", "seams", "block edges", "dB", 1, "lower", True,
           "How much larger steps from sample to sample are at the edges of blocks than elsewhere; 0 is seamless.",
           "Edges of another block length than 0.25 s.", lambda clip: clip.seams.edge_excess),
    Metric("edge_z", "seams", "block edges, z", "", 1, "lower", False,
           "The same in standard errors, over all clips: within 3 of 0 it is chance.",
           "How audible: many clips make a faint excess certain.", lambda clip: clip.seams.edge_z, pool=_stouffer),
    Metric("clicks", "seams", "clicks a minute", "", 1, "lower", True,
           "Steps six times as large as their surroundings, which no clean piano has.",
           "Clicks in sound that is rough itself; and the last samples of a fade-out, amplified by 35 dB, click.",
           lambda clip: 60 * len(clip.seams.clicks) / clip.seconds),
    Metric("largest_step", "seams", "largest step", "", 1, "lower", False,
           "The largest step from one sample to the next over the local slew; clean piano stays below 5.",
           "How many there are.", lambda clip: clip.seams.largest_step, pool=max),
    Metric("dc_offset", "seams", "offset from zero", "%", 3, "lower", False,
           "The absolute mean of the samples, in per cent of full scale.", "Slow drifts that cancel.",
           lambda clip: 100 * abs(clip.dc_offset)),
    Metric("glides", "faults", "gliding", "%", 2, "lower", True,
           "How much of the time of the partials from 60 to 1100 Hz, weighted by amplitude, they bend by half a "
           "semitone and 8 Hz or more in 0.3 s, which no piano does.",
           "Bends that last less than 0.2 s. Recordings have a little, where notes fade into each other in a room, and "
           "so has a low key that is struck eight times a second or more.", lambda clip: 100 * clip.faults.glide_share),
    Metric("bursts", "faults", "bursts a minute", "", 1, "lower", True,
           "Onsets 10 dB or more above the median onset of the 5 s before them and above that of the 5 s after them.",
           "Whether an accent is meant: five of 5400 onsets of piano music count; and the first and the last onsets of "
           "a clip.", lambda clip: 60 * len(clip.faults.bursts) / clip.seconds),
    Metric("level_drift", "life", "level, end to beginning", "dB", 1, "reference", True,
           "Level of a clip's last third over its first.", "Whether a fade is meant.",
           lambda clip: clip.life.level_drift),
    Metric("collapse", "life", "collapsed clips", "%", 0, "lower", True,
           "Clips that end in 2 s or more of silence, of a drone, or of a buzz.",
           "Collapses that a clip recovers from.", lambda clip: 100.0 if clip.life.collapse else 0.0),
    Metric("standstill", "life", "at a standstill", "%", 1, "reference", False,
           "How much of the clips is silence, or sounds on without change for 2 s or more, wherever it is.",
           "Whether a rest is meant.", lambda clip: 100 * (clip.life.silent_share + clip.life.still_share)),
    Metric("loops", "life", "in a loop", "%", 1, "reference", True,
           "How much of the clips repeats an earlier second or more, note for note and sound for sound.",
           "Repeats that are played anew, as music has them.", lambda clip: 100 * clip.life.loop_share),
    Metric("flatness", "life", "flatness", "", 4, "reference", False,
           "Median spectral flatness of what sounds: 0 is a tone, 0.56 white noise.", "Noise beneath the music.",
           lambda clip: clip.life.flatness),
    Metric("flux", "life", "flux", "", 3, "reference", False,
           "Median change of the spectrum in 50 ms, 0 to 1.", "Whether change is music.",
           lambda clip: clip.life.flux),
    Metric("flatness_outliers", "life", "clips of unusual flatness", "%", 0, "reference", False,
           "Clips whose flatness lies outside the 5th to 95th percentile of the reference's; real has some, too.",
           "In which direction."),
    Metric("flux_outliers", "life", "clips of unusual flux", "%", 0, "reference", False,
           "Clips whose flux lies outside the 5th to 95th percentile of the reference's; real has some, too.",
           "In which direction."),
    Metric("loudness", "level", "loudness", "LUFS", 1, "reference", True,
           "Integrated loudness as rendered, in the mean over clips that have one; all else is measured at -23 LUFS.",
           "Dynamics.", lambda clip: clip.levels.loudness),
    Metric("true_peak", "level", "true peak", "dBTP", 1, "reference", False,
           "The highest peak of all clips, between samples too.", "How often.",
           lambda clip: clip.levels.true_peak, pool=max),
    Metric("clipped", "level", "clipped samples", "", 0, "lower", False,
           "Samples at full scale, of all clips.", "Clipping that was attenuated afterwards.",
           lambda clip: float(clip.levels.n_clipped), pool=sum),
)
SKILL = (
    Metric("skill_mean", "skill", "skill", "%", 1, "higher", True,
           "How much better the next block of held-out recordings is predicted than by the mean.", _ONE_CODEC),
    Metric("skill_repeat", "skill", "skill, repeating", "%", 1, "higher", False,
           "How much better the next block of held-out recordings is predicted than by repeating what was before: the "
           "last block, or the notes of two seconds ago and the residual of 50 ms ago.", _ONE_CODEC),
    Metric("skill_decoded_mean", "skill", "skill in sound", "%", 1, "higher", True,
           "The same by the log-spectral distance of decoded blocks, which compares codecs.", _SAMPLED),
    Metric("skill_decoded_repeat", "skill", "skill in sound, repeating", "%", 1, "higher", False,
           "The same against the last block again.", _SAMPLED),
    Metric("skill_distance", "skill", "distance of the next block", "dB", 1, "lower", False,
           "Log-spectral distance from the decoded prediction to the real block.", _SAMPLED),
    Metric("skill_distance_of_real", "skill", "distance of a coded block", "dB", 1, "lower", False,
           "What the codec itself loses: the log-spectral distance of the real block, encoded and decoded, to itself.",
           "Anything of the model."),
)
# fmt: on


def metrics(*, continued: bool = True, thorough: bool = False) -> tuple[Metric, ...]:
    """The metrics of a report, in the order in which they are shown.

    Args:
        continued: whether the anchors continuation and resynthesis are there.
        thorough: whether the thorough transcriber finds notes, too.
    """
    notes = NOTES + CONTINUED * continued
    of_thorough = [replace(each, id=f"thorough_{each.id}", group="notes, thorough") for each in notes * thorough]
    return (*DISTANCES, *notes, *of_thorough, *COPIES, *SOUND, *SKILL)


METRICS = metrics()
