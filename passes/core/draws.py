"""The compiler's own random numbers: fresh weights, test inputs. They are stored; no platform draws them again."""

import numpy as np

Generator = np.random.Generator  # noqa: TID251 - compile time only; the results are part of the artifact


def generator(seed: int) -> Generator:
    """A generator that gives the same numbers for the same seed."""
    return np.random.default_rng(seed)  # noqa: TID251 - compile time only; the results are part of the artifact
