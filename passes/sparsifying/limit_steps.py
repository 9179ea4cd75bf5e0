"""The largest step of a parameter."""

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.interface.ranges import check_not_negative
from sparcl_compile.passes.analysis.normalised import hidden_layers_are_normalised
from sparcl_compile.passes.analysis.rows import output_axes
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import HELD, LOSS, NUMBERED
from sparcl_compile.passes.core.marks import FALL_KEY, LIMIT_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.core.values import data_of, dims

FULL_STEPS = 10
"""Steps of a task that may be longer than their limit before it falls (docs/defaults.md, Limits that fall)."""


@dataclasses.dataclass(frozen=True)
class LimitSteps(Pass):
    """Note the largest norm that a step of SGD may have in each parameter that trains.

    1. The right learning rate of a layer depends on the size of its inputs and gradients, which a compiler does not
       know: one rate that suits a layer behind an average of all positions is too large
       behind a flattened image. A step that is too large kills a ReLU network for good. A limit that is relative to the
       parameter acts in such steps alone and leaves all others as they are.
    2. The limit of a layer's weight is ``share`` of the norm that it begins with, its mask applied, or of sqrt(C / 3)
       with C output channels where that is larger: a last layer that begins at 0 has to move, too. It is the norm that
       PyTorch's ``Linear`` and ``Conv2d`` give it (each of an output's n weights has the variance 1 / (3 n)).
    3. The limit of every other parameter, a bias, scale or shift of n elements for the most part, is ``share`` of
       sqrt(n / 3) / 2. A shift that jumps below the outputs of its normalisation ends as many ReLUs as a weight can,
       and it moves all samples in one direction, where a weight moves each in its own: hence the half.
    4. The optimizer's graph multiplies the learning rate of the parameter by limit / norm of its step where that is
       below 1, or under momentum the gradient, which would go on in later steps. The direction of the step stays.
    5. In a network without normalised hidden layers a limit falls: where h of a task's steps of a parameter so far,
       this one included, were longer than the whole limit, the step has sqrt(``FULL_STEPS`` / h) of it once h is above
       ``FULL_STEPS``. Where the gradients of samples disagree nearly every step is as long as it may be, and steps of
       one length lead on and on away from what was learned; shorter ones settle. A layer whose steps are seldom too
       long keeps its limit. Normalised layers need none of it: they grow under such steps and turn less with each.
    6. A parameter that has its limit is left alone, which makes the pass idempotent; a ``share`` of 0 limits nothing.

    Source: the trust ratio of LARS (You, Gitman and Ginsburg, "Large batch training of convolutional networks", arXiv
    1708.03888, 2017) and adaptive gradient clipping (Brock, De, Smith and Simonyan, "High-performance large-scale image
    recognition without normalization", ICML 2021, equation 3), here for a whole parameter and by its first norm. Steps
    of a given length that fall with the root of their number are those of the subgradient method (Shor, Minimization
    Methods for Non-Differentiable Functions, 1985, section 2.1).

    Options:
        share: of the norm of a parameter, not negative.
    """

    phase = Phase.SPARSIFYING
    needs = (HELD, NUMBERED)
    before = (LOSS,)

    share: float = 0.0

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Mark the parameters. Raises FieldError for a share below 0."""
        check_not_negative("share", self.share, example=0.1)
        axes = output_axes(model.graph)
        parameters = list(values_with_role(model, Role.PARAMETER)) if self.share else []
        chosen = [parameter for parameter in parameters if LIMIT_KEY not in parameter.metadata_props]
        falls = {} if hidden_layers_are_normalised(model.graph) else {FALL_KEY: str(FULL_STEPS)}
        for parameter in chosen:
            limit = self.share * norm(parameter, axes.get(str(parameter.name)))
            parameter.metadata_props.update({LIMIT_KEY: repr(limit), **falls})
        return ir.passes.PassResult(model, bool(chosen))


def norm(parameter: ir.Value, axis: int | None) -> float:
    """The norm that the largest step of a parameter is a share of.

    Args:
        parameter: its first values.
        axis: the axis of a layer's output channels; None for a parameter that is no layer's weight.
    """
    shape = dims(parameter)
    if axis is None:
        return math.sqrt(math.prod(shape) / 3.0) / 2.0
    return max(float(np.linalg.norm(data_of(parameter).astype(np.float64))), math.sqrt(shape[axis] / 3.0))
