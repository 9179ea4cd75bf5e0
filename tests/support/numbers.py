"""Numbers of two graphs that ought to compute the same.

The same graph gives the same bits twice. Two graphs do not on every processor: ONNX Runtime fuses and lays out their
nodes in other ways, and a kernel for another set of instructions sums in another order or rounds a product and a sum
once. A float32 sum of some thousand terms then differs by about the square root of their number times 6e-8, 1e-5 of its
largest terms with what layers above add to it. A fault of a pass (a statistic of another batch, a mask too few) changes
gradients by a hundredth and more.
"""

import numpy as np

RELATIVE = 1e-4
"""Of the largest element: the accuracy to which every number of this project is held against another implementation."""


def check_same(found: np.ndarray, wanted: np.ndarray, name: str = "", relative: float = RELATIVE) -> None:
    """Compare two arrays, to a share of the largest element; zeros of both must be the same where all is zero."""
    largest = float(np.abs(wanted).max(initial=0))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=relative * largest, err_msg=name)
