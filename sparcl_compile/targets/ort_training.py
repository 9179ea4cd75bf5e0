"""The target ``ort-training``: ONNX Runtime's gradient builder and its training build."""

from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from sparcl_compile.passes.analysis.rows import output_channels
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.differentiating.add_inside_input_gradients import AddInsideInputGradients
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.differentiating.insert_sample_filter import InsertSampleFilter
from sparcl_compile.passes.differentiating.ort_training.differentiate import Differentiate
from sparcl_compile.passes.differentiating.ort_training.keep_relu_masks import KeepReluMasks
from sparcl_compile.passes.differentiating.ort_training.replace_relu_gradients import ReplaceReluGradients
from sparcl_compile.passes.differentiating.ort_training.transpose_frozen_convolutions import TransposeFrozenConvolutions
from sparcl_compile.passes.differentiating.prune_backward import PruneBackward
from sparcl_compile.passes.emitting.emit import Emit
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.lowering.compress_weights import CompressWeights
from sparcl_compile.passes.lowering.fold_channels import FoldChannels
from sparcl_compile.passes.lowering.fold_fixed_norms import FoldFixedNorms
from sparcl_compile.passes.lowering.lay_out_batch_last import LayOutBatchLast
from sparcl_compile.passes.lowering.run_dense_on_sparse_kernels import RunDenseOnSparseKernels
from sparcl_compile.passes.lowering.select_kernels import Measure, SelectKernels
from sparcl_compile.passes.scheduling.order_backward import OrderBackward
from sparcl_compile.passes.scheduling.recompute_activations import RecomputeActivations
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from sparcl_compile.passes.updating.compute_gradient_rows import ComputeGradientRows
from sparcl_compile.passes.updating.update_in_backward import UpdateInBackward
from sparcl_compile.plan.plan import SparsityPlan, plan_sparsity
from sparcl_compile.settings.options import CompileOptions


def forward_passes(options: CompileOptions) -> Sequence[Pass]:
    """What makes the masked forward graph: the same for every target."""
    return (
        ImportForward(classes=options.classes, init=options.init, seed=options.seed, dense=options.dense),
        FreezeParameters(freeze=options.freeze, update=options.update),
        InsertWeightMasks(sparsity=options.sparsity, distribution=options.distribution, scheme=options.scheme),
    )


def lowering_passes(options: CompileOptions, plan: SparsityPlan, measure: Measure | None = None) -> Sequence[Pass]:
    """The passes that make the masked forward graph smaller; ``measure`` times its layers."""
    if options.scheme == "channel":
        return (FoldChannels(plan.capacity),) if options.fold else ()
    if not options.compress:
        return ()
    selecting = (SelectKernels(plan.places, plan.updated_places, options.batch_size, measure),)
    return (
        *(selecting if options.select_kernels else ()),
        CompressWeights(plan.places),
        RunDenseOnSparseKernels(),
    )


def ort_training_passes(options: CompileOptions, plan: SparsityPlan, library: Path | None = None) -> Sequence[Pass]:
    """What turns the masked forward graph into a training graph for ONNX Runtime's training build."""
    return (
        FoldFixedNorms(),
        *((LayOutBatchLast(),) if options.compress else ()),
        AttachLoss(),
        InsertSampleFilter(score=plan.recipe.score),
        Differentiate(library),
        InsertGradientMasks(gradient_sparsity=options.gradient_sparsity),
        AttachOptimizer(optimizer=options.optimizer, momentum=options.momentum, weight_decay=options.weight_decay),
        PruneBackward(),
        TransposeFrozenConvolutions(),
        KeepReluMasks(),
        ReplaceReluGradients(),
        *((AddInsideInputGradients(),) if options.compress else ()),
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
    whole = training.clone() if options.is_sparse else None
    channels = output_channels(full.graph) if by_rows else {}
    return (
        *((ComputeGradientRows(options.gradient_sparsity, channels),) if by_rows else ()),
        *(() if options.accumulates else (UpdateInBackward(),)),
        Emit(folder, forward, whole, full if options.compress else None),
    )


def pass_names(options: CompileOptions) -> tuple[str, ...]:
    """The names of all passes in order, for options and messages."""
    empty = ir.Model(ir.Graph([], [], nodes=[]), ir_version=10)
    plan = plan_sparsity(empty, options)
    forward = (*forward_passes(options), *lowering_passes(options, plan))
    training = (*ort_training_passes(options, plan), *emitting_passes(options, empty, empty, empty, Path()))
    return tuple(one.name for one in (*forward, *training))
