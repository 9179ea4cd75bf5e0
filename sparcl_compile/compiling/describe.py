"""The manifest and the report of a compilation, put together from what it has left (docs/interfaces.md)."""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir

from sparcl_compile.compiling.graph_specs import graph_specs
from sparcl_compile.compiling.loop import program_for
from sparcl_compile.compiling.side_graphs import Facts
from sparcl_compile.compiling.state_specs import state_specs, weight_specs
from sparcl_compile.compiling.work_counts import flops_of_training
from sparcl_compile.costs import memory
from sparcl_compile.costs.flops import remarks, to_manifest
from sparcl_compile.interface.files import sha256
from sparcl_compile.interface.manifest import FORMAT, VERSION, Manifest, Model
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.report import CompileReport, KernelChoices, PassTrace
from sparcl_compile.interface.specs import DenseSpec, OptimizerSpec
from sparcl_compile.interface.version import __version__
from sparcl_compile.passes.analysis.liveness.executor import executor_of
from sparcl_compile.passes.analysis.normalised import hidden_layers
from sparcl_compile.passes.analysis.sums import sums_of_places
from sparcl_compile.passes.core.layers import layer_weights
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.core.model_input import input_of
from sparcl_compile.passes.core.roles import TRAINABLE, values_with_role
from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.emitting.emit import STATE_FILE
from sparcl_compile.passes.importing import doubts
from sparcl_compile.passes.lowering.select_kernels import choices_of
from sparcl_compile.passes.sparsifying import mark_dense_weights
from sparcl_compile.passes.sparsifying.freeze_parameters import update_summary
from sparcl_compile.plan.channels import channel_spec
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.settings.methods import batch_samples
from sparcl_compile.settings.options import FEW_EPOCHS, CompileOptions, learning_rates
from sparcl_compile.settings.policies import smooths
from sparcl_compile.targets.choice import EXECUTORS

LIBRARIES = ("onnx", "onnx-ir")


def facts_of(compiled: Compiled) -> Facts:
    """Find out what the stand-alone graphs and the manifest are made from."""
    state = state_specs(compiled)
    return Facts(state, weight_specs(compiled, state), to_manifest(flops_of_training(compiled)))


def build(source: Path, compiled: Compiled, options: CompileOptions, facts: Facts, folder: Path) -> Manifest:
    """Describe everything but the checksums of the files.

    Args:
        source: the compiled file.
        compiled: the result of the pipeline.
        options: the options it was compiled with.
        facts: as ``facts_of`` gives them.
        folder: where the graphs lie.
    """
    plan = compiled.plan
    graphs, loop_state = graph_specs(folder, Role.MEASURED if smooths(options) else Role.BUFFER)
    state = (*facts.state, *loop_state)
    return Manifest(
        format=FORMAT,
        version=VERSION,
        target=options.target,
        made_by={"sparcl-compile": __version__, **{name: version(name) for name in LIBRARIES}, **_runtime(options)},
        model=_model(source, compiled),
        options=options,
        program=program_for(options, plan, state, graphs, compiled.classes),
        optimizer=_optimizer(compiled, options),
        weights=facts.weights,
        dense=tuple(_dense(compiled)),
        channels=channel_spec(plan.channels) if plan.channels else None,
        update=update_summary(compiled.full),
        flops=facts.flops,
        graphs=graphs,
        state=state,
        state_file=STATE_FILE,
        files={},
    )


def _runtime(options: CompileOptions) -> dict[str, str]:
    """The version of the runtime where it has written files: an older one may not read its format."""
    return {"onnxruntime": ort.__version__} if options.ort_format else {}


def report(compiled: Compiled, options: CompileOptions, facts: Facts, traces: Iterable[PassTrace]) -> CompileReport:
    """The log: what each pass did, the memory of training, and the choice of kernels."""
    samples = batch_samples(options)
    choices = KernelChoices(samples, tuple(choices_of(compiled.forward)))
    unmasked = mark_dense_weights.remarks(compiled.full) if options.sparsity > 0.0 else ()
    return CompileReport(
        remarks=(
            *compiled.remarks,
            *doubts.remarks(compiled.full),
            *unmasked,
            *_sums(compiled, options),
            *remarks(compiled.full),
        ),
        passes=tuple(traces),
        memory=memory.to_report(compiled.training, facts.state, samples, executor_of(EXECUTORS[options.target])),
        kernels=choices if options.compress and options.select_kernels else None,
    )


def _sums(compiled: Compiled, options: CompileOptions) -> Iterable[str]:
    """The line about sums for which the rate of a run that names none may be too high; none where there are none."""
    found = sorted(sums_of_places(compiled.full.graph), key=lambda one: -one[1])
    layers = hidden_layers(compiled.full.graph)
    if not found or options.optimizer != "sgd" or layers == "normalised":
        return
    (node, count), rate = found[0], learning_rates(options, layers).few
    yield (
        f"{node.op_type} ({node.name}) adds up {count} places without a normalisation or a mean behind it, which makes "
        f"steps larger than the learning rate says: compare with sparcl-run --lr {rate / count**0.5:.2g} and "
        f"{rate / count:.2g}, or export a mean"
    )


def _model(source: Path, compiled: Compiled) -> Model:
    kind = input_of(compiled.full)
    return Model(
        name=source.stem,
        source=source.name,
        source_sha256=sha256(source),
        input_shape=compiled.input_shape,
        layout=compiled.layout,
        classes=compiled.classes,
        output=compiled.output,
        parameters=sum(_size(v) for role in TRAINABLE for v in values_with_role(compiled.full, role)),
        input_type=kind.type,  # type: ignore[arg-type]
        raw=kind.raw,
        rows=kind.rows,
    )


def _optimizer(compiled: Compiled, options: CompileOptions) -> OptimizerSpec:
    rates = learning_rates(options, hidden_layers(compiled.full.graph))
    return OptimizerSpec(options.optimizer, rates.many, rates.few, FEW_EPOCHS, options.effective_step_limit)


def _size(value: ir.Value) -> int:
    return value.const_value.size if value.const_value is not None else 0


def _dense(compiled: Compiled) -> Iterable[DenseSpec]:
    weights = (w for w in layer_weights(compiled.full) if DENSE_KEY in w.metadata_props)
    return (DenseSpec(str(w.name), tuple(dims(w)), w.metadata_props[DENSE_KEY]) for w in weights)
