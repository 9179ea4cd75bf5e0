"""The stand-alone graphs that a method needs beside those of every artifact."""

import onnx_ir as ir

from sparcl_compile.graphs import old_targets, recall, record_outputs, see_classes
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.settings.methods import Method


def method_graphs(compiled: Compiled, method: Method) -> dict[str, ir.Model]:
    """Build the graphs that are a method's own, by name (docs/interfaces.md)."""
    return {**(_recalling(compiled.classes) if method.recalls else {})}


def _recalling(classes: int) -> dict[str, ir.Model]:
    return {
        "record_outputs": record_outputs.build(classes),
        "recall": recall.build(classes),
        "old_targets": old_targets.build(classes),
        "see_classes": see_classes.build(classes),
    }
