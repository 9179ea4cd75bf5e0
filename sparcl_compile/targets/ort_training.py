"""The target ``ort-training``: ONNX Runtime's gradient builder and its training build."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.phases import Phase
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
from sparcl_compile.passes.importing.expand_ml_operators import ExpandMlOperators
from sparcl_compile.passes.importing.expand_runtime_operators import ExpandRuntimeOperators
from sparcl_compile.passes.importing.fix_input import FixInput
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
from sparcl_compile.passes.sparsifying.mark_dense_weights import MarkDenseWeights
from sparcl_compile.passes.sparsifying.scale_by_density import ScaleByDensity
from sparcl_compile.passes.updating.compute_gradient_rows import ComputeGradientRows
from sparcl_compile.passes.updating.update_in_backward import UpdateInBackward
from sparcl_compile.plan.plan import SparsityPlan, plan_sparsity
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets.steps import Product, Steps, only


def steps(options: CompileOptions) -> Steps:
    """The passes and products of the target, by phase."""
    folds = options.scheme == "channel" and options.fold and options.sparsity > 0.0
    compress = options.compress
    by_rows, at_once = options.gradient_scheme == "channel", not options.accumulates
    return {
        Phase.IMPORTING: (FixInput, ExpandRuntimeOperators, ExpandMlOperators, ImportForward),
        Phase.SPARSIFYING: (
            MarkDenseWeights,
            FreezeParameters,
            InsertWeightMasks,
            *only(options.scaling == "density", ScaleByDensity),
            Product.MASKED,
        ),
        Phase.LOWERING: (
            *only(folds, FoldChannels),
            *only(compress and options.select_kernels, SelectKernels),
            *only(compress, CompressWeights, RunDenseOnSparseKernels),
            Product.FORWARD,
            FoldFixedNorms,
            *only(compress, LayOutBatchLast),
        ),
        Phase.DIFFERENTIATING: (
            AttachLoss,
            InsertSampleFilter,
            Differentiate,
            InsertGradientMasks,
            AttachOptimizer,
            PruneBackward,
            TransposeFrozenConvolutions,
            KeepReluMasks,
            ReplaceReluGradients,
            *only(compress, AddInsideInputGradients),
        ),
        Phase.SCHEDULING: (
            OrderBackward,
            RecomputeActivations,
            *only(options.is_sparse, Product.WHOLE),
        ),
        Phase.UPDATING: (
            *only(by_rows, ComputeGradientRows),
            *only(at_once, UpdateInBackward),
        ),
        Phase.EMITTING: (Emit,),
    }


@dataclasses.dataclass(frozen=True)
class Work:
    """The inputs from which passes are made.

    Attributes:
        options: of the compilation.
        folder: where ``emit`` writes.
        library: the library of sparse kernels; None where nothing is compressed.
        measure: times a layer's kernels; None to use the table of costs.
        products: what has been kept so far.
    """

    options: CompileOptions
    folder: Path
    library: Path | None = None
    measure: Measure | None = None
    products: dict[Product, ir.Model] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def plan(self) -> SparsityPlan:
        """The plan of the model's sparsity, computed once from the masked graph."""
        return plan_sparsity(self.products[Product.MASKED], self.options)


def make(one: type[Pass], work: Work) -> Pass:
    """Make a pass of the target."""
    maker = MAKERS.get(one)
    return maker(work, work.options) if maker else one()


MAKERS: Mapping[type[Pass], Callable[[Work, CompileOptions], Pass]] = {
    FixInput: lambda _, o: FixInput(o.input_shape),
    ImportForward: lambda _, o: ImportForward(o.classes, o.init, o.seed, o.logits),
    MarkDenseWeights: lambda _, o: MarkDenseWeights(o.dense),
    FreezeParameters: lambda _, o: FreezeParameters(freeze=o.freeze, update=o.update),
    InsertWeightMasks: lambda _, o: InsertWeightMasks(o.sparsity, o.distribution, o.scheme),
    FoldChannels: lambda work, _: FoldChannels(work.plan.capacity),
    SelectKernels: lambda work, o: SelectKernels(
        work.plan.places, work.plan.updated_places, o.batch_size, work.measure
    ),
    CompressWeights: lambda work, _: CompressWeights(work.plan.places),
    InsertSampleFilter: lambda work, _: InsertSampleFilter(score=work.plan.recipe.score),
    Differentiate: lambda work, _: Differentiate(work.library),
    InsertGradientMasks: lambda _, o: InsertGradientMasks(gradient_sparsity=o.effective_gradient_sparsity),
    AttachOptimizer: lambda _, o: AttachOptimizer(o.optimizer, o.momentum, o.weight_decay),
    OrderBackward: lambda _, o: OrderBackward(batch=o.batch_size),
    RecomputeActivations: lambda _, o: RecomputeActivations(enabled=o.recompute, batch=o.batch_size),
    ComputeGradientRows: lambda _, o: ComputeGradientRows(o.effective_gradient_sparsity),
    Emit: lambda work, o: Emit(
        work.folder,
        forward=work.products[Product.FORWARD],
        whole=work.products.get(Product.WHOLE),
        masked=work.products[Product.MASKED] if o.compress else None,
    ),
}
"""Functions that make a pass, by pass; a pass that is missing has no options."""
