"""The manifest: what a driver needs to know of an artifact, as JSON-ready data (docs/interfaces.md)."""

import dataclasses
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from sparcl_compile import __version__, memory
from sparcl_compile.artifact import FORMAT, MASKED, VERSION
from sparcl_compile.channel_levels import channel_layers, channel_schedule, channels_entry
from sparcl_compile.cost import computed_gradients, layer_costs, to_manifest, training_flops
from sparcl_compile.files import sha256
from sparcl_compile.gradient_rows import row_specs, rows_of, updated_elements
from sparcl_compile.options import LEARNING_RATE, CompileOptions
from sparcl_compile.passes.attach_optimizer import OPTIMIZER_KEY, optimizer_states
from sparcl_compile.passes.base import (
    COMPRESSED_KEY,
    DENSE_KEY,
    MASKED_KEY,
    NEXT,
    TRAINABLE,
    Role,
    dims,
    gradient_mask_name,
    layer_weights,
    mask_name,
    masked_layers,
    values_with_role,
)
from sparcl_compile.passes.channels.plan import ChannelPlan, plan_of
from sparcl_compile.passes.emit import FILES, STATE_FILE
from sparcl_compile.passes.freeze_parameters import update_summary
from sparcl_compile.passes.insert_sample_filter import SCORES
from sparcl_compile.passes.liveness.in_place import ELEMENTWISE, overwritable
from sparcl_compile.passes.select_kernels import choices_of
from sparcl_compile.passes.sparse_gradients import sparse_nodes
from sparcl_compile.pipeline import Compiled
from sparcl_compile.recipes import RECIPES, Layer, replay_for, schedule_for, weight_layers
from sparcl_compile.side_graphs import layout_of
from sparcl_compile.trace import PassTrace

TARGET = "ort-training"


def build(
    source: Path,
    compiled: Compiled,
    options: CompileOptions,
    layers: Sequence[Layer],
    traces: Sequence[PassTrace],
    folder: Path,
) -> dict[str, Any]:
    """Everything but the checksums of the files.

    Args:
        source: the compiled file.
        compiled: the result of the pipeline.
        options: the options it was compiled with.
        layers: what ``model_layers`` gives.
        traces: what each pass did.
        folder: where the graphs lie.
    """
    plan = plan_of(compiled.forward)
    rows = rows_of(compiled, options, layers)
    schedule = schedule_for(layers, options)
    state = state_specs(compiled, options, layers)
    return {
        "format": FORMAT,
        "version": VERSION,
        "target": TARGET,
        "made_by": {"sparcl-compile": __version__, **{name: version(name) for name in ("onnx", "onnx-ir", "torch")}},
        "model": _model(source, compiled),
        "options": dataclasses.asdict(options),
        "recipe": {
            "name": options.recipe,
            "loss_classes": options.loss_classes,
            **dataclasses.asdict(RECIPES[options.recipe]),
        },
        "schedule": {
            **schedule,
            **(channel_schedule(plan, options) if plan else {}),
            **({"gradient_keep": [one.kept for one in rows.values()]} if rows else {}),
        },
        "replay": replay_for(options),
        "optimizer": {"name": options.optimizer, "learning_rate": LEARNING_RATE[options.optimizer]},
        "masks": [_mask(layer, plan, compiled.forward) for layer in layers],
        "dense": _dense(compiled),
        **({"channels": channels_entry(plan, options)} if plan else {}),
        **({"kernels": _kernels(compiled, options)} if options.compress and options.select_kernels else {}),
        "update": update_summary(compiled.full),
        "flops": _flops(compiled, layers, options),
        "memory": memory.to_manifest(compiled.training, state, options.batch_size),
        "passes": [trace.to_dict() for trace in traces],
        "graphs": _graphs(folder),
        "state": state,
        "state_file": STATE_FILE,
        "sparse_kernels": bool(sparse_nodes(compiled.training.graph)),
    }


def _mask(layer: Layer, plan: ChannelPlan | None, forward: ir.Model) -> dict[str, Any]:
    compact = {"compact_shape": list(plan.stored_shape(layer.weight))} if plan else {}
    marks = forward.graph.initializers[layer.weight].metadata_props
    form = {"stored": marks.get(COMPRESSED_KEY, MASKED), "reason": marks.get(MASKED_KEY, "")}
    return {**dataclasses.asdict(layer), "size": layer.size, **compact, **form}


def _kernels(compiled: Compiled, options: CompileOptions) -> dict[str, Any]:
    layers = [dataclasses.asdict(choice) for choice in choices_of(compiled.forward)]
    return {"batch": options.batch_size, "layers": layers}


def model_layers(compiled: Compiled, options: CompileOptions) -> tuple[Layer, ...]:
    """The masked layers with their counts; none when neither weights nor gradients are sparse."""
    if options.sparsity == 0.0 and options.gradient_sparsity == 0.0:
        return ()
    layers = _all_gradients(compiled, options)
    return updated_elements(layers, rows_of(compiled, options, layers))


def _all_gradients(compiled: Compiled, options: CompileOptions) -> tuple[Layer, ...]:
    if plan := plan_of(compiled.forward):
        return channel_layers(plan, options)
    return weight_layers(compiled.full, options)


