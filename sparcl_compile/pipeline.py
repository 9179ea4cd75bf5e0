"""The pipelines: one list of passes a target, run with one callback that serves printing, timing and dumping."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sparcl_compile import kernels
from sparcl_compile.graph_checks import check_graph, check_links, check_shapes
from sparcl_compile.options import CompileOptions
from sparcl_compile.passes.attach_loss import AttachLoss
from sparcl_compile.passes.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.base import Pass
from sparcl_compile.passes.compress_weights import CompressWeights
from sparcl_compile.passes.compute_gradient_rows import ComputeGradientRows
from sparcl_compile.passes.differentiate import Differentiate
from sparcl_compile.passes.emit import Emit
from sparcl_compile.passes.fold_channels import FoldChannels
from sparcl_compile.passes.fold_fixed_norms import FoldFixedNorms
from sparcl_compile.passes.fold_state import FoldState
from sparcl_compile.passes.freeze_parameters import FreezeParameters
from sparcl_compile.passes.fuse_gradient_sums import FuseGradientSums
from sparcl_compile.passes.fuse_normalisation import FuseNormalisation
from sparcl_compile.passes.import_forward import ImportForward
from sparcl_compile.passes.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.insert_sample_filter import InsertSampleFilter
from sparcl_compile.passes.insert_weight_masks import InsertWeightMasks
from sparcl_compile.passes.keep_every_place import KeepEveryPlace
from sparcl_compile.passes.keep_relu_masks import KeepReluMasks
from sparcl_compile.passes.lay_out_batch_last import LayOutBatchLast
from sparcl_compile.passes.order_backward import OrderBackward
from sparcl_compile.passes.prune_backward import PruneBackward
from sparcl_compile.passes.recompute_activations import RecomputeActivations
from sparcl_compile.passes.remove_idle_channels import RemoveIdleChannels
from sparcl_compile.passes.rows.units import output_channels
from sparcl_compile.passes.select_kernels import Measure, SelectKernels
from sparcl_compile.passes.simplify_backward import SimplifyBackward
from sparcl_compile.passes.transpose_frozen_convolutions import TransposeFrozenConvolutions
from sparcl_compile.passes.update_in_backward import UpdateInBackward
from sparcl_compile.protos import large_last
from sparcl_compile.recipes import RECIPES, Layer, weight_layers

AfterPass = Callable[[Pass, ir.Model, bool], None]
"""Called after each pass with the pass, the model and whether it was modified; before the first one with no pass."""


def forward_passes(options: CompileOptions) -> Sequence[Pass]:
    """What makes the masked forward graph: the same for every target."""
    return (
        ImportForward(classes=options.classes, init=options.init, seed=options.seed, dense=options.dense),
        FreezeParameters(freeze=options.freeze, update=options.update),
        InsertWeightMasks(sparsity=options.sparsity, distribution=options.distribution, scheme=options.scheme),
    )


def lowering_passes(
    options: CompileOptions, layers: Sequence[Layer] = (), measure: Measure | None = None
) -> Sequence[Pass]:
    """What makes the masked forward graph smaller: its layers, and what times them."""
    if options.scheme == "channel":
        return (FoldChannels(density=1.0 - options.sparsity),) if options.fold else ()
    if not options.compress:
        return ()
    places = {layer.weight: layer.places for layer in layers}
    return (*_selecting(options, layers, places, measure), CompressWeights(places), KeepEveryPlace())


def _selecting(
    options: CompileOptions, layers: Sequence[Layer], places: Mapping[str, int], measure: Measure | None
) -> Sequence[Pass]:
    if not options.select_kernels:
        return ()
    kept = {layer.weight: min(layer.gradient_keep, layer.places) for layer in layers}
    updated = kept if options.gradient_sparsity > 0.0 else places
    return (SelectKernels(places, updated, options.batch_size, measure),)


def ort_training_passes(options: CompileOptions, library: Path | None = None) -> Sequence[Pass]:
    """What turns the masked forward graph into a training graph for ONNX Runtime's training build."""
    return (
        FoldFixedNorms(),
        *((LayOutBatchLast(),) if options.compress else ()),
        AttachLoss(),
        InsertSampleFilter(score=RECIPES[options.recipe].score),
        Differentiate(library),
        InsertGradientMasks(gradient_sparsity=options.gradient_sparsity),
        AttachOptimizer(optimizer=options.optimizer, momentum=options.momentum, weight_decay=options.weight_decay),
        PruneBackward(),
        TransposeFrozenConvolutions(),
        KeepReluMasks(),
        SimplifyBackward(),
        *((FuseGradientSums(),) if options.compress else ()),
        OrderBackward(batch=options.batch_size),
        RecomputeActivations(enabled=options.recompute, batch=options.batch_size),
    )


