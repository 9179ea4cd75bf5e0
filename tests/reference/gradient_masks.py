"""DGM: which of the kept weights are updated."""

from .masks import Floats, Mask, top


def gradient_mask(cgi: Floats, mask: Mask, keep: int) -> Mask:
    """The ``min(keep, kept weights)`` kept weights of largest CGI; ties go to the lower index. Shapes [n]."""
    return top(cgi, mask, keep)
