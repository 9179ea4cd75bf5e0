"""Helpers for gradients of whole output channels: which axis they lie on, and how many are kept."""
