"""Faster arithmetic for the same models: an LSTM's backward pass in bfloat16, and roll-outs in 8 bits."""
