"""Learning and rendering: settings, codecs, models, training, roll-outs, evaluation."""

__version__ = "0.1.0"
