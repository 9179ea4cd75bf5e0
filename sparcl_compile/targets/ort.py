"""The target ``ort``: our own gradients in standard operators, which every build of ONNX Runtime runs."""

from sparcl_compile.passes.analysis.liveness.executor import STOCK
from sparcl_compile.passes.differentiating.add_inside_input_gradients import AddInsideInputGradients
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.differentiating.insert_sample_filter import InsertSampleFilter
from sparcl_compile.passes.differentiating.pack_relu_masks import PackReluMasks
from sparcl_compile.passes.differentiating.pass_gradients_through import PassGradientsThrough
from sparcl_compile.passes.differentiating.prune_backward import PruneBackward
from sparcl_compile.passes.differentiating.save_batch_statistics import SaveBatchStatistics
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import passes_through
from sparcl_compile.targets.steps import Steps, only
from sparcl_compile.targets.training import around, kept_activations

EXECUTOR = STOCK
"""What the passes that schedule take to run the graphs."""


def steps(options: CompileOptions) -> Steps:
    """The passes and products of the target, by phase."""
    differentiating = (
        AttachLoss,
        InsertSampleFilter,
        SaveBatchStatistics,
        Differentiate,
        *only(passes_through(options), PassGradientsThrough),
        InsertGradientMasks,
        AttachOptimizer,
        PruneBackward,
        PackReluMasks,
        *only(options.compress, AddInsideInputGradients),
        *kept_activations(options),
    )
    return around(options, differentiating)
