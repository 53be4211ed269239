"""Words that this project has replaced by those of the field do not come back."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
FOLDERS = ("waveforms", "pipeline", "benchmarks", "tools", "tests", "docs")
PATTERNS = ("*.py", "*.js", "*.html", "*.css", "*.md")
SINGLE_FILES = ("*.md", "checkpoints/README.md", "checkpoints/piano.md", "Makefile", "setup.cfg", "ruff.toml")

PEOPLE_LISTEN = ("pipeline/listening/", "pipeline/web/", "pipeline/cli/listen.py", "tests/pipeline/listening/")
PROSE = ("README.md", "docs/", "checkpoints/")  # there people hear clips
PAGES = (
    "pipeline/web/",
    "tests/chromium.py",
    "tests/pipeline/test_pages.py",
    "tests/pipeline/listening/test_page.py",
    "CONTRIBUTING.md",
)
XML = ("waveforms/piano/musicxml.py", "tests/waveforms/piano/")
FIGURES = (
    "pipeline/web/",
    "pipeline/pictures.py",
    "pipeline/clips.py",
    "pipeline/training/tensorboard.py",
    "benchmarks/",
    "docs/",
)


@dataclass(frozen=True)
class Retired:
    """A word in the sense that was given up.

    Attributes:
        pattern: matches it in identifiers and prose; the case of letters does not count.
        instead: what to write.
        found: lines in which it is given up.
        ordinary: lines in which the same letters mean something else.
        legal: paths in which the word means what it says.
    """

    pattern: str
    instead: str
    found: tuple[str, ...]
    ordinary: tuple[str, ...] = ()
    legal: tuple[str, ...] = ()


def word(*forms: str) -> str:
    """Match a word by itself, or as a part of an identifier between underscores."""
    return rf"(?<![a-z])(?:{'|'.join(forms)})(?![a-z])"


def noun(form: str) -> str:
    """Match a word where it names a thing: after an article, as a plural, as a variable or in an identifier."""
    article = r"\b(?:an?|the|each|every|this|that|its|per|first|last|next|previous|of)"
    identifier = rf"_{form}|(?<![a-z.]){form}_\w+|^\s*{form} ="
    return rf"(?<![a-z.]){form}s(?![a-z])|{article} {form}(?![a-z(\[])|(?:{identifier})(?![a-z])"


RETIRED = (
    Retired(
        word("told", "tells"), "conditioned on; returns, says, shows", ("the model is told the notes", "told_notes")
    ),
    Retired(
        word("(?:un|re)?hear(?:s|d)?"),
        "encode, embed; transcribe; held out, unseen",
        ("def hear(", "heard_notes", "--unheard"),
        ("as fine as hearing",),
        PEOPLE_LISTEN + PROSE,
    ),
    Retired(
        word("ears?"),
        "embedding network; onset detector; transcriber",
        ("class Ear", "the ears"),
        ("a year",),
        PEOPLE_LISTEN + PROSE,
    ),
    Retired(
        word("listeners?", "listened"),
        "onset detector; transcriber",
        ("class Listener:",),
        ("ListeningError", "quarterwave listen"),
        (*PEOPLE_LISTEN, *PROSE, "pipeline/errors.py", "pipeline/cli/"),
    ),
    Retired(r"keys? struck|struck[ _]keys?", "onsets; notes", ("keys struck at once",), ("a key is struck again",)),
    Retired(
        word("draws?", "drew", "drawn"),
        "sample; plot, show",
        ("model.draw(state)", "n_draws", "drawn from the softmax"),
        ("withdraw", "drawing"),
        FIGURES,
    ),
    Retired(
        r"[._]guides?(?![a-z.])|\bguides\b|\bguided\b|\bguide(?=\(|: | =)",
        "conditioning vector; condition",
        ("guide = self.guide(x)", "guided by notes", "n_guides"),
        ("guidance weight", "docs/guide.md", "the guide shows"),
        ("tests/test_house.py",),
    ),
    Retired(
        r"self\.leads?\b|\bled by\b|(?<![a-z_])lead(?= =)|(?:an?|the|its) lead(?![a-z-])",
        "conditioning; projection",
        ("self.lead", "led by the notes", "lead = "),
        ("LEAD_IN", "sampled", "leading zeros"),
        ("waveforms/piano/", "docs/"),  # the melody's lead over its accompaniment (Goebl 2001)
    ),
    Retired(
        r"def turns?\(|\.turns?\(|\bturn =|_turn =|turns? of the (?:flow|noise|latent)|\bturns?_(?:of|at|t)(?![a-z])",
        "velocity (of the flow)",
        ("predicted_turn = ", "def turn(", "the turn of the flow"),
        ("in turn", "return turns", "turn it off"),
    ),
    Retired(word("innovations?"), "prediction residual", ("innovations",)),
    Retired(
        r"(?<![a-z])traces(?![a-z])|(?:_|(?<!np)\.)trace(?![a-z])|(?<![a-z])trace_",
        "decayed onset feature",
        ("traces of onsets", "n_traces", "self.trace"),
        ("without a trace", "traceback", "np.trace(x)"),
    ),
    Retired(word("laps?"), "overlap", ("codec.lap", "n_lap"), ("overlap", "OVERLAPPING")),
    Retired(
        r"(?<![a-z])cuts(?![a-z])|\b(?:an?|the|each|every|per|of) cut(?![a-z])|^\s*cut =",
        "segment; excerpt; bound",
        ("a cut", "cuts =", "n_cuts"),
        ("cut into blocks", "cut off", "suite_cut_no_4"),
    ),
    Retired(word("entrants?"), "system", ("entrant.clips",)),
    Retired(word("remember(?:s|ed)?"), "cached; kept", ("remembered = {}",)),
    Retired(word("elements?"), "latent; item", ("each element",), (), (*PAGES, *XML, "docs/scale.md")),
    Retired(
        noun("slice"),
        "frame (50 ms), sub-block",
        ("N_SLICES", "each slice", "slices of 50 ms"),
        ("slice(0, 3)", "tuple[slice, slice]", "text.slice(0, 4)", "rows: slice"),
    ),
    Retired(noun("tile"), "log-spectrogram patch", ("to_tiles(x)", "a tile"), ("np.tile(x, 3)",)),
    Retired(word("predictors?"), "model", ("make_predictor",)),
    Retired(
        r"(?<!spatial )(?<!sinusoidal )" + word("representations?") + "(?! learning)",
        "codec",
        ("Representation",),
        (
            "Representation learning for",
            "based on a sinusoidal representation",
            "a spatial representation of",
        ),  # titles
    ),
    Retired(
        r"(?<=_)past(?![a-z])|(?<![a-z])past(?=_|\s*[=:,)\].])|\b(?:the|its|a|no|new) past\b",
        "hidden state, (h, c)",
        ("past = None", "new_past", "the past of the LSTM"),
        ("reaches past its edges", "held past the end"),
    ),
    Retired(
        r"(?<!in )(?:model|network|lstm|rnn|gru)(?:'s)? memory\b|self\.memory\b|memory of the (?:model|network|lstm)|"
        r"exact_memory|, memory = ",
        "hidden state, (h, c)",
        ("outputs, memory = lstm(x)", "the memory of the LSTM"),
        ("constant memory", "keep_freed_memory", "memory_format"),
    ),
    Retired(r"class Within|\bWithin\(|\.Within\b|\bwithin\.py|models\.within", "local decoder", ("class Within:",)),
    Retired(
        r"n_stages|\bstages\b|_stages?\b", "codebooks; steps", ("n_stages = 4", "stages"), ("a stage", "def stage(")
    ),
    Retired(
        r"_spreads?\b|\bspreads?_|\bspreads\b|\bspread of\b|^\s*spread =|\.spread\b",
        "std",
        ("spread = 0.1", "CHORD_SPREAD", "the spread of velocities"),
        ("spread evenly over it",),
        ("docs/report.md",),  # names of an old format
    ),
    Retired(
        noun("margin") + r"|\.margins?\b",
        "context padding",
        ("codec.margins", "a margin", "MARGINS"),
        ("margin: 0 auto", "margin-left"),
        ("pipeline/web/",),
    ),
    Retired(word("passages?"), "excerpt", ("passages =", "one passage")),
    Retired(word("standings?"), "percentile", ("standings",), ("notwithstanding",)),
    Retired(r"\bway back\b", "backward pass; decoder", ("the way back",)),
)

LISTS = ("tests/test_words.py", "pipeline/migrations.py")  # files that name old words on purpose


def texts_of(house: Path) -> Iterator[tuple[str, str]]:
    """Yield (path relative to the house, text) of everything that people wrote; hidden folders are skipped."""
    paths = [path for folder in FOLDERS for pattern in PATTERNS for path in (house / folder).rglob(pattern)]
    paths += [path for pattern in SINGLE_FILES for path in house.glob(pattern)]
    for path in sorted(paths):
        name = path.relative_to(house).as_posix()
        if name not in LISTS and not any(part.startswith(".") for part in Path(name).parts):
            yield name, path.read_text(encoding="utf-8")


def hits_of(house: Path) -> Iterator[str]:
    """Yield a complaint for each retired word."""
    for name, text in texts_of(house):
        for retired in RETIRED:
            if name.startswith(retired.legal):
                continue
            for found in re.finditer(retired.pattern, text, re.IGNORECASE | re.MULTILINE):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{name}:{line}: {found.group().strip()!r} is retired; {retired.instead}"


@pytest.mark.parametrize("retired", RETIRED, ids=lambda retired: retired.found[0])
def test_a_retired_word_is_found_and_an_ordinary_one_is_not(retired: Retired, tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    for line in retired.found:
        (tmp_path / "pipeline/codec.py").write_text(f"x = 1\n{line}\n")
        assert any(hit.endswith(f"is retired; {retired.instead}") for hit in hits_of(tmp_path)), line
    (tmp_path / "pipeline/codec.py").write_text("\n".join(retired.ordinary))
    assert not [hit for hit in hits_of(tmp_path) if hit.endswith(retired.instead)]


def test_a_hit_names_its_place_and_the_word_to_write_and_legal_places_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pipeline/listening").mkdir(parents=True)
    (tmp_path / "pipeline/codec.py").write_text("# fine\n# what listeners heard\n")
    (tmp_path / "pipeline/listening/make.py").write_text("# what listeners heard\n")
    assert sorted(hits_of(tmp_path)) == [
        "pipeline/codec.py:2: 'heard' is retired; encode, embed; transcribe; held out, unseen",
        "pipeline/codec.py:2: 'listeners' is retired; onset detector; transcriber",
    ]


def test_no_retired_word_comes_back() -> None:
    hits = list(hits_of(HOUSE))
    assert not hits, "\n".join(hits)
