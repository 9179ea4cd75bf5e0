"""The target ``ort``: our own gradients in standard operators, which every build of ONNX Runtime runs."""

from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.differentiating.add_inside_input_gradients import AddInsideInputGradients
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.differentiating.insert_sample_filter import InsertSampleFilter
from sparcl_compile.passes.differentiating.pack_relu_masks import PackReluMasks
from sparcl_compile.passes.differentiating.prune_backward import PruneBackward
from sparcl_compile.passes.differentiating.save_batch_statistics import SaveBatchStatistics
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
from sparcl_compile.passes.sparsifying.mark_dense_weights import MarkDenseWeights
from sparcl_compile.passes.sparsifying.scale_by_density import ScaleByDensity
from sparcl_compile.passes.updating.compute_gradient_rows import ComputeGradientRows
from sparcl_compile.passes.updating.update_in_backward import UpdateInBackward
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import measures
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
            SaveBatchStatistics,
            Differentiate,
            InsertGradientMasks,
            AttachOptimizer,
            PruneBackward,
            PackReluMasks,
            *only(compress, AddInsideInputGradients),
        ),
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
