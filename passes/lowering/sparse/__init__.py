"""What a masked weight's reader looks like as a sparse convolution."""
