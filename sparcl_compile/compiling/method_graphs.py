"""The stand-alone graphs that a method needs beside those of every artifact."""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from sparcl_compile.graphs import (
    add_means,
    begin_herding,
    buffer_rows,
    buffer_slots,
    herd,
    nearest_mean,
    old_targets,
    place_exemplar,
    recall,
    record_features,
    record_outputs,
    reduce_exemplars,
    renew_outputs,
    see_classes,
    sigmoid_targets,
)
from sparcl_compile.passes.analysis.features import feature_count
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.program.fixed import CHUNK
from sparcl_compile.settings.methods import Method

Graphs = Mapping[str, ir.Model | dict[str, ir.Model]]
ByDtype = Callable[[Callable[[ir.DataType], ir.Model]], dict[str, ir.Model]]
"""Makes a graph for each type of raw samples."""


def method_graphs(compiled: Compiled, method: Method, by_dtype: ByDtype) -> Graphs:
    """Build the graphs that are a method's own, by name (docs/interfaces.md)."""
    classes = compiled.classes
    exemplars = method.fills == "exemplars"
    return {
        **(_recalling(classes) if method.recalls or exemplars else {}),
        **({"old_targets": old_targets.build(classes)} if method.recalls else {}),
        **(_exemplars(classes, _features(compiled), by_dtype) if exemplars else {}),
    }


def _recalling(classes: int) -> Graphs:
    return {
        "record_outputs": record_outputs.build(classes),
        "recall": recall.build(classes),
        "see_classes": see_classes.build(classes),
    }


def _exemplars(classes: int, size: int, by_dtype: ByDtype) -> Graphs:
    return {
        "sigmoid_targets": sigmoid_targets.build(classes),
        "record_features": record_features.build(size),
        "reduce_exemplars": by_dtype(lambda dtype: reduce_exemplars.build(classes, dtype)),
        "begin_herding": begin_herding.build(classes, size),
        "herd": herd.build(size),
        "place_exemplar": by_dtype(place_exemplar.build),
        "buffer_slots": buffer_slots.build(CHUNK),
        "buffer_rows": by_dtype(buffer_rows.build),
        "renew_outputs": renew_outputs.build(classes),
        "add_means": add_means.build(classes, size),
        "nearest_mean": nearest_mean.build(classes, size),
    }


def _features(compiled: Compiled) -> int:
    """The number of features, of which folding may have left fewer; compressed layers have their masked form's."""
    model = compiled.forward if compiled.plan.channels else compiled.full
    return feature_count(model.graph)
