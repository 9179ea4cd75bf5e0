"""The target ``ort-training``: ONNX Runtime's gradient builder and its training build."""

from sparcl_compile.passes.analysis.liveness.executor import TRAINING_BUILD
from sparcl_compile.passes.differentiating.add_inside_input_gradients import AddInsideInputGradients
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.differentiating.insert_sample_filter import InsertSampleFilter
from sparcl_compile.passes.differentiating.ort_training.differentiate_by_builder import DifferentiateByBuilder
from sparcl_compile.passes.differentiating.ort_training.keep_relu_masks import KeepReluMasks
from sparcl_compile.passes.differentiating.ort_training.replace_relu_gradients import ReplaceReluGradients
from sparcl_compile.passes.differentiating.ort_training.transpose_frozen_convolutions import TransposeFrozenConvolutions
from sparcl_compile.passes.differentiating.pass_gradients_through import PassGradientsThrough
from sparcl_compile.passes.differentiating.prune_backward import PruneBackward
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import passes_through
from sparcl_compile.targets.steps import Steps, only
from sparcl_compile.targets.training import around, kept_activations

EXECUTOR = TRAINING_BUILD
"""What the passes that schedule take to run the graphs."""


def steps(options: CompileOptions) -> Steps:
    """The passes and products of the target, by phase."""
    differentiating = (
        AttachLoss,
        InsertSampleFilter,
        DifferentiateByBuilder,
        *only(passes_through(options), PassGradientsThrough),
        InsertGradientMasks,
        AttachOptimizer,
        PruneBackward,
        TransposeFrozenConvolutions,
        KeepReluMasks,
        ReplaceReluGradients,
        *only(options.compress, AddInsideInputGradients),
        *kept_activations(options),
    )
    return around(options, differentiating)
