"""The work that a recording belongs to, as far as its name says.

    23_joplin_maple_leaf_rag_2of2_again1.wav  ->  joplin maple leaf rag

Parts, takes, repeats, movements and transpositions of one work get one name here, different works get different ones.
A name that can be read either way is read as the same work: to hold out two works together costs little, and a work
that is both held out and learned from makes every held-out number untrue.
"""

import re
import unicodedata

_SUFFIX = re.compile(r"(\.(wav|wave|rf64|bw64|w64|aiff?|flac|ogg|oga|opus|mp3|m4a|au|snd|caf|midi?))+$")
_LEADING = re.compile(r"^(\(?\d{1,4}\)?([-.]\d{1,3})?[\s_.)-]+)++(?=\S)")  # a track's number: "03 ", "1-03. ", "(3)_"
_MARK = re.compile(
    r"""
    [\s_.,;(\[\u2013\u2014-]+
    (
        (part|pt|teil|take|tk|again|repeat|movement|mov|mvt|satz|performance|recording|session|mic)
            ([\s_.-]*\d{1,3} | [\s_.-]+([ivx]{1,4}|[a-d])) ([\s_]*of[\s_]*\d{1,3})?
      | \d{1,3}[\s_]*of[\s_]*\d{1,3}
      | \d{1,2}(\.|st|nd|rd|th)[\s_]*(movement|mov|mvt|satz)
      | (version|ver|v)[\s_.-]*\d{1,3}
      | (copy|live|again|repeat|reprise|da[\s_]capo|alternate|alt|excerpt|cut|edit|edited|mono|stereo
            |remaster|remastered|rehearsal|practice) [\s_.-]*\d{0,3}
      | transposed .*
      | (\+ | (?<=[_(\[])-) \d{1,2} ([\s_]*(st|semitones?))?
      | (?<=\()\d{1,3}
      | (19|20)\d\d [-_.]? [01]\d [-_.]? [0-3]\d
    )
    [\s_.)\]]*$
    """,
    re.VERBOSE,
)
# Words that name no work if only numbers stand beside them: many a disc has a third prelude.
_GENERAL = frozenset(
    re.findall(
        r"\w+",
        """
        audio cd clips data dataset disc disk file files music of part piano piece pieces recording recordings sample
        samples session song songs sound sounds take takes test title track tracks train training untitled val
        validation wav wavs
        adagio allegretto allegro allemande andante aria ballade courante etude fuga fugue gavotte gigue grave impromptu
        invention largo lento mazurka menuet minuet moderato movement nocturne polonaise praeludium prelude presto
        rondo sarabande scherzo sinfonia sonata sonatina study toccata valse var variation variations vivace waltz
        """,
    )
)


def work_of(name: str) -> str:
    """Name the work that a recording belongs to.

    The number of a track before a title is stripped, and marks after it: `2of2`, `part 2`, `take3`, `again1`, `(2)`,
    `copy`, `live`, `mov_1`, `v2`, `excerpt`, `+2`, `transposed ...`, a date. Letters' case, accents, leading zeros and
    punctuation do not count. Other numbers do: `sonata_1` and `sonata_2` are two works.

    If a name is all marks (`take 3`), the nearest folder with a title names the work. If there is none, or the name
    consists of general words and numbers (`track 01`, `02 Allegro`), the work is that of the whole path.

    >>> work_of("23_joplin_maple_leaf_rag_2of2_again1.wav")
    'joplin maple leaf rag'
    >>> work_of("Étude op. 10/take 3.flac"), work_of("disc 1/track 01.wav")
    ('etude op 10', 'disc 1/track 1')

    Args:
        name: a file's name, or its path with "/" between the parts.
    """
    *folders, file = _plain(name).split("/")
    text = _without_marks(_SUFFIX.sub("", file))
    titled = [_without_marks(folder) for folder in reversed(folders)] if _MARK.fullmatch(f"_{text}") else [text]
    path = "/".join(" ".join(_words(part)) for part in [*folders, text] if part)
    return next(filter(None, map(_title, titled)), path) or name


def _without_marks(text: str) -> str:
    while (shorter := _MARK.sub("", text)) and shorter != text:
        text = shorter
    return text


def _title(text: str) -> str:
    """Return the words of a title without a track's number; nothing if all are general words and numbers."""
    words = _words(_LEADING.sub("", text))
    is_title = any(word and not word.isdecimal() and word not in _GENERAL for word in words)
    return " ".join(words) if is_title else ""


def _plain(name: str) -> str:
    """Fold case, strip accents and normalise Unicode."""
    if name.isascii():
        return name.lower()
    letters = (c for c in unicodedata.normalize("NFKD", name) if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFKC", "".join(letters)).casefold()


def _words(text: str) -> list[str]:
    """Split text into words and numbers, without what stands between them."""
    for sign, word in {"'": "", "\u2019": "", "#": " sharp ", "\u266f": " sharp ", "\u266d": " flat "}.items():
        text = text.replace(sign, word)
    return [str(int(word)) if word.isdecimal() else word for word in re.findall(r"[^\W\d_]+|\d+", text)] or [text]
