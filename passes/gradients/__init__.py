"""The gradients of operators, one small function for each input, in files by family."""
