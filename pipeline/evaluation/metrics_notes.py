"""The measures of notes: what each means, for the table, `report.json`, the page and the documents."""

from dataclasses import replace

from pipeline.evaluation.report import Measure

MEASURES = (
    Measure(
        "notes_per_second",
        "notes",
        "notes a second",
        "",
        2,
        "reference",
        "How many notes begin in a second.",
        "Whether they are the right ones; in sound that is no music, the transcriber hears chance notes.",
        headline=True,
    ),
    Measure(
        "polyphony",
        "notes",
        "notes at once",
        "",
        2,
        "reference",
        "How many notes sound at once, in the mean over time.",
        "The true number: the quick transcriber ends notes too early, in the reference as well.",
        headline=True,
    ),
    Measure(
        "velocity_spread",
        "notes",
        "spread of velocities",
        "",
        1,
        "reference",
        "Standard deviation of how hard notes are struck within a clip, in MIDI's steps.",
        "Whether the loud ones are where music wants them.",
    ),
    Measure(
        "key_clarity",
        "notes",
        "clarity of key",
        "",
        2,
        "reference",
        "How well a clip's notes fit the one key that they fit best, -1 to 1.",
        "Whether anything happens in that key.",
    ),
    Measure(
        "median_interval",
        "notes",
        "time between onsets",
        "s",
        2,
        "reference",
        "The median time from one onset to the next, chords counted once.",
        "Whether there is a beat.",
    ),
    Measure(
        "notes_drift",
        "notes",
        "notes, end to beginning",
        "%",
        0,
        "reference",
        "Notes in a clip's last minute over those in its first; in its last and first third, where it is shorter than "
        "three minutes.",
        "Whether they are the right ones. What sounds already where a clip begins counts as notes, so real music has "
        "fewer at the end of short clips.",
        headline=True,
    ),
    Measure(
        "js_pitch_classes",
        "notes",
        "distance of note names",
        "",
        3,
        "lower",
        "Jensen-Shannon distance, 0 to 1, of how often each note name is heard from the reference's.",
        "Order: shuffled music has the same notes.",
        headline=True,
    ),
    Measure(
        "js_divergence_pitch_classes",
        "notes",
        "divergence of note names",
        "bit",
        3,
        "lower",
        "The same as a divergence, which is the distance's square.",
        "Order: shuffled music has the same notes.",
    ),
    Measure(
        "js_pitches",
        "notes",
        "distance of keys",
        "",
        3,
        "lower",
        "Jensen-Shannon distance of how often each key of the piano is heard from the reference's.",
        "Order: shuffled music has the same notes.",
    ),
    Measure(
        "js_intervals",
        "notes",
        "distance of onset times",
        "",
        3,
        "lower",
        "Jensen-Shannon distance of the times between onsets from the reference's.",
        "Order: a rhythm and its times drawn at random look alike.",
        headline=True,
    ),
    Measure(
        "js_at_once",
        "notes",
        "distance of notes at once",
        "",
        3,
        "lower",
        "Jensen-Shannon distance of how long 0, 1, 2, ... notes sound together from the reference's.",
        "Which notes they are.",
    ),
    Measure(
        "js_velocities",
        "notes",
        "distance of velocities",
        "",
        3,
        "lower",
        "Jensen-Shannon distance of how hard notes are struck, in 16 bins of 8 steps of MIDI, from the reference's.",
        "Loudness as such: the quick transcriber tells velocities from a clip's median note.",
    ),
    Measure(
        "js_lengths",
        "notes",
        "distance of note lengths",
        "",
        3,
        "lower",
        "Jensen-Shannon distance of how long notes sound, in bins of a third of an octave from 50 ms to 6.4 s, "
        "from the reference's.",
        "The true lengths: the quick transcriber ends notes too early, in the reference as well.",
    ),
)
# Against what recordings do after the very prompts that a checkpoint's clips begin from.
CONTINUED = (
    Measure(
        "notes_per_second_ratio",
        "notes",
        "notes a second, of resynthesis",
        "%",
        0,
        "reference",
        "How many notes begin, of those that begin in the anchor resynthesis of the same prompts.",
        "Whether they are the right ones.",
        headline=True,
    ),
    Measure(
        "polyphony_ratio",
        "notes",
        "notes at once, of resynthesis",
        "%",
        0,
        "reference",
        "How many notes sound at once, of those in the anchor resynthesis of the same prompts.",
        "Whether they are the right ones.",
        headline=True,
    ),
    *(
        replace(
            measure,
            id=f"{measure.id}_continuation",
            title=f"{measure.title}, to continuation",
            meaning=measure.meaning.replace("the reference's", "the anchor continuation's, of the same prompts"),
            headline=False,
        )
        for measure in MEASURES
        if measure.id.startswith("js_") and measure.unit == ""
    ),
)


def thorough(measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
    """The same measures of notes, as the thorough transcriber hears them."""
    return tuple(replace(each, id=f"thorough_{each.id}", room="notes, thorough") for each in measures)
