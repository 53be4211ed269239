"""Learning and rendering: settings, representations, predictors, training, generation."""

__version__ = "0.1.0"
