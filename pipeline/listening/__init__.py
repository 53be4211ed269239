"""A listening test: anonymous clips for an audio editor and for a browser, and scores from what listeners answer.

folders of systems -> excerpts: equal length, equal loudness -> plan: shuffled, nameless -> make: files for a listener
answers (a filled sheet, a page's results) + key -> scoring: mean opinions and preferences with intervals
"""

from pipeline.errors import ListeningError

__all__ = ["ListeningError"]
