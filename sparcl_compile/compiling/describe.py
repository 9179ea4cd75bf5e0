"""The manifest and the report of a compilation, put together from what it has left (docs/interfaces.md)."""

import dataclasses
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir

from sparcl_compile.compiling.graph_specs import graph_specs
from sparcl_compile.compiling.loop import program_for
from sparcl_compile.compiling.side_graphs import Facts, layout_of
from sparcl_compile.compiling.state_specs import state_specs, weight_specs
from sparcl_compile.costs import memory
from sparcl_compile.costs.flops import computed_gradients, layer_costs, to_manifest, training_flops
from sparcl_compile.interface.files import sha256
from sparcl_compile.interface.manifest import FORMAT, VERSION, Flops, Manifest, Model
from sparcl_compile.interface.report import CompileReport, KernelChoices, PassTrace
from sparcl_compile.interface.schedule import Schedule
from sparcl_compile.interface.specs import DenseSpec, OptimizerSpec
from sparcl_compile.interface.version import __version__
from sparcl_compile.passes.analysis.channels.plan import plan_of
from sparcl_compile.passes.core.layers import layer_weights
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.core.roles import TRAINABLE, values_with_role
from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.emitting.emit import STATE_FILE
from sparcl_compile.passes.lowering.select_kernels import choices_of
from sparcl_compile.passes.sparsifying.freeze_parameters import update_summary
from sparcl_compile.plan.channels import channel_layers, channel_levels, channel_spec, channel_updates
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.layers import Layer, weight_layers
from sparcl_compile.plan.rows import rows_of, updated_elements
from sparcl_compile.plan.schedule import schedule_for
from sparcl_compile.settings.options import LEARNING_RATE, CompileOptions

TARGET = "ort-training"
LIBRARIES = ("onnx", "onnx-ir", "torch")


def facts_of(compiled: Compiled, options: CompileOptions) -> Facts:
    """Find out what the stand-alone graphs and the manifest are made from."""
    layers = model_layers(compiled, options)
    state = state_specs(compiled, options, layers)
    logits = compiled.forward.graph.outputs[0]
    return Facts(
        layers=layers,
        state=state,
        weights=weight_specs(layers, compiled.forward, state),
        flops=_flops(compiled, layers, options),
        input_shape=input_shape(compiled),
        classes=int((logits.shape or (0, 0))[1]),  # type: ignore[arg-type]
    )


def build(source: Path, compiled: Compiled, options: CompileOptions, facts: Facts, folder: Path) -> Manifest:
    """Describe everything but the checksums of the files.

    Args:
        source: the compiled file.
        compiled: the result of the pipeline.
        options: the options it was compiled with.
        facts: as ``facts_of`` gives them.
        folder: where the graphs lie.
    """
    plan = plan_of(compiled.forward)
    graphs, loop_state = graph_specs(folder)
    state = (*facts.state, *loop_state)
    return Manifest(
        format=FORMAT,
        version=VERSION,
        target=TARGET,
        made_by={"sparcl-compile": __version__, **{name: version(name) for name in LIBRARIES}},
        model=_model(source, compiled, facts),
        options=options,
        program=program_for(options, _schedule(compiled, options, facts.layers), state, graphs),
        optimizer=OptimizerSpec(options.optimizer, LEARNING_RATE[options.optimizer]),
        weights=facts.weights,
        dense=tuple(_dense(compiled)),
        channels=channel_spec(plan, options) if plan else None,
        update=update_summary(compiled.full),
        flops=facts.flops,
        graphs=graphs,
        state=state,
        state_file=STATE_FILE,
        files={},
    )


def report(compiled: Compiled, options: CompileOptions, facts: Facts, traces: Iterable[PassTrace]) -> CompileReport:
    """The log: what each pass did, the memory of training, and the choice of kernels."""
    return CompileReport(
        passes=tuple(traces),
        memory=memory.to_report(compiled.training, facts.state, options.batch_size),
        kernels=_kernels(compiled, options) if options.compress and options.select_kernels else None,
    )


def _kernels(compiled: Compiled, options: CompileOptions) -> KernelChoices:
    return KernelChoices(options.batch_size, tuple(choices_of(compiled.forward)))


def _schedule(compiled: Compiled, options: CompileOptions, layers: Sequence[Layer]) -> Schedule:
    schedule = schedule_for(layers, options)
    plan, rows = plan_of(compiled.forward), rows_of(compiled, options, layers)
    if plan is not None:
        levels, updates = channel_levels(plan, options), channel_updates(options)
        schedule = dataclasses.replace(schedule, levels=levels, mask_updates=updates)
    if rows:
        schedule = dataclasses.replace(schedule, gradient_keep=tuple(one.kept for one in rows.values()))
    return schedule


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


def input_shape(compiled: Compiled) -> list[int | None]:
    """The shape of the model's input without the batch; None for a dimension that may vary."""
    x = next(value for value in compiled.forward.graph.inputs if value.name == "x")
    return [d if isinstance(d, int) else None for d in x.shape or ()][1:]


def _model(source: Path, compiled: Compiled, facts: Facts) -> Model:
    return Model(
        name=source.stem,
        source=source.name,
        source_sha256=sha256(source),
        input_shape=tuple(facts.input_shape),
        layout=layout_of(facts.input_shape),
        classes=facts.classes,
        parameters=sum(_size(v) for role in TRAINABLE for v in values_with_role(compiled.full, role)),
    )


def _size(value: ir.Value) -> int:
    return value.const_value.size if value.const_value is not None else 0


def _dense(compiled: Compiled) -> Iterable[DenseSpec]:
    weights = (w for w in layer_weights(compiled.full) if DENSE_KEY in w.metadata_props)
    return (DenseSpec(str(w.name), tuple(dims(w)), w.metadata_props[DENSE_KEY]) for w in weights)


def _flops(compiled: Compiled, layers: Sequence[Layer], options: CompileOptions) -> Flops:
    density = {layer.weight: layer.base / layer.size for layer in layers}
    kept = {layer.weight: min(layer.gradient_keep, layer.base) / layer.size for layer in layers}
    if options.gradient_sparsity == 0.0:
        kept = density
    kept |= {weight: one.computed_share for weight, one in rows_of(compiled, options, layers).items()}
    return to_manifest(training_flops(layer_costs(compiled.full), density, kept, computed_gradients(compiled.full)))
