"""A method's record of the network before a task, which several graphs share."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.interface.names import Role

SAMPLE_OUTPUTS, CLASSES_SEEN = "sample_outputs", "classes_seen"
"""Logits of the task's samples from before the task; 1 for each class of an earlier task."""


def sample_outputs(b: Builder, classes: int) -> ir.Value:
    """Add the state ``sample_outputs``: float32 [samples, classes]."""
    return b.state(SAMPLE_OUTPUTS, FLOAT, ["samples", classes], Role.METHOD)


def classes_seen(b: Builder, classes: int) -> ir.Value:
    """Add the state ``classes_seen``: float32 [classes]."""
    return b.state(CLASSES_SEEN, FLOAT, [classes], Role.METHOD)
