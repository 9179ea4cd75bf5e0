"""The counts of right answers by class, which two graphs share."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import INT64, Builder
from sparcl_compile.interface.names import Role

CORRECT, SEEN = "score.class_correct", "score.class_seen"
"""The names of the counts: how often a sample of the class was answered rightly, and how many there were."""


def class_scores(b: Builder, classes: int) -> tuple[ir.Value, ir.Value]:
    """Add the counts as state: int64 [classes] each."""
    correct, seen = (b.state(name, INT64, [classes], Role.RESULT) for name in (CORRECT, SEEN))
    return correct, seen
