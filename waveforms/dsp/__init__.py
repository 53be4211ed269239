"""Signal processing: blocks and their overlap, spectra, bands of a spectrum, and phases."""
