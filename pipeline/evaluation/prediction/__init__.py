"""How well a checkpoint predicts music that it has never seen."""
