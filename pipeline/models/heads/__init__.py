"""What turns a conditioning vector into a density or a softmax over the next residual."""
