"""Data sources, read without a network: arrays in, tasks out."""
