"""The kit that all pages share: assembly into one file, sounds, players, charts, shortcuts and styles."""
