"""How it sounds, whatever is played: seams and clicks, life, collapse and loops, levels."""
