"""The measures of skill: what each means, for the table, `report.json`, the page and the documents."""

from pipeline.evaluation.report import Measure

MEASURES = (
    Measure(
        "skill_mean",
        "skill",
        "skill",
        "%",
        1,
        "higher",
        "How much better the next block of held-out recordings is predicted than by always saying the mean.",
        "Anything between checkpoints of different codecs, and how a clip sounds.",
        headline=True,
    ),
    Measure(
        "skill_repeat",
        "skill",
        "skill, repeating",
        "%",
        1,
        "higher",
        "How much better the next block of held-out recordings is predicted than by repeating what was before: the "
        "last block, or the notes of two seconds ago and the residual of 50 ms ago.",
        "Anything between checkpoints of different codecs, and how a clip sounds.",
    ),
    Measure(
        "skill_decoded_mean",
        "skill",
        "skill in sound",
        "%",
        1,
        "higher",
        "The same by the log-spectral distance of decoded blocks, which compares codecs.",
        "Merit of a model that draws: a plausible block is further from the real one than a dull guess.",
        headline=True,
    ),
    Measure(
        "skill_decoded_repeat",
        "skill",
        "skill in sound, repeating",
        "%",
        1,
        "higher",
        "The same against the last block again.",
        "Merit of a model that draws: a plausible block is further from the real one than a dull guess.",
    ),
    Measure(
        "skill_distance",
        "skill",
        "distance of the next block",
        "dB",
        1,
        "lower",
        "Log-spectral distance from the decoded prediction to the real block.",
        "Merit of a model that draws: a plausible block is further from the real one than a dull guess.",
    ),
    Measure(
        "skill_distance_of_real",
        "skill",
        "distance of a coded block",
        "dB",
        1,
        "lower",
        "What the codec itself loses: the real block, coded and decoded, from itself.",
        "Anything of the model.",
    ),
)
