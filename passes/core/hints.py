"""Hints in messages."""

import difflib


def near(glob: str, names: list[str]) -> str:
    """A hint at the names that exist."""
    close = difflib.get_close_matches(glob, names, n=3, cutoff=0.3) or names[:3]
    return f"near names: {', '.join(close)}" if close else "the model has no layer weights"
