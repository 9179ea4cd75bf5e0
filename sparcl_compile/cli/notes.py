"""Lines of the compile report about what a compilation does not bring."""

from collections.abc import Sequence

from sparcl_compile.interface.channels import ChannelSpec
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.options import Options
from sparcl_compile.interface.report import CompileReport
from sparcl_compile.interface.specs import MASKED, DenseSpec, WeightSpec

CHANNEL = "channel"
SHOWN = 3
"""Spaces in a note."""
MASKS_ONLY = (
    "Masks alone save no time: --compress computes with the kept weights only (sparse kernels), "
    "--scheme channel with the kept channels"
)


def masks_only(weights: Sequence[WeightSpec]) -> bool:
    """Whether weights are masked and dense kernels compute with all of them."""
    lowered = any(layer.stored != MASKED or layer.scheme == CHANNEL for layer in weights)
    return not lowered and any(layer.base < layer.size for layer in weights)


def notes(manifest: Manifest, log: CompileReport) -> list[str]:
    """What the model made doubtful, and what a user may not have wanted."""
    lines = (
        *log.remarks,
        units_line(manifest.channels),
        unmasked_line(manifest.options, manifest.weights),
        dense_line(manifest.options, manifest.weights),
        alone_line(manifest.options, manifest.weights, manifest.dense),
    )
    return [line for line in lines if line]


def units_line(channels: ChannelSpec | None) -> str:
    """The note that of some spaces a single channel is left; empty where there are none.

    A mask of single weights that leaves too few is refused. One channel still connects every output with every input,
    but no more than one number of each place comes through it: that is said, and is the user's to choose.
    """
    spaces = channels.spaces if channels else ()
    narrow = [space for space in spaces if space.base == 1 < space.size]
    if not narrow:
        return ""
    each = ", ".join(f"{space.size} of {space.name}" for space in narrow[:SHOWN]) + ", ..." * (len(narrow) > SHOWN)
    return f"a single channel is left of {each}, which lets hardly anything through; give a lower --sparsity"


def unmasked_line(options: Options, weights: Sequence[WeightSpec]) -> str:
    """The note that wanted sparsities are without effect, since no weight is masked; empty where one is."""
    if weights or not options.is_sparse:
        return ""
    wanted = {"--sparsity": options.sparsity, "--gradient-sparsity": options.effective_gradient_sparsity}
    given = " and ".join(f"{flag} {value:g}" for flag, value in wanted.items() if value)
    why = "since no weight is masked, for the reasons in the table of weights"
    return f"{given} without effect, {why}; train and mask more of the model, or give 0"


def dense_line(options: Options, weights: Sequence[WeightSpec]) -> str:
    """The note that sparsity 0 alone is no dense training; empty where either other part is off."""
    left = (options.effective_gradient_sparsity, options.data_removal)
    if options.sparsity > 0.0 or not weights or not all(left):
        return ""
    return (
        f"weights are dense, and gradients ({left[0]:g}) and samples (up to {left[1]:g} of a task) are still left out; "
        "for dense training to compare with add --gradient-sparsity 0 --data-removal 0"
    )


def alone_line(options: Options, weights: Sequence[WeightSpec], dense: Sequence[DenseSpec]) -> str:
    """The note that the classifier is all that has a mask; empty where another layer has one.

    The first mask goes by the size of weights, which says nothing of the features that a class to come will need.
    RigL's masks, the default where the classifier is the model's only layer, look for them (docs/defaults.md).
    """
    if len(weights) != 1 or weights[0].base == weights[0].size or any(one.reason != "user" for one in dense):
        return ""
    share = f"{weights[0].base / weights[0].size:.0%}"
    known, policy = "is not known yet", "--mask-policy rigl and "
    if options.mask_policy == "rigl":
        known, policy = "its masks, RigL's, look for as it learns", ""
    if options.scheme == "pattern":  # whose weights cannot grow by gradients
        policy = ""
    return (
        f"the classifier is the only layer that can have a mask: a class reads {share} of the features, and "
        f"which it needs {known}; compare with {policy}a lower --sparsity"
    )


def gradients_line(options: Options, weights: Sequence[WeightSpec]) -> str:
    """The note that a wanted gradient sparsity is without effect; empty where it has one, or no weight is masked."""
    if options.masks_gradients or options.gradient_sparsity == 0.0 or not weights:
        return ""
    kept = f"{options.sparsity:g}"
    return (
        f"Gradient masks: none, since gradient sparsity {options.gradient_sparsity:g} spares no weight that is kept at "
        f"sparsity {kept}; give more than {kept} to update fewer"
    )


def replay_line(options: Options) -> str:
    """The line that a step computes with replayed and new samples at once; empty where batches are separate."""
    if options.replay_batches != "merged":
        return ""
    more = "--replay-batches separate keeps fewer activations at a time"
    return f"Replay: merged with the new samples into one batch; {more}"