def state_specs(compiled: Compiled, options: CompileOptions, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Every state tensor with its role, type, shape and where its first value comes from."""
    training = compiled.training
    variant = training.metadata_props[OPTIMIZER_KEY]
    specs = []
    for role in (Role.PARAMETER, Role.FROZEN, Role.MASK, Role.INDEX, Role.RUNNING_STAT):
        specs += [_spec(value, role, "file") for value in values_with_role(compiled.forward, role)]
    specs += [_spec(value, Role.GRADIENT, "zeros") for value in values_with_role(training, Role.GRADIENT)]
    for weight in values_with_role(training, Role.PARAMETER):
        name = str(weight.name)
        specs += [{**_spec(weight, Role.OPTIMIZER, "zeros"), "name": n} for n in optimizer_states(variant, name)]
    weights = {str(weight.name): weight for weight in masked_layers(training)}
    for layer in layers:
        weight = weights[layer.weight]
        if options.sparsity == 0.0:
            specs.append({**_spec(weight, Role.MASK, "ones"), "name": mask_name(layer.weight)})
        if options.gradient_sparsity > 0.0:
            masked = mask_name(layer.weight) in compiled.forward.graph.initializers
            init = f"copy:{mask_name(layer.weight)}" if masked or options.sparsity == 0.0 else "ones"
            specs.append({**_spec(weight, Role.GRADIENT_MASK, init), "name": gradient_mask_name(layer.weight)})
    specs += row_specs(rows_of(compiled, options, layers))
    plan = plan_of(compiled.forward)
    if plan is not None:
        specs = [_with_full_shape(spec, plan.shapes) for spec in specs] + _channel_specs(plan)
    shapes = {layer.weight: layer.shape for layer in layers}
    specs = [_with_full_shape(spec, shapes) for spec in specs]
    return [*specs, *_sample_specs(RECIPES[options.recipe].score)]


def _with_full_shape(spec: dict[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The full shape beside the stored one where they differ: sparsity is measured against it."""
    name = str(spec["name"])
    shape = shapes.get(name.removesuffix(".gradient_mask").removesuffix(".mask"))
    return spec if shape is None or list(shape) == spec["shape"] else {**spec, "full_shape": list(shape)}


def _channel_specs(plan: ChannelPlan) -> list[dict[str, Any]]:
    return [
        {"name": name, "role": str(Role.CHANNEL), "dtype": str(data.dtype), "shape": list(data.shape), "init": "file"}
        for name, data in plan.state().items()
    ]


def _spec(value: ir.Value, role: Role, init: str) -> dict[str, Any]:
    dtype = "float32" if value.dtype is None else value.dtype.numpy().name
    return {"name": str(value.name), "role": str(role), "dtype": dtype, "shape": dims(value), "init": init}


def _sample_specs(score: str) -> list[dict[str, Any]]:
    keep = {"name": "sample_keep", "role": "sample", "dtype": "float32", "shape": [None], "init": "ones"}
    counters = [
        {"name": name, "role": "sample", "dtype": "int64", "shape": [None], "init": "zeros"} for name in SCORES[score]
    ]
    return [keep, *counters]


def input_shape(compiled: Compiled) -> list[int | None]:
    """The shape of the model's input without the batch; None for a dimension that may vary."""
    x = next(value for value in compiled.forward.graph.inputs if value.name == "x")
    return [d if isinstance(d, int) else None for d in x.shape or ()][1:]


def _model(source: Path, compiled: Compiled) -> dict[str, Any]:
    logits = compiled.forward.graph.outputs[0]
    shape = input_shape(compiled)
    return {
        "name": source.stem,
        "source": source.name,
        "source_sha256": sha256(source),
        "input_shape": shape,
        "layout": layout_of(shape),
        "classes": int((logits.shape or (0, 0))[1]),  # type: ignore[arg-type]
        "parameters": sum(_size(v) for role in TRAINABLE for v in values_with_role(compiled.full, role)),
    }


def _size(value: ir.Value) -> int:
    return value.const_value.size if value.const_value is not None else 0


def _dense(compiled: Compiled) -> list[dict[str, Any]]:
    weights = [w for w in layer_weights(compiled.full) if DENSE_KEY in w.metadata_props]
    return [
        {"weight": str(w.name), "shape": dims(w), "size": _size(w), "reason": w.metadata_props[DENSE_KEY]}
        for w in weights
    ]


def _flops(compiled: Compiled, layers: Sequence[Layer], options: CompileOptions) -> dict[str, float]:
    density = {layer.weight: layer.base / layer.size for layer in layers}
    kept = {layer.weight: min(layer.gradient_keep, layer.base) / layer.size for layer in layers}
    if options.gradient_sparsity == 0.0:
        kept = density
    kept |= {weight: one.computed_share for weight, one in rows_of(compiled, options, layers).items()}
    return to_manifest(training_flops(layer_costs(compiled.full), density, kept, computed_gradients(compiled.full)))


def _graphs(folder: Path) -> dict[str, Any]:
    graphs = {}
    for path in sorted(folder.rglob("*.onnx")):
        graph = onnx.load(path).graph
        name = next((n for n, file in FILES.items() if folder / file == path), path.stem)
        graphs[name] = {
            "file": str(path.relative_to(folder)),
            "inputs": [value.name for value in graph.input],
            "outputs": [value.name for value in graph.output],
            "in_place": overwritable(ir.serde.deserialize_graph(graph)) if _may_overwrite(graph) else [],
        }
    return graphs


def _may_overwrite(graph: onnx.GraphProto) -> bool:
    """Whether a next value comes from an operator that may write over what it reads: the others need no closer look."""
    return any(name.endswith(NEXT) for node in graph.node if node.op_type in ELEMENTWISE for name in node.output)
