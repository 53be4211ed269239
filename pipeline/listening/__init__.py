"""A listening test: anonymous clips for a browser and for an audio editor, and scores from what listeners answer.

folders of systems -> excerpts: equal length, equal loudness -> make: shuffled, nameless files for listeners
answers (a filled sheet, a page's results) + answer key -> scores: mean opinions and preferences with intervals
"""

from pipeline.errors import ListeningError

__all__ = ["ListeningError"]
