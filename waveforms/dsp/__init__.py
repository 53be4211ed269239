"""Signal processing: blocks, FFT vectors, bands of a spectrum, and phases."""