def emitting_passes(
    options: CompileOptions, forward: ir.Model, full: ir.Model, training: ir.Model, folder: Path
) -> Sequence[Pass]:
    """What chooses rows of the gradients, updates the parameters and writes the artifact.

    Args:
        options: what to compile to.
        forward: the forward graph as the artifact holds it.
        full: the forward graph before it was lowered, of whose channels the gradient sparsity is a share.
        training: the training graph, of which a copy is kept where a run measures gradients that it will not give.
        folder: where to write.
    """
    by_rows = options.gradient_scheme == "channel"
    measures = options.sparsity > 0.0 or options.gradient_sparsity > 0.0
    whole = training.clone() if measures and (by_rows or not options.accumulates) else None
    channels = output_channels(full.graph) if by_rows else {}
    return (
        *((ComputeGradientRows(options.gradient_sparsity, channels),) if by_rows else ()),
        *(() if options.accumulates else (UpdateInBackward(),)),
        Emit(folder, forward, whole, full if options.compress else None),
    )


def pass_names(options: CompileOptions) -> tuple[str, ...]:
    """The names of all passes in order, for options and messages."""
    empty = ir.Model(ir.Graph([], [], nodes=[]), ir_version=10)
    forward = (*forward_passes(options), *lowering_passes(options))
    training = (*ort_training_passes(options), *emitting_passes(options, empty, empty, empty, Path()))
    return tuple(one.name for one in (*forward, *training))


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


def run(
    model: ir.Model, options: CompileOptions, folder: Path, after: AfterPass, check_passes: bool = False
) -> Compiled:
    """Run the ``ort-training`` pipeline on a model in place.

    Args:
        model: the loaded model.
        options: what to compile it to.
        folder: where ``emit`` writes; must exist.
        after: called after every pass.
        check_passes: check everything after every pass, and not only its links.

    Raises:
        SparclError: a user's mistake that a pass found.
        ModelError: the graph is invalid after a pass, which names the pass.
    """
    library = kernels.library() if options.compress else None
    _run(model, forward_passes(options), after, check_passes)
    full = model.clone()
    layers = weight_layers(full, options) if options.compress else ()
    measure = _measure(library) if options.measure_kernels and library else None
    _run(model, lowering_passes(options, layers, measure), after, check_passes)
    forward = model.clone()
    _run(model, ort_training_passes(options, library), after, check_passes)
    _run(model, emitting_passes(options, forward, full, model, folder), after, check_passes)
    return Compiled(forward, model, full)


def _measure(library: Path) -> Measure:
    # The sessions of the runtime are loaded only where something is timed.
    from sparcl_compile.kernel_times import KernelTimes

    return KernelTimes(library)


def _run(model: ir.Model, passes: Sequence[Pass], after: AfterPass, check_passes: bool = False) -> None:
    """Run one part of a pipeline: links are checked after every pass, everything after the last one, or after each."""
    changed = None
    for one in passes:
        modified = one.call(model).modified
        if modified:
            changed = one
            large_last(model.graph)
            verify(model, one) if check_passes else check_links(model, _complaint(one))
        after(one, model, modified)
    if changed is not None and not check_passes:
        check_graph(model, _complaint(changed))


def export_passes(state: Mapping[str, np.ndarray]) -> Sequence[Pass]:
    """What turns an artifact's evaluation graph and learned state into a plain model for inference."""
    return (FoldState(state), RemoveIdleChannels(), FuseNormalisation())


def export(model: ir.Model, state: Mapping[str, np.ndarray], after: AfterPass) -> None:
    """Run the export pipeline on an evaluation graph in place; raises ModelError as ``run``."""
    _run(model, export_passes(state), after)


def verify(model: ir.Model, made_by: Pass) -> None:
    """Check the whole graph behind a pass, its stated shapes included; raises ModelError, which names the pass."""
    for check in (check_links, check_graph, check_shapes):
        check(model, _complaint(made_by))


def _complaint(made_by: Pass) -> str:
    return f"the graph is not valid after pass {made_by}"
