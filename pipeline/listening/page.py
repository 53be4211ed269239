"""The page that plays a test in a browser; see `pipeline.web.pages`."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.listening.key import Key
from pipeline.web.pages import assemble, to_flac


def make_page(key: Key, clips: Mapping[str, npt.NDArray[np.int16]]) -> str:
    """Make the page of a test.

    Args:
        key: of which only the test's id and the names of clips and pairs are shown.
        clips: {name: (n_samples,)}.
    """
    shown = {
        "id": key.test,
        "clips": [clip.name for clip in key.clips],
        "pairs": [[pair.name, pair.a, pair.b] for pair in key.pairs],
    }
    sounds = {name: to_flac(clip) for name, clip in clips.items()}
    return assemble("listening", title="Listening test", data=shown, sounds=sounds)
