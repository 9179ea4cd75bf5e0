"""The phases that all training targets share: all but the one that differentiates."""

from collections.abc import Sequence

from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.differentiating.halve_activations import HalveActivations
from sparcl_compile.passes.differentiating.normalise_on_load import NormaliseOnLoad
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
from sparcl_compile.passes.lowering.select_kernels import SelectKernels
from sparcl_compile.passes.scheduling.order_backward import OrderBackward
from sparcl_compile.passes.scheduling.recompute_activations import RecomputeActivations
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from sparcl_compile.passes.sparsifying.limit_steps import LimitSteps
from sparcl_compile.passes.sparsifying.mark_dense_weights import MarkDenseWeights
from sparcl_compile.passes.sparsifying.raise_signal import RaiseSignal
from sparcl_compile.passes.sparsifying.scale_by_density import ScaleByDensity
from sparcl_compile.passes.updating.compute_gradient_rows import ComputeGradientRows
from sparcl_compile.passes.updating.update_in_backward import UpdateInBackward
from sparcl_compile.settings.methods import accumulates
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import measures
from sparcl_compile.targets.steps import Product, Step, Steps, only


def kept_activations(options: CompileOptions) -> Sequence[Step]:
    """The passes by which sparse operators keep less for the backward.

    A gate that is computed again from a rounded input is not quite the forward's, where that is not rounded.
    """
    loads = options.compress and options.activations != "bf16-backward"
    return (*only(loads, NormaliseOnLoad), *only(options.activations != "f32", HalveActivations))


def around(options: CompileOptions, differentiating: Sequence[Step]) -> Steps:
    """The passes and products of a training target, by phase, around the ones that differentiate."""
    folds = options.scheme == "channel" and options.fold and options.sparsity > 0.0
    compress = options.compress
    by_rows, at_once = options.gradient_scheme == "channel", not accumulates(options)
    return {
        Phase.IMPORTING: (FixInput, ExpandRuntimeOperators, ExpandMlOperators, ImportForward),
        Phase.SPARSIFYING: (
            MarkDenseWeights,
            FreezeParameters,
            *only(options.scaling == "density", RaiseSignal),
            InsertWeightMasks,
            *only(options.scaling == "density", ScaleByDensity),
            *only(options.effective_step_limit > 0.0, LimitSteps),
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
        Phase.DIFFERENTIATING: differentiating,
        Phase.SCHEDULING: (
            OrderBackward,
            RecomputeActivations,
            *only(measures(options), Product.WHOLE),
        ),
        Phase.UPDATING: (
            *only(by_rows, ComputeGradientRows),
            *only(at_once, UpdateInBackward),
        ),
        Phase.EMITTING: (Emit,),
    }
