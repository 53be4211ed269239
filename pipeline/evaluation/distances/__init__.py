"""How far a system lies from real sound where networks hear it: Frechet, kernel, and how much of the gap is closed."""
