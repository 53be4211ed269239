"""The measures of copies: what each means, for the table, `report.json`, the page and the documents."""

from pipeline.evaluation.report import Measure

MEASURES = (
    Measure(
        "copied",
        "copies",
        "copied",
        "%",
        1,
        "lower",
        "How much of the clips is found in the recordings learned from, a prompt's own continuation aside.",
        "Copies shorter than 0.4 s, or moved in pitch or tempo. A sampled piano strikes like chords alike: a quarter "
        "of the clips of unseen chorales is accused wrongly; of recordings, none.",
        headline=True,
    ),
    Measure(
        "continued",
        "copies",
        "continued by heart",
        "%",
        1,
        "lower",
        "How much goes on from the prompt exactly as the prompt's own recording does.",
        "Anything where prompts were held out: what was never learned cannot be known by heart.",
    ),
    Measure(
        "longest_copy",
        "copies",
        "longest copy",
        "s",
        1,
        "lower",
        "The longest passage, of all clips, that is in a recording sample by sample.",
        "Copies whose phases were made anew: those count as copied alone.",
        headline=True,
    ),
)
