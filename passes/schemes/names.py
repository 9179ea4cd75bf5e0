"""The names of the schemes and what a name alone says; without NumPy, so that the options stay light."""

import re

from sparcl_compile.interface.errors import FieldError

BLOCK4X1 = "block4x1"
SCHEMES = ("unstructured", "channel", BLOCK4X1, "kernel", "pattern")
"""Beside these, ``N:M`` names a scheme."""

PATTERN_ENTRIES, KERNEL_ENTRIES = 4, 9
PATTERN_DENSITY = PATTERN_ENTRIES / KERNEL_ENTRIES
ROUNDING = 1e-3
"""Largest distance of a sparsity from 1 - N/M, so that 0.667 is two thirds."""

_N_OF_M = re.compile(r"([1-9]\d*):([1-9]\d*)")


def n_of_m(scheme: str) -> tuple[int, int] | None:
    """N and M of a scheme ``N:M``, None for any other name."""
    match = _N_OF_M.fullmatch(scheme)
    return (int(match[1]), int(match[2])) if match else None


def sparsity_for(scheme: str, given: float | None, default: float) -> float:
    """The sparsity that a scheme and a sparsity (None: not given) mean together.

    A sparsity that contradicts the scheme is returned as it is: :func:`check_sparsity` refuses it.
    """
    pair = n_of_m(scheme)
    if pair is None:
        return default if given is None else given
    exact = 1.0 - pair[0] / pair[1]
    return exact if given is None or abs(given - exact) <= ROUNDING else given


def check_scheme(scheme: str) -> None:
    """Raise FieldError for a name that is no scheme."""
    pair = n_of_m(scheme)
    if pair is None and scheme not in SCHEMES:
        raise FieldError("scheme", scheme, mend=f"give one of {', '.join(SCHEMES)} or N:M, for example 2:4")
    if pair is not None and pair[0] >= pair[1]:
        raise FieldError("scheme", scheme, "N of M weights stay, so N must be below M", "give for example 2:4")


def check_sparsity(scheme: str, sparsity: float, distribution: str) -> None:
    """Raise FieldError for a sparsity or distribution that the scheme cannot have."""
    pair = n_of_m(scheme)
    if pair is not None and abs(sparsity - (1.0 - pair[0] / pair[1])) > ROUNDING:
        # Leaving it out would not do in Python, where the options have a sparsity by default.
        exact = f"{1.0 - pair[0] / pair[1]:.4g}"
        raise FieldError("sparsity", sparsity, f"does not go with `scheme` {scheme}", f"give {exact}")
    if pair is not None and distribution == "erk":
        raise FieldError("distribution", "erk", f"`scheme` {scheme} keeps the same share everywhere", "give uniform")
    if scheme == "pattern" and not pattern_fits(1.0 - sparsity):
        problem = "`scheme` pattern keeps at most 4 of 9 weights"
        raise FieldError("sparsity", sparsity, problem, "give 0.5556 or more")


def pattern_fits(density: float) -> bool:
    """Whether kernels with four of nine entries can have this density, up to rounding."""
    return density <= PATTERN_DENSITY + 1e-9
