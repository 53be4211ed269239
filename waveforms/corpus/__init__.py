"""Folders, lists and URLs of recordings as one corpus."""

from waveforms.corpus.corpus import Corpus
from waveforms.corpus.recording import Recording

__all__ = ["Corpus", "Recording"]
