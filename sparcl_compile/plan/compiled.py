"""The graphs that a compilation leaves, and the plan that they follow."""

import dataclasses
import functools
from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.interface.manifest import Layout
from sparcl_compile.interface.names import Role, gradient_rows_name
from sparcl_compile.passes.core.marks import OPTIMIZER_KEY, OUTPUT_KEY
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.differentiating.attach_optimizer import optimizer_states
from sparcl_compile.passes.importing.remarks import remarks_of
from sparcl_compile.plan.plan import SparsityPlan
from sparcl_compile.settings.options import CompileOptions

COLOURS = (1, 3, 4)
"""Channel counts by which a channels-last input is told from a channels-first one."""


@dataclasses.dataclass(frozen=True)
class Compiled:
    """The result of the pipeline.

    Attributes:
        forward: the forward graph with its data, as the artifact holds it: masked, and lowered where that was asked.
        training: the training graph.
        full: the masked forward graph before it was lowered, for sizes and costs.
        plan: the kept weights, channels and rows.
        options: the user's, with those that the model settles.
    """

    forward: ir.Model
    training: ir.Model
    full: ir.Model
    plan: SparsityPlan
    options: CompileOptions

    @functools.cached_property
    def optimizer_states(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the optimizer state of each parameter that trains."""
        variant = self.training.metadata_props[OPTIMIZER_KEY]
        names = [str(value.name) for value in values_with_role(self.training, Role.PARAMETER)]
        return {name: optimizer_states(variant, name) for name in names}

    @functools.cached_property
    def cut_gradients(self) -> frozenset[str]:
        """The weights of whose gradients the training graph computes the chosen rows only."""
        computed = {value.name for value in values_with_role(self.training, Role.GRADIENT_ROWS)}
        return frozenset(layer.weight for layer in self.plan.layers if gradient_rows_name(layer.weight) in computed)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape of the model's input without the batch; None for a dimension that may vary."""
        x = next(value for value in self.forward.graph.inputs if value.name == "x")
        return tuple(length if isinstance(length, int) else None for length in (x.shape or ())[1:])

    @property
    def classes(self) -> int:
        """The number of logits."""
        length = (self.forward.graph.outputs[0].shape or (None, None))[1]
        if not isinstance(length, int):
            raise ValueError("the logits have no fixed number of classes")
        return length

    @property
    def output(self) -> str:
        """The name in the user's file of the value that holds the class scores."""
        return self.full.metadata_props.get(OUTPUT_KEY, "logits")

    @property
    def remarks(self) -> tuple[str, ...]:
        """The lines that the import has to say about the model."""
        return remarks_of(self.full)

    @property
    def layout(self) -> Layout:
        """The layout of a sample in the model's input.

        The channels of a sequence are the shorter one of its two axes, those of an image or a volume the last one where
        that has the length of a colour and the first has not.
        """
        shape = self.input_shape
        last = bool(shape) and shape[-1] in COLOURS and shape[0] not in COLOURS
        by_rank: dict[int, Layout] = {
            1: "flat",
            2: "NTC" if shape and _is_shorter(shape[-1], shape[0]) else "NCT",
            3: "NHWC" if last else "NCHW",
            4: "NDHWC" if last else "NCDHW",
        }
        return by_rank.get(len(shape), "NCHW")


def _is_shorter(one: int | None, other: int | None) -> bool:
    """Whether a length is below another one; any that varies is long."""
    return one is not None and (other is None or one < other)
