"""How it sounds, whatever is played: seams and clicks, glides and bursts, life, collapse and loops, levels."""
