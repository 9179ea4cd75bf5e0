"""The two batch sizes at which a graph is followed."""

import onnx_ir as ir
import pytest

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.values import FLOAT
from sparcl_compile.passes.core.worlds import World


def test_an_input_with_a_length_that_is_no_number_is_refused() -> None:
    value = ir.Value(name="x", type=FLOAT, shape=ir.Shape(["N", 3, " "]))
    with pytest.raises(ModelError, match=r"input x is .*, with a length that is no number; give it fixed lengths"):
        World(2).enter(value)


def test_the_batch_takes_the_place_of_the_first_axis() -> None:
    value = ir.Value(name="x", type=FLOAT, shape=ir.Shape(["N", 3, 4]))
    world = World(2)
    world.enter(value)
    assert world.shape(value) == (2, 3, 4)
