"""The graphs that a compilation leaves."""

import dataclasses

import onnx_ir as ir


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the pipeline leaves.

    Attributes:
        forward: the forward graph with its data, as the artifact holds it: masked, and lowered where that was asked.
        training: the training graph.
        full: the masked forward graph before it was lowered, for sizes and costs.
    """

    forward: ir.Model
    training: ir.Model
    full: ir.Model
