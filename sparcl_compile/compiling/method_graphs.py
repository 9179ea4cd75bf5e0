"""The stand-alone graphs that a method needs beside those of every artifact."""

from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs import (
    add_means,
    begin_herding,
    buffer_rows,
    buffer_slots,
    consolidate,
    herd,
    hold,
    keep_reference,
    keep_statistics,
    nearest_mean,
    old_targets,
    pack,
    place_exemplar,
    project,
    pull_back,
    recall,
    record_features,
    record_outputs,
    reduce_exemplars,
    release,
    renew_outputs,
    see_classes,
    sigmoid_targets,
)
from sparcl_compile.graphs.gradients import Gradient
from sparcl_compile.graphs.packing import Packing
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import Role, gradient_mask_name, mask_name
from sparcl_compile.passes.analysis.features import feature_count, head_parameters, packed_weights
from sparcl_compile.passes.core.layers import rate_factor
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.core.values import dims
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.program.fixed import CHUNK
from sparcl_compile.settings.methods import Method

Graphs = Mapping[str, ir.Model | dict[str, ir.Model]]
ByDtype = Callable[[Callable[[ir.DataType], ir.Model]], dict[str, ir.Model]]
"""Makes a graph for each type of raw samples."""
MASKS = (Role.MASK, Role.GRADIENT_MASK)


def method_graphs(compiled: Compiled, method: Method, by_dtype: ByDtype) -> Graphs:
    """Build the graphs that are a method's own, by name (docs/interfaces.md)."""
    classes, gradients = compiled.classes, _gradients(compiled)
    exemplars = method.fills == "exemplars"
    return {
        **(_recalling(classes) if method.recalls or exemplars else {}),
        **(_consolidating(gradients, method) if method.penalty else {}),
        **(_projecting(gradients) if method.projects else {}),
        **(_packing(compiled, method) if method.packs else {}),
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


def _consolidating(gradients: Sequence[Gradient], method: Method) -> Graphs:
    return {
        "pull_back": pull_back.build(gradients, method.penalty),
        "consolidate": consolidate.build(gradients, method.forgets),
    }


def _projecting(gradients: Sequence[Gradient]) -> Graphs:
    return {"keep_reference": keep_reference.build(gradients), "project": project.build(gradients)}


def _packing(compiled: Compiled, method: Method) -> Graphs:
    packing = packing_of(compiled)
    if not packing.packed:
        problem = "gives each task weights of the layers below the classifier, and none of them trains"
        raise FieldError("method", method.name, problem, "train more of the model, or give another `method`")
    return {
        "hold": hold.build(packing),
        "pack": pack.build(packing),
        "release": release.build(packing),
        **({"keep_statistics": keep_statistics.build(packing)} if packing.statistics else {}),
    }


def packing_of(compiled: Compiled) -> Packing:
    """Return PackNet's treatment of each parameter: those of the last layer, which has rows of each task, are free."""
    gradients = {one.name: one for one in _gradients(compiled)}
    packed, head = packed_weights(compiled.full), head_parameters(compiled.full.graph)
    shared = [one for name, one in gradients.items() if name not in {*packed, *head}]
    statistics = values_with_role(compiled.full, Role.RUNNING_STAT)
    return Packing(
        tuple(gradients[name] for name in packed),
        tuple(shared),
        tuple(compiled.optimizer_states[name] for name in packed),
        tuple((str(value.name), dims(value)[0]) for value in statistics),
    )


def _gradients(compiled: Compiled) -> list[Gradient]:
    """The parameters that train, each with the mask that holds some of its weights, the finer one where it has two."""
    training = compiled.training
    masks = {str(v.name): role for role in MASKS for v in values_with_role(training, role)}
    return [_gradient(weight, masks) for weight in values_with_role(training, Role.PARAMETER)]


def _gradient(weight: ir.Value, masks: Mapping[str, Role]) -> Gradient:
    name, shape = str(weight.name), tuple(dims(weight))
    mask = next((made(name) for made in (gradient_mask_name, mask_name) if made(name) in masks), "")
    return Gradient(name, shape, mask, masks.get(mask, Role.MASK), rate_factor(weight))


def _features(compiled: Compiled) -> int:
    """The number of features, of which folding may have left fewer; compressed layers have their masked form's."""
    model = compiled.forward if compiled.plan.channels else compiled.full
    return feature_count(model.graph)
