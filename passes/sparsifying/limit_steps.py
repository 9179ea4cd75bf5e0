"""The largest step of a layer's weight."""

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.ranges import check_not_negative
from sparcl_compile.passes.analysis.rows import output_axes
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import HELD, LOSS, NUMBERED
from sparcl_compile.passes.core.marks import LIMIT_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import data_of, dims


@dataclasses.dataclass(frozen=True)
class LimitSteps(Pass):
    """Note the largest norm that a step of SGD may have in the weight of each layer that trains.

    1. The right learning rate of a layer depends on the size of its inputs and gradients, which a compiler does not
       know: one rate that suits a layer behind an average of all positions is too large
       behind a flattened image. A step that is too large kills a ReLU network for good. A limit that is relative to the
       weight acts in such steps alone and leaves all others as they are.
    2. The limit is ``share`` of the norm that the weight begins with, its mask applied, or of the norm that PyTorch's
       ``Linear`` and ``Conv2d`` would give it, sqrt(C / 3) with C output channels, where that is larger: a last layer
       that begins at 0 has to move, too. (Each of an output's n weights has the variance 1 / (3 n).)
    3. The optimizer's graph multiplies the learning rate of the weight by limit / norm of its step where that is below
       1. The direction of the step stays.
    4. Biases, scales and shifts have no limit.
    5. A weight that has its limit is left alone, which makes the pass idempotent; a ``share`` of 0 limits nothing.

    Source: the trust ratio of LARS (You, Gitman and Ginsburg, "Large batch training of convolutional networks", arXiv
    1708.03888, 2017) and adaptive gradient clipping (Brock, De, Smith and Simonyan, "High-performance large-scale image
    recognition without normalization", ICML 2021, equation 3), here for a whole layer and by its first norm.

    Options:
        share: of the norm of a layer's weight, not negative.
    """

    phase = Phase.SPARSIFYING
    needs = (HELD, NUMBERED)
    before = (LOSS,)

    share: float = 0.0

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Mark the weights. Raises FieldError for a share below 0."""
        check_not_negative("share", self.share, example=0.1)
        axes = output_axes(model.graph) if self.share else {}
        weights = [model.graph.initializers[name] for name in axes]
        chosen = [weight for weight in weights if LIMIT_KEY not in weight.metadata_props]
        for weight in chosen:
            weight.metadata_props[LIMIT_KEY] = repr(self.share * norm(weight, axes[str(weight.name)]))
        return ir.passes.PassResult(model, bool(chosen))


def norm(weight: ir.Value, axis: int) -> float:
    """The norm of a weight, or the one that it would usually begin with where that is larger.

    Args:
        weight: a parameter.
        axis: the axis of its output channels.
    """
    usual = math.sqrt(dims(weight)[axis] / 3.0)
    return max(float(np.linalg.norm(data_of(weight).astype(np.float64))), usual)
